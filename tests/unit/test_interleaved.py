"""Threads that are made to change places: between operators, whatever the machine and Python would do by themselves."""

from __future__ import annotations

import sys
import threading

import pytest
import torch

from workbench.worker.judge import interleaved


def _turns(rounds: int) -> list[int]:
    """Which thread runs each operator, of two that run some."""
    begun = threading.Barrier(2)
    turns: list[int] = []

    def run(own: int) -> None:
        tensor = torch.zeros(1)
        begun.wait(20)
        with interleaved.giving_way():
            for _ in range(rounds):
                tensor.add_(1)
                turns.append(own)

    threads = [threading.Thread(target=run, args=(own,)) for own in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return turns


def test_no_thread_runs_to_its_end_before_the_other_begins() -> None:
    turns = _turns(2000)
    assert turns != sorted(turns)
    assert turns != sorted(turns, reverse=True)


def test_long_forwards_give_way_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("workbench.worker.judge.interleaved.time.sleep", naps.append)
    with interleaved.giving_way():
        for _ in range(100_000):
            len("")
    assert 256 < len(naps) < 4000


def test_a_profiler_and_the_interval_are_as_before() -> None:
    interval = sys.getswitchinterval()
    with interleaved.eager_switching(), interleaved.giving_way():
        assert sys.getswitchinterval() < interval
    assert (sys.getswitchinterval(), sys.getprofile()) == (interval, None)
    events: list[str] = []
    sys.setprofile(lambda frame, event, argument: events.append(event))
    try:
        mine = sys.getprofile()
        with interleaved.giving_way():
            assert sys.getprofile() is mine
    finally:
        sys.setprofile(None)
    assert events
