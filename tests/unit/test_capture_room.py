"""What a model holds beside its state is weighed before it is written, so that no forward waits for it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.test_capture import answer, opened, refused
from workbench import capture
from workbench.protocol.captures import read_capture
from workbench.recorder.record import EARLY_REST
from workbench.recorder.room import Room, TooMuch, weigh

X = torch.ones(1, 2)
EARLY_TENSORS, EARLY_PLAIN, EARLY_OBJECTS = EARLY_REST


def holder(held: Any) -> nn.Module:
    """A model that holds something beside its state; of torch, so that a capture opens it without a source."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    net.held = held
    return net


def closed_over(size: int) -> Any:
    held = bytes(size)
    return lambda: held


LARGE = {
    "a tensor": lambda: torch.zeros(EARLY_TENSORS // 4 + 1),
    "a small view of a large tensor": lambda: torch.zeros(EARLY_TENSORS // 4 + 1)[:2],
    "tensors in a list": lambda: [torch.zeros(EARLY_TENSORS // 8) for _ in range(3)],
    "a sparse tensor": lambda: torch.ones(EARLY_TENSORS // 8).to_sparse(),
    "a tensor of another class": lambda: torch.zeros(EARLY_TENSORS // 4 + 1).as_subclass(Other),
    "an array": lambda: np.zeros(EARLY_PLAIN + 1, np.uint8),
    "bytes": lambda: bytes(EARLY_PLAIN + 1),
    "texts": lambda: [f"word {number}" for number in range(EARLY_OBJECTS + 1)],
    "what a function closes over": lambda: closed_over(EARLY_PLAIN + 1),
}


class Other(torch.Tensor):
    pass


def bytes_below(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


@pytest.mark.parametrize("what", LARGE)
def test_no_forward_waits_for_what_a_model_holds_beside_its_state(tmp_path: Path, what: str) -> None:
    net = holder(LARGE[what]())
    captured = capture.watch(net, str(tmp_path / "a"))
    net(X)
    found = read_capture(str(tmp_path / "a"))
    assert (found.cut, found.samples, found.source, found.whole_state) == (True, 1, "", True)
    assert "beside its state it holds" in found.why
    assert "written when the capture is closed" in found.why
    assert bytes_below(tmp_path / "a") < 1 << 20
    assert "cannot be built" in refused(tmp_path / "a", trusted=found.sha256).message
    captured.close()


@pytest.mark.parametrize("what", ["a tensor", "tensors in a list", "bytes", "texts"])
def test_it_is_written_at_the_end(tmp_path: Path, what: str) -> None:
    held = LARGE[what]()
    net = holder(held)
    with capture.watch(net, str(tmp_path / "a")) as captured:
        net(X)
    assert captured.why == ""
    built = opened(tmp_path / "a")
    assert torch.equal(answer(built), net(X))
    many = held if isinstance(held, list) else [held]
    back = built.model.held if isinstance(held, list) else [built.model.held]
    same = [torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(many, back, strict=True)]
    assert all(same)


def test_more_than_there_is_room_for_is_not_written_and_that_is_said(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), holder(torch.zeros(1 << 19)))
    with capture.watch(net, str(tmp_path / "a"), megabytes=1) as captured:
        net(X)
    assert "tensors of more than 1 MB, 1.held among them" in captured.why
    assert "megabytes=" in captured.why
    found = read_capture(str(tmp_path / "a"))
    assert (found.samples, found.source, found.why in captured.why) == (1, "", True)
    assert bytes_below(tmp_path / "a") < 1 << 20
    assert "1.held" in refused(tmp_path / "a", trusted=found.sha256).message
    with capture.watch(net, str(tmp_path / "b"), megabytes=3) as captured:
        net(X)
    assert captured.why == ""
    assert torch.equal(answer(opened(tmp_path / "b")), net(X))


def test_memory_is_weighed_once_and_the_state_not_at_all() -> None:
    net = nn.Linear(64, 64)
    base = torch.zeros(1 << 10)
    net.held, net.state = [base, base[:4], base.view(2, -1)], {"tied": net.weight}
    weigh(net, Room(base.nbytes, 1 << 20, 10_000))
    with pytest.raises(TooMuch, match=r"a float32\[1024\] among them"):
        weigh(net, Room(base.nbytes - 1, 1 << 20, 10_000))


def test_an_array_is_weighed_once() -> None:
    weigh(holder(np.zeros(1 << 20, np.uint8)), Room(0, (1 << 20) + 20_000, 10_000))
    with pytest.raises(TooMuch):
        weigh(holder(np.zeros(1 << 20, np.uint8)), Room(0, 1 << 20, 10_000))


def test_what_cannot_be_pickled_weighs_nothing_and_the_rest_does() -> None:
    net = holder([threading.Lock(), open(os.devnull).close, bytes(1 << 20)])  # noqa: SIM115 (closed with the test)
    with pytest.raises(TooMuch, match="no tensors"):
        weigh(net, Room(0, 1 << 20, 10_000))
    weigh(net, Room(0, 2 << 20, 10_000))


class Remembers(nn.Linear):
    def get_extra_state(self) -> Any:
        return {"seen": bytes(EARLY_PLAIN + 1)}

    def set_extra_state(self, state: Any) -> None:
        pass


def test_no_forward_waits_for_an_extra_state(tmp_path: Path) -> None:
    net = Remembers(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"))
    net(X)
    assert not read_capture(str(tmp_path / "a")).whole_state
    assert bytes_below(tmp_path / "a") < 1 << 20
    captured.close()
    assert read_capture(str(tmp_path / "a")).whole_state
