"""The store of outputs: copies, sharing, budgets, files, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from workbench.protocol.failures import WorkbenchError
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.store import Store, output_bytes, same_bits


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def flat(value: float, elements: int = 256) -> Flat:
    return flatten({"a": torch.full((elements,), value), "b": torch.arange(4)})


def values(one: Flat) -> list[tuple[str, list[float]]]:
    return [(path, tensor.tolist()) for path, tensor in one.leaves]


def test_what_is_kept_is_a_detached_copy() -> None:
    store = Store()
    weight = torch.ones(3, requires_grad=True)
    output = weight * 2
    store.put(1, flatten(output))
    kept = store.get(1).leaves[0][1]
    assert not kept.requires_grad
    with torch.no_grad():
        output.zero_()
    assert kept.tolist() == [2.0, 2.0, 2.0]
    with torch.inference_mode():
        store.put(2, flatten(torch.ones(2)))
    assert not store.get(2).leaves[0][1].is_inference()


def test_runs_with_the_same_answer_share_one_copy() -> None:
    store = Store()
    store.put(1, flat(1.0))
    size = store.bytes_in_memory
    assert size == output_bytes(flat(1.0)) == 1024 + 32
    for run in range(2, 50):
        store.put(run, flat(1.0), same_as=1)
    assert store.bytes_in_memory == size
    store.drop(1)
    assert values(store.get(2)) == values(flat(1.0))
    for run in range(2, 50):
        store.drop(run)
    assert store.bytes_in_memory == 0


def test_the_oldest_go_to_files_and_come_back_with_the_same_bits(folder: Path) -> None:
    store = Store(memory_budget=4 * 1056)
    for run in range(1, 11):
        store.put(run, flat(float(run)))
    assert store.bytes_in_memory <= 4 * 1056
    assert store.bytes_in_files == 6 * 1056
    assert len(list(folder.glob("*/*.safetensors"))) == 6
    for run in range(1, 11):
        assert same_bits(store.get(run), flat(float(run)))
    store.drop(1)
    assert len(list(folder.glob("*/*.safetensors"))) == 5
    store.close()
    assert list(folder.iterdir()) == []


def test_beyond_the_whole_budget_the_oldest_are_dropped_but_never_the_pinned() -> None:
    store = Store(memory_budget=2 * 1056, total_budget=5 * 1056)
    store.put(1, flat(1.0))
    store.pin({1})
    for run in range(2, 12):
        store.put(run, flat(float(run)))
    assert [run for run in range(1, 12) if run in store] == [1, 8, 9, 10, 11]
    with pytest.raises(WorkbenchError, match="Run 3 is no longer kept") as failure:
        store.get(3)
    assert failure.value.failure.kind == "usage"


def test_what_no_file_can_hold_stays_in_memory_and_within_bounds() -> None:
    store = Store(memory_budget=1000, total_budget=1 << 20)
    for run in range(1, 9):
        store.put(run, flatten(torch.ones(4, 4).to_sparse()))
    assert 1 not in store
    assert 8 in store
    assert store.bytes_in_files == 0
    assert store.bytes_in_memory <= 2000


def test_a_disk_without_room_drops_instead_of_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.worker.tensorfile.save", full)
    store = Store(memory_budget=1056)
    for run in range(1, 9):
        store.put(run, flat(float(run)))
    assert [run for run in range(1, 9) if run in store] == [7, 8]


def test_a_file_that_was_taken_away_is_a_run_no_longer_kept(folder: Path) -> None:
    store = Store(memory_budget=0)
    store.put(1, flat(1.0))
    for file in folder.glob("*/*.safetensors"):
        file.unlink()
    with pytest.raises(WorkbenchError, match="Run 1 is no longer kept"):
        store.get(1)


_KILLED = """
import os, sys, tempfile, torch
tempfile.tempdir = sys.argv[1]
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.store import Store
store = Store(memory_budget=0)
store.put(1, flatten(torch.ones(100)))
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


def test_nothing_is_left_by_a_process_that_ends_or_after_one_that_was_killed(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(folder), "ends"], check=True)
    assert list(folder.iterdir()) == []
    subprocess.run([sys.executable, "-c", _KILLED, str(folder), "killed"], check=False)
    assert len(list(folder.iterdir())) == 1
    alive, later = Store(memory_budget=0), Store(memory_budget=0)
    alive.put(1, flat(1.0))  # finds the dead one's directory
    later.put(1, flat(2.0))  # and must leave the living one's alone
    assert len(list(folder.iterdir())) == 2
    assert same_bits(alive.get(1), flat(1.0))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (torch.tensor([1.0]), torch.tensor([1.0]), True),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), True),
        (torch.tensor([0.0]), torch.tensor([-0.0]), False),
        (torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.bfloat16), False),
        (torch.ones(2, 3), torch.ones(3, 2), False),
        (torch.ones(3, 2).t(), torch.ones(2, 3), True),
        (torch.ones(1).expand(5), torch.ones(5), True),
        (torch.ones(2, dtype=torch.complex64), torch.ones(2, dtype=torch.complex64), True),
        (torch.ones(2, dtype=torch.complex128), torch.ones(2, dtype=torch.complex128) * 2, False),
        (torch.empty(0), torch.empty(0), True),
        (torch.full((2,), complex(float("nan"), 1.0), dtype=torch.complex128),) * 2 + (True,),
        (torch.eye(2).to_sparse(), torch.eye(2).to_sparse(), True),
        (torch.eye(2).to_sparse(), torch.eye(2).to_sparse() * 2, False),
        (torch.eye(2).to_sparse(), torch.eye(2), False),
        (torch.eye(2, device="meta"), torch.eye(2, device="meta"), False),  # not known: compare says so
    ],
)
def test_the_quick_look_for_the_same_bits(a: torch.Tensor, b: torch.Tensor, same: bool) -> None:
    assert same_bits(flatten(a), flatten(b)) is same
