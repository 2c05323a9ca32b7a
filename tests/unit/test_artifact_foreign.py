"""Artifacts that somebody else made with plain torch: right ones pass, wrong ones are refused for what they are."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.artifact_bench import eager, failed, proven, quiet_job, recipe, row, write_manifest
from workbench.protocol.artifacts import Proof
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MakeGolden
from workbench.supervisor.fingerprint import fingerprint
from workbench.worker import tensorfile
from workbench.worker.artifact.bundle import make_golden
from workbench.worker.artifact.inspect_pt2 import batch_range
from workbench.worker.artifact.parameters import describe_tensors, match_parameters

X = torch.zeros(4, 5)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verified(
    path: Path,
    name: str = "Net",
    sha256: str = "",
    inputs: tuple[str, ...] = ("x=float32[4,5]",),
    kind: str = "",
    **more: Any,
) -> Proof:
    stage = path.parent / f"{path.name}.stage"
    stage.mkdir()
    request = MakeGolden(recipe(name, inputs), str(path), sha256 or digest(path), str(stage), kind=kind, **more)
    made = make_golden(request, quiet_job())
    assert made.sha256 == digest(path)
    write_manifest(stage, made.manifest)
    return proven(stage)


def traced(model: Any, path: Path) -> Path:
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, X, check_trace=False, strict=False), str(path))
    return path


def exported(model: Any, path: Path, rows: int = 4, **more: Any) -> Path:
    with torch.no_grad():
        torch.export.save(torch.export.export(model, (torch.zeros(rows, 5),), **more), str(path))
    return path


def scripted(model: Any, path: Path) -> Path:
    torch.jit.save(torch.jit.script(model), str(path))
    return path


def state_pt(model: Any, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


def state_safetensors(model: Any, path: Path) -> Path:
    tensorfile.save(str(path), model.state_dict())
    return path


def state_legacy(model: Any, path: Path) -> Path:
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    return path


def checkpoint(model: Any, path: Path) -> Path:
    torch.save({"epoch": 3, "model": model.state_dict(), "lr": 0.1}, path)
    return path


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (traced, "a.pt"),
        (scripted, "b.pt"),
        (exported, "c.pt2"),
        (state_pt, "d.pt"),
        (state_safetensors, "e.safetensors"),
        (state_legacy, "legacy.pt"),
        (checkpoint, "checkpoint.pt"),
        (traced, "no_suffix"),
        (traced, "verify.py"),
    ],
)
def test_a_right_one_passes(tmp_path: Path, write: Callable[[Any, Path], Path], name: str) -> None:
    path = write(eager("Net"), tmp_path / name)
    proof = verified(path, kind=fingerprint(str(path), threading.Event()).kind)
    assert proof.verdict == "pass", proof.checks
    assert proof.cases >= 16


def test_a_program_of_one_size_is_proven_at_that_size(tmp_path: Path) -> None:
    proof = verified(exported(eager("Net"), tmp_path / "fixed.pt2", rows=6))
    assert proof.verdict == "pass"
    assert row(proof, "sizes").evidence == "batch 6 only: the artifact serves 6 rows only"


def test_a_program_of_one_size_is_refused_where_more_were_declared(tmp_path: Path) -> None:
    proof = verified(exported(eager("Net"), tmp_path / "fixed.pt2", rows=6), inputs=("x=float32[batch:1..64,5]",))
    assert proof.verdict == "fail"
    assert row(proof, "sizes").evidence.startswith("batch 1, 2, 3,")
    assert row(proof, "sizes").evidence.endswith(": AssertionError: Guard failed: x.size()[0] == 6")
    assert row(proof, "sizes").cause.startswith("its batch is fixed at 6")


def test_a_program_whose_range_torch_found_serves_what_was_declared(tmp_path: Path) -> None:
    path = exported(eager("Net"), tmp_path / "auto.pt2", dynamic_shapes=({0: torch.export.Dim.AUTO},))
    proof = verified(path, inputs=("x=float32[batch:1..64,5]",))
    assert proof.verdict == "pass", proof.checks
    assert row(proof, "sizes").evidence.startswith("batch 1, ")


def test_a_scripted_branch_is_right_on_both_sides(tmp_path: Path) -> None:
    assert verified(scripted(eager("Branch"), tmp_path / "a.pt"), "Branch").verdict == "pass"


def stale(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def off_by_a_thousandth(model: Any) -> Any:
    with torch.no_grad():
        model.fc2.bias += 1e-3
    return model


@pytest.mark.parametrize("write", [traced, exported, scripted, state_pt, state_safetensors])
@pytest.mark.parametrize("spoil", [stale, off_by_a_thousandth])
def test_other_weights_are_refused_and_named(
    tmp_path: Path, write: Callable[[Any, Path], Path], spoil: Callable[[Any], Any]
) -> None:
    proof = verified(
        write(spoil(eager("Net")), tmp_path / f"a{'.safetensors' if 'safe' in write.__name__ else '.pt2'}")
    )
    assert proof.verdict == "fail"
    assert {"weights_match", "values"} <= failed(proof)
    assert ("fc1.weight" if spoil is stale else "fc2.bias") in row(proof, "weights_match").evidence


@pytest.mark.parametrize("write", [traced, exported, scripted])
def test_a_train_mode_one_is_refused_and_named(tmp_path: Path, write: Callable[[Any, Path], Path]) -> None:
    proof = verified(write(eager("Net").train(), tmp_path / "a.pt2"))
    assert {"train_ops", "values"} <= failed(proof)
    assert "drop: dropout p=0.5" in row(proof, "train_ops").evidence


@pytest.mark.parametrize("name", ["a.pt", "a.pt2", "a.ts"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_off_one_does_not_load_and_nothing_crashes(tmp_path: Path, name: str, share: float) -> None:
    path = (exported if name.endswith("2") else traced)(eager("Net"), tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    proof = verified(path)
    assert proof.verdict == "error"
    assert row(proof, "load").status == "error"


def test_bytes_that_were_not_trusted_are_not_loaded(tmp_path: Path) -> None:
    path = traced(eager("Net"), tmp_path / "a.pt")
    with pytest.raises(WorkbenchError) as caught:
        verified(path, sha256="0" * 64)
    assert caught.value.failure.kind == "trust"


def test_a_file_of_another_kind_than_was_approved_is_not_loaded(tmp_path: Path) -> None:
    """Its digest was taken after its kind: data was approved, and what has that digest runs code."""
    path = traced(eager("Net"), tmp_path / "a.pt")
    with pytest.raises(WorkbenchError) as caught:
        verified(path, kind="state_dict")
    assert caught.value.failure.kind == "trust"
    assert "torchscript, not state_dict" in caught.value.failure.message


def test_a_cut_off_safetensors_does_not_load(tmp_path: Path) -> None:
    path = state_safetensors(eager("Net"), tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    proof = verified(path, kind="unknown")
    assert proof.verdict == "error"
    assert "a.safetensors did not load" in row(proof, "load").evidence


def test_an_answer_that_is_no_ordinary_tensor_is_refused(tmp_path: Path) -> None:
    class Sparse(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x @ torch.ones(5, 3)).to_sparse()

    proof = verified(scripted(Sparse(), tmp_path / "a.pt"))
    assert proof.verdict == "fail"


def test_a_parameter_that_is_no_ordinary_tensor_is_named() -> None:
    expected = describe_tensors([("w", torch.eye(3))])
    status, evidence = match_parameters([("w", torch.eye(3).to_sparse())], expected)
    assert (status, "w is sparse_coo" in evidence) == ("fail", True)
    assert match_parameters([("other", torch.eye(3).to_sparse())], expected)[0] == "skip"


def test_a_class_of_tensors_may_come_as_a_tuple_from_somebody_else(tmp_path: Path) -> None:
    model = eager("Classy")

    class AsTuple(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            answer = self.model(x, factor=factor)
            return answer.logits, answer.extra[1]

    path = tmp_path / "a.pt"
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(AsTuple(), (X, torch.ones(())), check_trace=False), str(path))
    proof = verified(path, "Classy", inputs=("x=float32[4,5]", "factor=float32[]"))
    assert proof.verdict == "pass", proof.checks
    assert row(proof, "weights_match").status == "pass"


@pytest.mark.parametrize("by_name", [True, False])
def test_the_batch_of_a_program_is_where_the_example_has_it(tmp_path: Path, by_name: bool) -> None:
    model, table, x = eager("TimeFirst"), torch.ones(7, 2), torch.zeros(16, 4, 5)
    rows = {1: torch.export.Dim("batch", min=1, max=64)}

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, weights: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            return self.model(weights, steps)

    shapes = {"table": None, "x": rows} if by_name else {"weights": None, "steps": rows}
    with torch.no_grad():
        program = torch.export.export(model if by_name else Wrapped(), (table, x), dynamic_shapes=shapes)
    torch.export.save(program, str(tmp_path / "net.pt2"))
    proof = verified(tmp_path / "net.pt2", "TimeFirst", inputs=("table=float32[7,2]", "x=float32[16,batch:1..64,5]"))
    assert row(proof, "sizes").status == "pass"
    assert row(proof, "sizes").evidence == "batch 1, 2, 3, 4, 5, 7, 17, 64"


def test_the_batch_of_a_program_is_what_all_its_inputs_serve(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.sum(0) + y.sum(1)

    one, other = torch.export.Dim("one", min=2, max=32), torch.export.Dim("other", min=4, max=64)
    shapes = {"x": {0: one}, "y": {1: other}}
    program = torch.export.export(Sum(), (torch.zeros(4, 3), torch.zeros(3, 8)), dynamic_shapes=shapes)
    path = tmp_path / "sum.pt2"
    torch.export.save(program, str(path))
    assert batch_range(path, ["x", "y"], {"x": 0, "y": 1}) == (4, 32)
    assert batch_range(path, ["x", "y"], {"x": 1}) == (3, 3)
    assert batch_range(path, ["a", "b"], {"b": 1}) == (4, 64)
    assert batch_range(path, ["x", "y"], {}) is None
    assert batch_range(path, ["x"], {"z": 0}) is None


def test_the_state_of_the_bench_is_what_it_is_held_to(tmp_path: Path) -> None:
    changed = eager("Net")
    with torch.no_grad():
        changed.fc1.weight.mul_(1.5)
    state = state_pt(changed, tmp_path / "state.pt")
    assert "weights_match" in failed(verified(traced(changed, tmp_path / "net.ts")))
    (tmp_path / "again").mkdir()
    again = traced(changed, tmp_path / "again" / "net.ts")
    assert verified(again, state=str(state)).verdict == "pass"


def test_names_with_something_in_front_are_said_with_the_command_that_mends_them(tmp_path: Path) -> None:
    model = eager("Net")
    path = tmp_path / "wrapped.pt"
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, path)
    found = row(verified(path), "load")
    assert found.evidence == "wrapped.pt: every name has module. in front, which the model's names have not"
    assert found.remedy.startswith("workbench repair wrapped.pt --against MODEL --out mended.safetensors")
    path = tmp_path / "inner.pt"
    torch.save(model.fc1.state_dict(), path)
    assert "fc1.weight is missing" in row(verified(path), "load").evidence  # that is not all of it


def test_a_program_that_is_cut_off_is_said_so_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = exported(eager("Net"), tmp_path / "net.pt2")
    path.write_bytes(path.read_bytes()[:-200])
    found = row(verified(path), "load")
    assert "is truncated or damaged" in found.evidence
    assert found.remedy.startswith("Get the file again from where it was made")
    assert "Traceback" not in caplog.text


def test_buffers_that_the_proof_itself_moved_are_read_from_the_file(tmp_path: Path) -> None:
    path = traced(eager("Net").train(), tmp_path / "train.ts")
    stored = int(torch.jit.load(str(path)).norm.num_batches_tracked)
    proof = verified(path, inputs=("x=float32[batch:2..8,5]",))
    assert f"num_batches_tracked [] (mean {stored} against 0" in row(proof, "weights_match").evidence
    assert f"num_batches_tracked: {stored} in place of 0" in row(proof, "weights_match").cause
    assert "--weights" in row(proof, "weights_match").remedy


def test_the_right_values_in_another_container_are_named_so(tmp_path: Path) -> None:
    class Listed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor], torch.Tensor]:
            return (x + 1,), x * 3

    for check in ("structure", "values"):
        found = row(verified(traced(Listed(), tmp_path / f"{check}.ts"), "Two"), check)
        assert found.cause == "it answers eager's values as sequence of 2 in place of mapping of 2"
        assert found.remedy


class Ordered(torch.nn.Module):
    """The tensors of a dict in a tuple, as what cannot answer with a dict is wrapped."""

    def __init__(self, model: Any, backwards: bool) -> None:
        super().__init__()
        self.model, self.backwards = model, backwards

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = tuple(self.model(x).values())
        return values[::-1] if self.backwards else values


@pytest.mark.parametrize("backwards", [False, True])
def test_a_tuple_in_the_order_of_a_dict_is_compared_by_place_and_says_so(backwards: bool, tmp_path: Path) -> None:
    path = traced(Ordered(eager("Two"), backwards), tmp_path / "a.ts")
    proof = verified(path, "Two")
    said = [one.words for one in proof.findings if one.id == "names"]
    assert [words.startswith("eager answers with a dict, it with a tuple") for words in said] == [True]
    assert bool(failed(proof)) is backwards


def test_what_is_named_otherwise_than_by_a_dict_is_not_said_to_be_one(tmp_path: Path) -> None:
    class Pair(torch.nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            answer = self.model(x, factor=factor)
            return answer.logits, answer.extra[1]

    with torch.no_grad():
        pair = torch.jit.trace(Pair(eager("Classy")), (X, torch.ones(1)), check_trace=False)
    torch.jit.save(pair, str(tmp_path / "a.ts"))
    proof = verified(tmp_path / "a.ts", "Classy", inputs=("x=float32[4,5]", "factor=float32[1]"))
    assert failed(proof) == set()
    assert [one for one in proof.findings if one.id == "names"] == []
