"""Weights, traces and exported programs: what each says about itself, and what it says when it cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.unit.artifact_bench import MODELS, make, proven, quiet_job, recipe, row, write_manifest
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MakeArtifact
from workbench.protocol.model import Recipe
from workbench.worker import tensorfile
from workbench.worker.artifact import export, foreign, speed, trace
from workbench.worker.artifact.bundle import make_artifact
from workbench.worker.artifact.export_errors import watched_guards
from workbench.worker.artifact.loading import open_artifact
from workbench.worker.artifact.subject import subject_of
from workbench.worker.bench.load import build
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.plan import BUDGET, CASES, FEWEST, GIVEN, plan


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(MODELS.read_text().splitlines(), 1) if text in line)


def test_the_batch_is_dynamic_by_default(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "export")
    assert made.dynamic == ("x[0] = batch in [1, ∞]",)
    assert made.static == ()
    assert made.manifest["batch"]["free"] is True
    assert {case["batch"] for case in made.manifest["cases"]} >= {1, 2, 3, 4, 5, 7, 17}


def test_a_declared_range_is_what_the_program_has_and_what_is_proven(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "export", ("x=float32[rows:2..9,5]",))
    assert made.dynamic == ("x[0] = rows in [2, 9]",)
    batches = [case["batch"] for case in made.manifest["cases"]]
    assert (min(batches), max(batches)) == (2, 9)
    assert proven(tmp_path).verdict == "pass"


def test_every_declared_dimension_is_tried_at_both_ends(tmp_path: Path) -> None:
    made = make(tmp_path, "Scalars", "export", ("ids=int64[batch:1..6,length:3..11]{0..9}",))
    assert len(made.dynamic) == 2
    assert {case["sizes"]["length"] for case in made.manifest["cases"] if "sizes" in case} == {
        3,
        7,
        11,
    }  # and a prime between them
    assert proven(tmp_path).verdict == "pass"


def test_what_the_code_fixes_is_said_with_its_line(tmp_path: Path) -> None:
    made = make(tmp_path, "Loop", "export")
    where = f"artifact_models.py:{line_of('for row in range')}"
    assert made.dynamic == ()
    assert made.static[0].startswith(f"x[0] = 4: {where}")
    assert [one.became for one in made.worklist] == ["4"]
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert row(proof, "sizes").evidence.startswith("batch 4 only")


def test_a_size_that_eager_refuses_is_no_case(tmp_path: Path) -> None:
    made = make(tmp_path, "Fixed", "export")
    assert made.static[0].startswith("x[0] = 4")
    assert proven(tmp_path).verdict == "pass"


def test_a_branch_on_data_cannot_be_exported_and_the_line_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Branch", "export")
    failure = caught.value.failure
    number = line_of("if x.sum() > 0")
    assert failure.kind == "export"
    assert f"artifact_models.py:{number}: `if x.sum() > 0:`" in failure.message
    assert failure.where == f"{MODELS}:{number}"
    assert "torch.where" in failure.remedy
    assert "Traceback" in failure.details


@pytest.mark.parametrize("kind", ["weights", "trace", "export"])
def test_an_output_of_the_models_own_class_is_given_as_plain_tensors(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path, "Classy", kind, ("x=float32[4,5]", "factor=float32[]"))
    assert made.manifest["output"]["paths"] == ["output['logits']", "output['extra.1']"]
    assert [entry["passed"] for entry in made.manifest["inputs"]] == ["positional", "keyword"]
    words = next(one.words for one in made.findings if one.id == "wrapped_output")
    assert "Answer" in words
    assert "output['count'] (3)" in words
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks
    assert proof.mark == "identical"


def test_a_model_without_tensors_in_its_answer_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="no tensor"):
        make(tmp_path, "Silent", "trace")


def test_tied_tensors_are_written_once_and_restored(tmp_path: Path) -> None:
    made = make(tmp_path, "Tied", "weights", ("ids=int64[2,3]{0..19}",))
    assert made.manifest["ties"] == {"head.weight": "embed.weight"}
    path = str(tmp_path / made.file)
    assert list(tensorfile.header(path)[0]) == ["embed.weight"]
    opened = open_artifact(tmp_path, made.manifest, "cpu")
    assert opened.tensors is not None
    assert set(opened.tensors) == {"embed.weight", "head.weight"}
    assert opened.tensors["head.weight"] is opened.tensors["embed.weight"]
    assert proven(tmp_path).verdict == "pass"


def test_weights_bring_their_source_along_and_no_pickle(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "weights")
    assert (tmp_path / "architecture.py").read_bytes() == MODELS.read_bytes()
    assert made.manifest["architecture"]["target"] == "artifact_models.py:Net"
    assert made.speed is None
    assert not any(path.suffix in (".pt", ".pkl") for path in tmp_path.iterdir())
    assert str(MODELS.parent) not in (tmp_path / "manifest.json").read_text()


def test_helpers_beside_the_model_come_along_with_weights(tmp_path: Path) -> None:
    (tmp_path / "own_layers.py").write_text("from torch import nn\n\ndef layer():\n    return nn.Linear(5, 2)\n")
    source = (
        "from own_layers import layer\nfrom torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    )
    (tmp_path / "own_model.py").write_text(source + "        super().__init__(layer())\n")
    stage = tmp_path / "stage"
    stage.mkdir()
    wanted = Recipe(str(tmp_path / "own_model.py:Net"), inputs=("input=float32[4,5]",))
    made = make_artifact(MakeArtifact(wanted, "weights", str(stage)), quiet_job())
    write_manifest(stage, made.manifest)
    assert made.manifest["architecture"]["helpers"] == ["own_layers.py"]
    assert made.manifest["blocked"] == ["own_model.py"]
    proof = proven(stage)
    assert proof.verdict == "pass"
    assert row(proof, "values").status == "pass", row(proof, "values")


def test_a_package_of_ones_own_comes_along_with_weights_and_is_blocked_for_programs(tmp_path: Path) -> None:
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("from torch import nn\n\ndef layer():\n    return nn.Linear(5, 2)\n")
    source = "from torch import nn\nfrom .parts import layer\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    (package / "net.py").write_text(source + "        super().__init__(layer())\n")
    wanted = Recipe("own_package.net:Net", inputs=("input=float32[4,5]",), directory=str(tmp_path))
    for kind, blocked in (("weights", []), ("trace", ["own_package"])):
        stage = tmp_path / kind
        stage.mkdir()
        made = make_artifact(MakeArtifact(wanted, kind, str(stage)), quiet_job())
        write_manifest(stage, made.manifest)
        assert made.manifest["blocked"] == blocked
        assert (stage / "own_package" / "parts.py").exists() == (kind == "weights")
        code = (
            "import sys; from workbench.worker.artifact.prove_job import prove; from workbench.worker.job import Job; "
            "from workbench.protocol.messages import Prove; "
            "proof = prove(Prove(sys.argv[1], staged=True), Job(1, lambda body, number: None)); "
            "assert proof.verdict == 'pass' and proof.mark == 'identical' and proof.cases >= 16, proof"
        )
        command = [sys.executable, "-c", code, str(stage)]
        root = Path(__file__).resolve().parents[2]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=100, check=False)
        assert ended.returncode == 0, ended.stderr


def test_nested_inputs_are_kept_and_built_again(tmp_path: Path) -> None:
    tensors = {"features": {"a": torch.ones(4, 2), "b": [torch.ones(4, 2)]}}
    torch.save(tensors, tmp_path / "inputs.pt")
    stage = tmp_path / "stage"
    stage.mkdir()
    wanted = recipe("Nested", (), inputs_files=(str(tmp_path / "inputs.pt"),))
    made = make_artifact(MakeArtifact(wanted, "export", str(stage)), quiet_job())
    write_manifest(stage, made.manifest)
    assert made.manifest["inputs"][0]["tree"]["dict"]["a"] == {"tensor": "features['a']"}
    assert made.manifest["cases"][0]["kind"] == GIVEN
    assert len(made.dynamic) == 2
    assert proven(stage).verdict == "pass"


def test_the_model_itself_is_not_changed_by_an_export() -> None:
    job = Job(1, lambda body, number: None)
    built = build(recipe("Net"), job)
    built.model.train()
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    subject = subject_of(built.model.eval(), built.example, 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trace, "save_or_raise", lambda save, path: None)
        patched.setattr(export, "save_or_raise", lambda save, path: None)
        trace.make(subject, Path("unused"), job)
        export.make(subject, Path("unused"), job)
    assert type(built.model).__name__ == "Net"
    assert all(torch.equal(value, before[name]) for name, value in built.model.state_dict().items())


def test_a_full_disk_is_said_plainly(tmp_path: Path) -> None:
    def full(path: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(WorkbenchError) as caught:
        trace.save_or_raise(full, tmp_path / "model.ts")
    assert caught.value.failure.kind == "write"
    assert "No space left" in caught.value.failure.message


def test_the_shape_logger_is_as_before_after_an_export() -> None:
    import logging

    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    before = list(logger.handlers), logger.level, logger.propagate
    with pytest.raises(RuntimeError), watched_guards():
        raise RuntimeError
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_plans_stay_inside_memory_and_range() -> None:
    assert len(plan(0, 4, 1, None, 100, 0)) >= CASES
    seeds = [case.seed for case in plan(0, 4, 1, None, 100, 0)]
    assert len(set(seeds)) == len(seeds)
    assert 0 not in seeds
    for rows in (1 << 10, 1 << 20, 1 << 23):
        cases = plan(0, 4, 1, None, rows, 0)
        assert sum(case.batch * rows for case in cases) <= BUDGET or len(cases) == FEWEST
    assert all(2 <= case.batch <= 9 for case in plan(0, 4, 2, 9, 100, 0))
    assert {case.batch for case in plan(0, 4, 4, 4, 100, 0)} == {4}
    assert {case.batch for case in plan(0, 0, 0, 0, 0, 100)} == {0}
    assert len(plan(0, 0, 0, 0, 0, BUDGET)) == FEWEST


def test_speed_is_measured_beside_a_control(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    def takes(seconds: float) -> Callable[[], None]:
        return lambda: now.__setitem__(0, now[0] + seconds)

    clock = SimpleNamespace(perf_counter=lambda: now[0])  # only the calls move it
    monkeypatch.setattr(speed, "time", clock)
    measured = speed.measure_speed(takes(2e-3), takes(1e-3), 4, quiet_job(), budget=0.3)
    assert measured.ratio == pytest.approx(2)
    assert measured.control == pytest.approx(1)
    assert measured.low == pytest.approx(measured.high)
    assert (measured.eager, measured.artifact) == (pytest.approx(2e-3), pytest.approx(1e-3))
    assert speed.ROUNDS[0] < measured.rounds < speed.ROUNDS[1]
    slow = speed.measure_speed(takes(2.0), takes(4.0), 4, quiet_job(), budget=0.3)
    assert (slow.rounds, slow.ratio) == (1, pytest.approx(0.5))


def test_a_measurement_of_speed_can_be_cancelled() -> None:
    job = quiet_job()
    job.cancel()
    with pytest.raises(Cancelled):
        speed.measure_speed(lambda: None, lambda: None, 4, job, budget=0.1)


def test_an_artifact_that_is_no_artifact_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "stage").mkdir()
    with pytest.raises(WorkbenchError) as caught:
        foreign.take(tmp_path / "text.txt", "", tmp_path / "stage")
    assert caught.value.failure.kind == "artifact"


def test_what_a_trace_warned_of_is_told_apart_by_whose_line_it_is() -> None:
    import os
    import warnings

    library = os.path.join(os.path.dirname(torch.__file__), "nn", "modules", "rnn.py")
    text = "Converting a tensor to a Python boolean might cause the trace to be incorrect."
    warning = torch.jit.TracerWarning(text)  # type: ignore[attr-defined]
    caught = [
        warnings.WarningMessage(warning, type(warning), str(MODELS), line_of("if x.sum() > 0")),
        warnings.WarningMessage(warning, type(warning), library, 10),
        warnings.WarningMessage(UserWarning("other"), UserWarning, str(MODELS), 1),
    ]
    words = [one.words for one in trace.baked(caught)]
    assert len(words) == 2
    assert words[0].endswith("was baked: if x.sum() > 0:")
    assert "rnn.py:10" in words[1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_another_dtype_is_judged_by_its_own_noise(tmp_path: Path, dtype: str) -> None:
    made = make(tmp_path, "Net", "export", dtype=dtype)
    assert made.manifest["modes"]["dtype"] == dtype
    assert made.manifest["output"]["dtypes"] == {"output": dtype}
    assert made.manifest["yardstick"]["kind"] == ("float64" if dtype == "bfloat16" else "tolerance")
    assert ("float64 itself" in made.manifest["yardstick"]["reason"]) == (dtype == "float64")
    assert proven(tmp_path).verdict == "pass"


def test_a_tolerance_that_was_given_is_written_down(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace", tolerance=1e-3)
    assert made.manifest["yardstick"]["kind"] == "given"
    proof = proven(tmp_path)
    assert (proof.verdict, proof.yardstick) == ("pass", "given")
