"""Today's model against the last release: the same, moved and why, a release that was tampered with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.corpus.engine import stand
from tests.unit.artifact_bench import make, quiet_job, recipe, write_manifest
from workbench.protocol.artifacts import BASELINE, CheckRow
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Check
from workbench.protocol.outside import Baseline, Metric
from workbench.worker.judge.checks import check


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stage = tmp_path_factory.mktemp("release")
    made = make(stage, "Net", "trace")
    write_manifest(stage, {**made.manifest, "proof": {"verdict": "pass"}}, "files")
    return stage


def asked(
    bundle: Path, id: str = BASELINE, metrics: tuple[Metric, ...] = (), name: str = "Net", **more: Any
) -> CheckRow:
    seconds, hook = more.pop("seconds", 60.0), more.pop("hook", None)
    on = stand(recipe(name, seed=more.pop("seed", 0)), measured=False, **more)
    if hook is not None:
        on.bench.model.register_forward_pre_hook(hook)
    before = {key: value.clone() for key, value in on.bench.model.state_dict().items()}
    row = check(on.bench, on.runs, Check(id, seconds, against=Baseline(str(bundle), metrics)), quiet_job())
    assert all((value == before[key]).all() for key, value in on.bench.model.state_dict().items())
    return row


def test_the_same_model_holds(release: Path) -> None:
    row = asked(release)
    assert row.status == "pass", row
    assert "identical bits over 19 cases of release" in row.evidence


def test_other_weights_are_named(release: Path) -> None:
    row = asked(release, seed=5)
    assert row.status == "fail"
    assert "parameters: 4 of 9 differ from the release" in row.cause


@pytest.mark.parametrize("id", [BASELINE, "metric:error"])
def test_too_few_cases_are_no_verdict_unless_they_are_wrong(release: Path, tmp_path: Path, id: str) -> None:
    (tmp_path / "own.py").write_text("def error(a, b):\n    return (a['output'] - b['output']).abs().max()\n")
    metrics = (Metric(str(tmp_path / "own.py"), "error", "<=", 1e-6),)
    row = asked(release, id, metrics, seconds=0.0)
    assert row.status == "error"
    assert "4 of 20 cases were answered in 0 s, and a verdict wants 16" in row.evidence


def test_a_nan_that_is_lost_counts_whatever_kind_the_release_is(release: Path, tmp_path: Path) -> None:
    bundle = spoiled(release, tmp_path)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "kind": "onnx"}))

    def loses(module: torch.nn.Module, given: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (torch.nan_to_num(given[0]),)

    for one in (release, bundle):
        row = asked(one, hook=loses)
        assert row.status == "fail"
        assert "NaN" in row.evidence


def test_train_mode_is_no_release(release: Path) -> None:
    assert asked(release, training=True).status == "fail"


def test_another_dtype_is_judged_as_what_would_stand_in_its_place(release: Path) -> None:
    assert asked(release, dtype="float64").status == "pass"
    assert asked(release, dtype="bfloat16").status == "fail"


def test_another_model_does_not_run_on_its_inputs(release: Path) -> None:
    row = asked(release, name="Two")
    assert row.status == "fail"
    assert "output['plus']" in row.evidence


def spoiled(release: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "bundle"
    copied.mkdir()
    for path in release.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    return copied


def test_one_bit_of_it_is_refused(release: Path, tmp_path: Path) -> None:
    for name in ("golden.safetensors", json.loads((release / "manifest.json").read_text())["artifact"]["file"]):
        (tmp_path / name).mkdir()
        bundle = spoiled(release, tmp_path / name)
        data = bytearray((bundle / name).read_bytes())
        data[len(data) // 2] ^= 1
        (bundle / name).write_bytes(data)
        row = asked(bundle)
        assert row.status == "error"
        assert f"{name}: sha256" in row.evidence


def test_a_link_and_a_stranger_are_refused(release: Path, tmp_path: Path) -> None:
    bundle = spoiled(release, tmp_path)
    os.symlink(release / "golden.safetensors", bundle / "more")
    assert "a symbolic link" in asked(bundle).evidence
    (bundle / "more").unlink()
    (bundle / "more").write_text("")
    assert "more: not in the manifest" in asked(bundle).evidence


def test_what_is_no_bundle_is_an_error(tmp_path: Path) -> None:
    row = asked(tmp_path)
    assert (row.status, "manifest.json cannot be read" in row.evidence) == ("error", True)


def test_one_whose_own_proof_said_no_is_told(release: Path, tmp_path: Path) -> None:
    bundle = spoiled(release, tmp_path)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "proof": {"verdict": "fail"}}))
    assert [one.id for one in asked(bundle).findings] == ["baseline_refused"]


def test_one_s_own_number_is_a_row_of_its_own(release: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def error(a, b):\n    return (a['output'] - b['output']).abs().max()\n")
    metrics = (Metric(str(tmp_path / "own.py"), "error", "<=", 1e-6),)
    assert asked(release, "metric:error", metrics).status == "pass"
    assert asked(release, "metric:error", metrics, seed=5).status == "fail"
    free = asked(release, "metric:error", (Metric(str(tmp_path / "own.py"), "error"),))
    assert (free.status, len(free.findings)) == ("", 1)


def test_without_a_release_there_is_no_such_check() -> None:
    on = stand(recipe("Net"), measured=False)
    for id in (BASELINE, "metric:error"):
        with pytest.raises(WorkbenchError):
            check(on.bench, on.runs, Check(id), quiet_job())
