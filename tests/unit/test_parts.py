"""Where an artifact leaves eager is found down to the user's line, and the module where the graph names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit import artifact_models, branch_models
from tests.unit.artifact_bench import make, proven, quiet_job, row
from workbench.protocol.messages import MakeGolden
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import file_sha256


def line_of(module: object, text: str) -> int:
    lines = Path(str(module.__file__)).read_text("utf-8").splitlines()  # type: ignore[attr-defined]
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


def test_a_baked_branch_is_the_line_that_only_one_side_computes(tmp_path: Path) -> None:
    make(tmp_path, "Branch", "trace", search=30.0)
    cause = row(proven(tmp_path), "values").cause
    left, right = line_of(artifact_models, "return x - 1"), line_of(artifact_models, "return x * 2")
    assert cause.startswith(
        f"where they part: eager computes artifact_models.py:{left} (return x - 1) where the artifact computes "
        f"artifact_models.py:{right} (return x * 2)"
    )


def test_a_baked_loop_is_its_line(tmp_path: Path) -> None:
    make(tmp_path, "Loop", "trace", search=30.0)
    where = line_of(artifact_models, "total = total + row")
    assert f"first at artifact_models.py:{where} (total = total + row): max|Δ|" in row(proven(tmp_path), "values").cause


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_changed_weight_is_found_where_it_is_used(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    model, x = branch_models.Healthy().eval(), torch.randn(4, 5)
    with torch.no_grad():
        model.body[2].weight[3] += 0.5
        program = torch.jit.trace(model, x, check_trace=False) if kind == "trace" else torch.export.export(model, (x,))
    path, stage = tmp_path / "theirs.pt2", tmp_path / "stage"
    stage.mkdir()
    (torch.jit.save if kind == "trace" else torch.export.save)(program, str(path))  # type: ignore[operator]
    recipe = Recipe(f"{branch_models.__file__}:Healthy", inputs=("x=float32[4,5]",))
    made = bundle.make_golden(MakeGolden(recipe, str(path), file_sha256(path)[0], str(stage), search=30.0), quiet_job())
    parts = made.manifest["search"]["parts"]
    where = line_of(branch_models, "return torch.where(x.sum() > 30, self.body(x), self.body(x) + 1)")
    assert parts.startswith(f"first at branch_models.py:{where}")
    assert ("in body.2 (" in parts) == (kind == "export")


def test_what_agrees_parts_nowhere(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace", search=30.0)
    assert made.manifest["search"]["parts"] == ""
