"""Cancels and lines that come just before, while and just after a run stands still: each order is made, not waited for.

What the reader thread would do is done here at the very step of the pause at which it could come in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.inside import Evaluate, Evaluated, Paused, Resumed
from workbench.protocol.messages import Fire
from workbench.worker.inside.pause import Aborted, Pauses
from workbench.worker.job import Job

Step = Callable[[], None]


class Stand:
    """A job on the main thread, with a place to come in between at each step of its pause."""

    def __init__(self) -> None:
        self.pauses = Pauses(self._work, lambda job, function: function(), self._still)
        self.pauses.attended = True
        self.sent: list[str] = []
        self.answers: list[Any] = []
        self.at: dict[str, Step] = {}
        """Step → what comes in then: "stands" (it is known to stand still), "Paused", "line", "Resumed", "goes on"."""
        self.job = Job(1, self._send)
        self.pauses.begin(Fire(), self.job)

    def cancel(self) -> None:
        """As the reader thread does."""
        self.job.cancel()
        self.pauses.cancel(self.job)

    def line(self, text: str, pause: int = 1) -> bool:
        """Whether the pause took it; its answer comes to `answers`."""
        return self.pauses.take(Evaluate(text, pause), Job(2, self._send))

    def must_take(self, text: str, pause: int = 1) -> None:
        assert self.line(text, pause), "a line of this pause was not taken"

    def _send(self, body: Any, number: int | None) -> None:
        self.sent.append(type(body).__name__)
        self._step(type(body).__name__)

    def _still(self, still: bool) -> None:
        self._step("stands" if still else "goes on")

    def _work(self, request: Any, job: Job, function: Callable[[], Any]) -> None:
        self._step("line")
        try:
            self.answers.append(function())
        except WorkbenchError as problem:
            self.answers.append(problem.failure.message)

    def _step(self, name: str) -> None:
        self.at.pop(name, lambda: None)()


@pytest.fixture
def on() -> Stand:
    return Stand()


def test_a_cancel_that_came_before_the_breakpoint_aborts_there(on: Stand) -> None:
    on.cancel()
    with pytest.raises(Aborted):
        on.pauses.hook()
    assert on.sent == [Paused.__name__, Resumed.__name__]


@pytest.mark.parametrize("step", ["stands", "Paused", "line"])
def test_a_cancel_that_comes_while_it_stands_still_wakes_it(on: Stand, step: str) -> None:
    def paused() -> None:
        on.must_take("1 + 1")
        if step == "Paused":
            on.cancel()

    on.at["Paused"] = paused
    if step != "Paused":
        on.at[step] = on.cancel
    with pytest.raises(Aborted):
        on.pauses.hook()
    assert on.sent == [Paused.__name__, Resumed.__name__]
    assert len(on.answers) == 1  # the line was answered, by its value or as one that came too late


def test_a_cancel_between_its_two_halves_aborts_once_and_leaves_nothing_behind(on: Stand) -> None:
    """The flag is set before the breakpoint, the pause is told after it."""
    on.job.cancel()
    on.at["stands"] = lambda: on.pauses.cancel(on.job)
    with pytest.raises(Aborted):
        on.pauses.hook()
    following = Job(3, on._send)
    on.pauses.begin(Fire(), following)
    on.at["Paused"] = lambda: on.must_take("c", 2)
    on.pauses.hook()  # goes on: the old cancel does not reach it
    assert isinstance(on.answers[-1], Evaluated)
    assert on.answers[-1].ended


def test_a_line_that_comes_with_the_one_that_goes_on_is_turned_away_and_not_lost(on: Stand) -> None:
    on.at["Paused"] = lambda: on.must_take("c")
    on.at["line"] = lambda: on.must_take("1 + 1")
    on.pauses.hook()
    assert on.answers[0].ended
    assert "has gone on" in on.answers[1]


@pytest.mark.parametrize("step", ["Resumed", "goes on"])
def test_a_line_that_comes_after_it_is_no_line_of_the_pause(on: Stand, step: str) -> None:
    taken: list[bool] = []
    on.at["Paused"] = lambda: on.must_take("c")
    on.at[step] = lambda: taken.append(on.line("1 + 1"))
    on.pauses.hook()
    assert taken == [False]
    assert len(on.answers) == 1


def test_a_cancel_that_comes_after_it_wakes_nobody(on: Stand) -> None:
    on.at["Paused"] = lambda: on.must_take("c")
    on.at["Resumed"] = on.cancel
    on.pauses.hook()
    assert on.job.cancelled  # the job sees it at its own next place to stop
