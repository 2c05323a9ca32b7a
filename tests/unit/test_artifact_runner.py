"""A command in a model's place: proven like a file; every way in which it can fail is said, and nothing of it stays."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.artifacts.writers import MODELS
from tests.unit.artifact_bench import failed, quiet_job, row, write_manifest
from workbench.protocol.artifacts import Proof
from workbench.protocol.messages import MakeGolden, Prove
from workbench.protocol.model import Recipe
from workbench.protocol.outside import Metric, Runner
from workbench.worker.artifact.bundle import make_golden
from workbench.worker.artifact.prove_job import prove
from workbench.worker.artifact.runner import RunnerCall, RunnerFailed, WrongNames
from workbench.worker.job import Cancelled, Job

COPY = "cp {inputs} {outputs}"

MANIFEST: dict[str, Any] = {
    "inputs": [{"name": "output", "passed": "positional"}],
    "output": {"paths": ["output"]},
}


def call(command: str, tmp_path: Path, job: Job | None = None, **more: Any) -> torch.Tensor:
    runner = Runner(command, str(tmp_path), **more)
    (found,) = RunnerCall(runner, MANIFEST, job or quiet_job())(torch.arange(6.0).reshape(2, 3))
    return found


def shell(script: str) -> str:
    """A command of which a shell of its own does the work, whatever --runner-shell says."""
    return f"sh -c {shlex.quote(script)} {{inputs}} {{outputs}}"


def gone(pid: int, seconds: float = 100.0) -> bool:
    """Whether the process ends, or is dead and only not yet buried, within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def appeared(path: Path, seconds: float = 100.0) -> int:
    """The number that a command writes there. Raises TimeoutError when it never does."""
    until = time.monotonic() + seconds
    while not path.exists() or not path.read_text().endswith("\n"):
        if time.monotonic() > until:
            raise TimeoutError(f"nothing was written to {path}")
        time.sleep(0.01)
    return int(path.read_text())


def test_named_tensors_go_in_and_come_out(tmp_path: Path) -> None:
    assert torch.equal(call(COPY, tmp_path), torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (shell("echo first >&2; echo boom >&2; exit 3"), "ended with exit code 3; stderr: first | boom"),
        (shell("kill -9 $$"), "was ended by SIGKILL"),
        ("true {inputs} {outputs}", "wrote no outputs file"),
        (shell("echo junk > $1"), "no .safetensors file"),
        ("no-such-program-anywhere {inputs} {outputs}", "there is no program no-such-program-anywhere"),
        (f"{os.devnull} {{inputs}} {{outputs}}", "could not be started"),
    ],
)
def test_what_went_wrong_is_said(tmp_path: Path, command: str, words: str) -> None:
    with pytest.raises(RunnerFailed) as caught:
        call(command, tmp_path)
    assert words in str(caught.value)


def test_inputs_come_under_their_whole_names(tmp_path: Path) -> None:
    entries = [{"name": name, "passed": "positional"} for name in ("a", "b", "mask")]
    names = ("a.0", "b.0", "b.mask", "mask")
    manifest = {"inputs": entries, "output": {"paths": [f"output['{name}']" for name in names]}}
    one, two, three, four = (torch.full((2,), float(number)) for number in range(4))
    call = RunnerCall(Runner(COPY, str(tmp_path)), manifest, quiet_job())
    found = call([one], {"0": two, "mask": three}, four)
    assert [float(leaf[0]) for leaf in found] == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(RunnerFailed) as caught:
        call([one], {"x": {"y": two}, "x.y": three}, four)
    assert "under one name, b.x.y" in str(caught.value)


def test_other_names_are_listed_beside_eagers(tmp_path: Path) -> None:
    manifest = {**MANIFEST, "output": {"paths": ["output['logits']", "output['aux']"]}}
    with pytest.raises(WrongNames) as caught:
        RunnerCall(Runner(COPY, str(tmp_path)), manifest, quiet_job())(torch.ones(2))
    assert str(caught.value) == "it wrote output; eager's outputs are logits, aux"


def test_no_shell_reads_the_command_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "made by a shell"
    command = f"{COPY}; touch {shlex.quote(str(target))}"
    with pytest.raises(RunnerFailed):
        call(command, tmp_path)
    assert not target.exists()
    call(command, tmp_path, shell=True)
    assert target.exists()


def test_it_runs_where_the_person_is(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\ncp $1 $2\n")
    (tmp_path / "run.sh").chmod(0o755)
    assert call("./run.sh {inputs} {outputs}", tmp_path).shape == (2, 3)


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
def test_one_that_takes_too_long_is_ended_with_its_children(tmp_path: Path, stubborn: str) -> None:
    child = tmp_path / "child"
    with pytest.raises(RunnerFailed) as caught:
        call(shell(f"{stubborn}sleep 600 & echo $! > {child}; echo waiting >&2; wait"), tmp_path, timeout=1.0)
    assert "did not answer within 1 s; stderr: waiting" in str(caught.value)
    assert gone(appeared(child))


def test_what_a_command_left_running_ends_with_the_call(tmp_path: Path) -> None:
    child = tmp_path / "child"
    found = call(shell(f"sleep 600 & echo $! > {child}; cp $0 $1"), tmp_path)
    assert found.shape == (2, 3)
    assert gone(appeared(child))


def test_a_cancel_ends_it(tmp_path: Path) -> None:
    child, job = tmp_path / "child", quiet_job()
    canceller = threading.Thread(target=lambda: (appeared(child), job.cancel()), daemon=True)
    canceller.start()
    with pytest.raises(Cancelled):
        call(shell(f"sleep 600 & echo $! > {child}; wait"), tmp_path, job)
    canceller.join()
    assert gone(appeared(child))


def test_it_does_not_outlive_a_worker_that_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    command = shell(f"sleep 600 & echo $! > {child}; wait")
    script = f"import torch; from tests.unit.test_artifact_runner import *; call({command!r}, Path({str(tmp_path)!r}))"
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2])
    pid = appeared(child)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert gone(pid)


def proven(tmp_path: Path, model: str, command: str, metrics: tuple[Metric, ...] = ()) -> Proof:
    runner, stage = Runner(command, str(tmp_path)), tmp_path / "stage"
    stage.mkdir()
    recipe = Recipe(f"{MODELS}:{model}", inputs=("output=float32[batch:1..9,3]",))
    made = make_golden(MakeGolden(recipe, "", "", str(stage), runner=runner), quiet_job())
    write_manifest(stage, made.manifest)
    return prove(Prove(str(stage), staged=True, runner=runner, metrics=metrics), quiet_job())


def test_a_right_runner_passes_the_whole_suite(tmp_path: Path) -> None:
    proof = proven(tmp_path, "Echo", COPY)
    assert proof.verdict == "pass", proof.checks
    assert {one.id for one in proof.checks if one.status == "skip"} == {"weights_match", "train_ops", "clean"}
    assert row(proof, "load").evidence.startswith("cp {inputs} {outputs}, a case at a time")


def test_a_wrong_one_is_refused_and_named(tmp_path: Path) -> None:
    proof = proven(tmp_path, "Twice", COPY)
    assert failed(proof) == {"values"}
    assert row(proof, "values").cause == "output is 0.5 times eager's values"


def test_one_that_does_not_repeat_is_refused(tmp_path: Path) -> None:
    """Every time it writes another byte into the data."""
    byte = 'printf "\\\\$(printf %o $(($$ % 64)))"'
    script = f"cp $0 $1; {byte} | dd of=$1 bs=1 seek=$(($(stat -c %s $1) - 2)) conv=notrunc 2>/dev/null"
    proof = proven(tmp_path, "Echo", shell(script))
    assert {"values", "repeat"} <= failed(proof)


def test_one_that_does_not_run_would_not_load(tmp_path: Path) -> None:
    proof = proven(tmp_path, "Echo", shell("echo no engine >&2; exit 1"))
    assert proof.verdict == "error"
    assert row(proof, "load").evidence == "it ended with exit code 1; stderr: no engine"


def test_one_of_other_names_is_refused_for_its_structure(tmp_path: Path) -> None:
    proof = proven(tmp_path, "Named", COPY)
    assert proof.verdict == "fail"
    assert "it wrote output; eager's outputs are logits" in row(proof, "structure").evidence
