"""A run that stands still at a breakpoint, in a real worker: looked at, continued, given up, killed, and left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.talking import Worker
from workbench.protocol.codec import Envelope
from workbench.protocol.inside import Attend, Complete, Evaluate, Evaluated, LookInside, Paused, Resumed
from workbench.protocol.messages import Cancel, Check, Done, Fire, Load
from workbench.protocol.model import Recipe
from workbench.protocol.results import result_of

STOPPING = Path(__file__).parent / "stopping_models.py"


def load(name: str) -> Load:
    return Load(Recipe(f"{STOPPING}:{name}", inputs=("x=float32[4,10]",)))


def attended() -> Worker:
    worker = Worker()
    worker.greeting()
    worker.send(Attend())
    worker.receive()
    return worker


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One for all, with somebody there to answer."""
    worker = attended()
    yield worker
    assert worker.close() == 0


def until(worker: Worker, kind: type) -> Envelope:
    while not isinstance((envelope := worker.receive()).body, kind):
        continue
    return envelope


def stopped(worker: Worker, name: str = "Stops", request: Any = None) -> tuple[int, Paused]:
    """A job that stands still."""
    worker.ask(load(name))
    job = worker.send(request or Fire())
    event = until(worker, Paused)
    assert event.job == job
    return job, event.body


def line(worker: Worker, pause: Paused, text: str) -> Evaluated:
    number = worker.send(Evaluate(text, pause.number))
    end = until(worker, Done)
    assert end.job == number, end
    answer = result_of(end.body, foreign=True)
    assert isinstance(answer, Evaluated), end.body
    return answer


def test_a_breakpoint_stands_still_and_shows_where(worker: Worker) -> None:
    job, pause = stopped(worker)
    assert pause.where.startswith("stopping_models.py:")
    assert pause.place.endswith(" forward")
    assert "→" in pause.text
    assert "breakpoint()" in pause.text or "self.drop(hidden)" in pause.text
    assert line(worker, pause, "factor").output == "3.0"
    assert line(worker, pause, "hidden.shape").output == "torch.Size([4, 4])"
    assert line(worker, pause, "[hidden[i, 0] * factor for i in range(2)] and _").output == "torch.Size([4, 4])"
    assert line(worker, pause, "c").ended
    assert until(worker, Resumed).body.number == pause.number
    row = result_of(worker.end_of(job), foreign=True)
    assert "paused for" in row.note
    assert pause.where in row.note
    assert row.growth == 0


def test_what_is_set_in_the_frame_is_what_runs_on(worker: Worker) -> None:
    worker.ask(load("Stops"))
    job = worker.send(Fire())
    pause = until(worker, Paused).body
    line(worker, pause, "hidden = hidden * 0 + 7; self.drop.p = 0.0; extra = 1")
    assert line(worker, pause, "extra + 1").output == "2"
    line(worker, pause, "continue")
    worker.end_of(job)
    assert worker.ask(Evaluate("float(y.min()), float(y.max())")).output == "(21.0, 21.0)"


def test_the_words_of_a_debugger(worker: Worker) -> None:
    job, pause = stopped(worker)
    assert "forward" in line(worker, pause, "w").output
    assert "outermost" in line(worker, pause, "u").output
    assert "no stepping" in line(worker, pause, "n").output
    assert "x = tensor" in line(worker, pause, "a").output
    assert "abort the run" in line(worker, pause, "h").output
    assert "NameError" in line(worker, pause, "nothing_of_that_name").error
    assert line(worker, pause, "w = 5").error == ""
    assert line(worker, pause, "w").output == "5"
    assert "forward" in line(worker, pause, "where").output
    words = worker.send(Complete("self.dr", pause.number))
    end = until(worker, Done)
    assert end.job == words
    assert result_of(end.body, foreign=True).words == ("drop",)
    assert line(worker, pause, "q").ended
    failure = worker.end_of(job).failure
    assert failure is not None
    assert failure.kind == "cancelled"
    assert pause.where in failure.message


def test_esc_gives_the_run_up_and_the_bench_lives(worker: Worker) -> None:
    job, pause = stopped(worker)
    worker.send(Cancel(job), job=99_999)
    ends = {(end := until(worker, Done)).job: end.body for _ in range(2)}
    failure = ends[job].failure
    assert failure is not None
    assert failure.kind == "cancelled"
    assert f"Aborted at {pause.where}" in failure.message
    assert worker.refused(Evaluate("1", pause.number)).kind == "usage"
    assert worker.ask(Evaluate("1 + 1")).output == "2"


def test_a_long_line_is_interrupted_and_the_run_stands_still_on(worker: Worker) -> None:
    job, pause = stopped(worker)
    worker.forget_log()
    number = worker.send(
        Evaluate("import time, sys\nprint('asleep', file=sys.__stderr__)\ntime.sleep(60)", pause.number)
    )
    worker.wait_for_log("asleep")
    worker.cancel(number)
    assert result_of(worker.end_of(number), foreign=True).error == "interrupted"
    worker.interrupt()  # one that comes late is nobody's
    assert line(worker, pause, "factor").output == "3.0"
    line(worker, pause, "c")
    assert worker.end_of(job).failure is None


def test_a_run_that_is_given_up_takes_a_line_that_hangs_with_it(worker: Worker) -> None:
    job, pause = stopped(worker)
    worker.forget_log()
    number = worker.send(
        Evaluate("import time, sys\nprint('asleep', file=sys.__stderr__)\ntime.sleep(60)", pause.number)
    )
    worker.wait_for_log("asleep")
    worker.cancel(job)
    assert result_of(worker.end_of(number), foreign=True).error == "interrupted"
    failure = worker.end_of(job).failure
    assert failure is not None
    assert failure.kind == "cancelled"


def test_other_requests_wait_for_the_run(worker: Worker) -> None:
    job, pause = stopped(worker)
    waiting = worker.send(Evaluate("'later'"))
    assert line(worker, pause, "factor").output == "3.0"
    line(worker, pause, "c")
    assert worker.end_of(job).failure is None
    assert result_of(worker.end_of(waiting), foreign=True).output == "'later'"


def test_a_breakpoint_inside_a_typed_call_and_inside_a_typed_line_of_a_pause(worker: Worker) -> None:
    job, pause = stopped(worker, request=Evaluate("model(x).shape"))
    worker.forget_log()
    answer = line(worker, pause, "self.forward(x).shape")
    assert "passed over: the run is paused already" in answer.output
    assert "torch.Size([4, 4])" in answer.output
    assert "Evaluate" not in line(worker, pause, "w").output
    assert "<console" in line(worker, pause, "w").output
    line(worker, pause, "c")
    assert result_of(worker.end_of(job), foreign=True).output == "torch.Size([4, 4])"


def test_a_repeat_stops_each_time_and_keeps_its_row_when_it_is_given_up(worker: Worker) -> None:
    job, pause = stopped(worker, request=Fire(3))
    line(worker, pause, "c")
    second = until(worker, Paused).body
    assert second.number == pause.number + 1
    worker.send(Cancel(job), job=99_997)
    ends = {(end := until(worker, Done)).job: end.body for _ in range(2)}
    row = result_of(ends[job], foreign=True)
    assert row.count == 1
    assert "interrupted" in row.note


def test_pdb_s_own_name_stops_too(worker: Worker) -> None:
    job, pause = stopped(worker, "Traces")
    line(worker, pause, "c")
    assert worker.end_of(job).failure is None


def test_another_thread_a_check_and_a_replay_pass_it_over(worker: Worker) -> None:
    worker.ask(load("Elsewhere"))
    worker.forget_log()
    worker.ask(Fire())
    worker.wait_for_log("passed over: it is not on the main thread")
    worker.ask(load("Stops"))
    worker.ask(Check("repeatable"))
    worker.wait_for_log("passed over: Check runs the model for itself")
    worker.ask(LookInside("fc"))
    worker.wait_for_log("passed over: the run is replayed")


def test_nobody_there_to_answer() -> None:
    worker = Worker()
    worker.greeting()
    worker.receive()
    worker.ask(load("Traces"))
    worker.ask(Fire(100))
    worker.wait_for_log("passed over: nobody is there to answer it")
    assert sum("passed over" in one for one in worker.log) == 1
    assert worker.close() == 0


def test_the_end_of_its_stdin_ends_a_worker_that_stands_still() -> None:
    worker = attended()
    stopped(worker)
    assert worker.close() == 0  # which waits ten seconds at most


def test_os_exit_at_a_pause_is_its_end() -> None:
    worker = attended()
    _, pause = stopped(worker)
    worker.send(Evaluate("import os; os._exit(7)", pause.number))
    assert worker.process.wait(10) == 7
