"""Where an artifact leaves eager is found down to the user's line, and the module where the graph names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.unit import artifact_models, branch_models
from tests.unit.artifact_bench import make, proven, quiet_job, row
from workbench.protocol.messages import MakeGolden
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.parts import parting_of_compiled
from workbench.worker.artifact.passages import place_in
from workbench.worker.artifact.subject import subject_of
from workbench.worker.bench.load import build


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


def theirs(tmp_path: Path, name: str, write: Callable[[Path], object], search: float = 30.0) -> str:
    """Where an artifact that somebody else wrote parts from a model of `branch_models`, as its manifest says."""
    path, stage = tmp_path / "theirs.onnx", tmp_path / "stage"
    stage.mkdir()
    write(path)
    recipe = Recipe(f"{branch_models.__file__}:{name}", inputs=("x=float32[4,5]",))
    request = MakeGolden(recipe, str(path), file_sha256(path)[0], str(stage), search=search)
    return str(bundle.make_golden(request, quiet_job()).manifest["search"]["parts"])


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_onnx_is_followed_to_the_line_and_the_module_and_told_what_is_made_there(
    tmp_path: Path, seconds: float
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")
    torch.manual_seed(0)
    model, x = branch_models.Stack().eval(), torch.randn(4, 5)
    with torch.no_grad():
        model.blocks[1].fc.weight[3] += 0.5
        program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    assert program is not None
    words = theirs(tmp_path, "Stack", program.save, seconds)
    where = line_of(branch_models, "return x + torch.tanh(self.fc(x))")
    assert words.startswith(f"first at branch_models.py:{where} in blocks.1.fc (")
    made = float(words.partition(" of it made there")[0].rpartition(", ")[2])
    came = float(words.partition(" come in with")[0].rpartition(" and ")[2])
    assert made > 0.01 > 1e-5 > came
    assert "all before it agree, the last at branch_models.py:" in words


@pytest.mark.parametrize("kind", ["trace", "export", "onnx"])
def test_operators_that_answer_with_more_than_one_tensor_agree_by_the_first(tmp_path: Path, kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
        pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")
    torch.manual_seed(0)
    model, x = branch_models.Normed().eval(), torch.randn(4, 5)

    def write(path: Path) -> None:
        if kind == "trace":
            torch.jit.save(torch.jit.trace(model, x, check_trace=False), str(path))
        elif kind == "export":
            torch.export.save(torch.export.export(model, (x,)), str(path))
        else:
            program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
            assert program is not None
            program.save(path)

    with torch.no_grad():
        model.head.bias[1] += 1e-3
        words = theirs(tmp_path, "Normed", write, 0.0)
    where = line_of(branch_models, "return self.head(even)")
    assert words.startswith(f"first at branch_models.py:{where}"), words


@pytest.mark.parametrize(
    ("stack", "place"),
    [
        ('File "/home/me/net.py", line 3, in forward', ("/home/me/net.py", 3)),
        ('File "torch/fx/passes/runtime_assert.py", line 24, in insert', None),
        ('File "/home/me/net.py", line 3, in forward\n File "torch/fx/a.py", line 1, in f', ("/home/me/net.py", 3)),
    ],
)
def test_a_place_is_the_users(stack: str, place: tuple[str, int] | None) -> None:
    assert place_in(stack) == place


def test_what_only_carries_a_difference_on_is_told_apart_from_what_makes_it(tmp_path: Path) -> None:
    """A weight that is wrong by so little that its own line is below notice, and a line that makes much of it."""
    torch.manual_seed(0)
    model, x = branch_models.Steep().eval(), torch.randn(4, 5)
    with torch.no_grad():
        model.fc.weight.mul_(1 + 3e-5)
        program = torch.jit.trace(model, x, check_trace=False)
    words = theirs(tmp_path, "Steep", lambda path: torch.jit.save(program, str(path)), 0.0)
    steep = line_of(branch_models, "return torch.exp(small * 20)")
    weight = line_of(branch_models, "small = self.fc(x)")
    assert words.startswith(f"first at branch_models.py:{steep}")
    assert f"most of that from branch_models.py:{weight}," in words


def test_onnx_without_lines_says_that_it_names_none(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    nodes = [onnx.helper.make_node("Mul", ["x", "two"], ["y"])]
    kinds = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4, 5]) for name in ("x", "y")]
    two = onnx.helper.make_tensor("two", onnx.TensorProto.FLOAT, [1], [2.0])
    graph = onnx.helper.make_graph(nodes, "theirs", kinds[:1], kinds[1:], [two])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    words = theirs(tmp_path, "Stack", lambda path: onnx.save(model, str(path)), 0.0)
    assert words.startswith("no line can be named (its nodes name no line of the model's code")


def test_compiled_code_is_followed_in_the_program_that_it_is_compiled_from() -> None:
    def parts(name: str) -> str:
        recipe = Recipe(f"{branch_models.__file__}:{name}", inputs=("x=float32[4,5]",))
        built = build(recipe, quiet_job())
        return parting_of_compiled(
            subject_of(built.model.eval(), built.example, 0), quiet_job(), (torch.randn(4, 5),), {}
        ).words

    line = line_of(branch_models, "y = y + x.sign()")
    found = parts("Simplified")
    assert found.startswith(
        f"in the program that it is compiled from, eager computes branch_models.py:{line} (y = y + x.sign())"
    )
    assert parts("Stack").startswith("the program that it is compiled from agrees at every line: the compiler made")


def test_what_agrees_parts_nowhere(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace", search=30.0)
    assert made.manifest["search"]["parts"] == ""
