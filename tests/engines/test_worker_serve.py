"""A worker keeps the protocol whatever the model's code does to its process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.talking import MODELS, Worker
from workbench import __version__
from workbench.protocol.messages import PROTOCOL, Beat, Cancel, Done, Fire, Inspect, Load, Quit, WorkerReady
from workbench.protocol.model import Recipe

X = ("x=float32[4,10]",)


def load(name: str) -> Load:
    return Load(Recipe(f"{MODELS}:{name}", inputs=X))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One for all: that it survives every test is what is tested."""
    worker = Worker()
    worker.greeting()
    worker.receive()
    yield worker
    assert worker.close() == 0


def alive(worker: Worker) -> bool:
    return bool(worker.ask(load("Plain")).info.parameters == 52)


def test_it_says_hello_before_it_imports_torch_and_then_that_it_is_ready() -> None:
    worker = Worker()
    hello = worker.greeting()
    assert (hello.role, hello.protocol, hello.workbench, hello.torch) == ("bench", PROTOCOL, __version__, "")
    assert hello.pid == worker.process.pid
    ready = worker.receive().body
    assert isinstance(ready, WorkerReady)
    assert ready.torch
    assert ready.threads >= 1
    assert 0 < ready.seconds < 60
    assert worker.close() == 0


def test_an_inspect_worker_never_imports_torch(tmp_path: Path) -> None:
    worker = Worker("inspect")
    worker.greeting()
    worker.end_of(worker.send(Inspect(str(tmp_path / "nothing"))))
    assert "libtorch" not in Path(f"/proc/{worker.process.pid}/maps").read_text()
    worker.close()


def test_an_interpreter_without_torch_ends_with_its_reason_last() -> None:
    worker = Worker("bench", "-S", "-E")
    worker.greeting()
    assert worker.process.wait(20) == 3
    worker.wait_for_log("cannot import torch")
    assert "ModuleNotFoundError" in worker.log[-1]


def test_prints_become_log_lines_and_never_corrupt_the_protocol(worker: Worker) -> None:
    assert worker.ask(load("loud")).info.name == "Plain"
    for words in ("from python", '"type":"Done"', "from C", "unfinished"):
        worker.wait_for_log(words)


@pytest.mark.parametrize("name", ["closes", "forks", "threads"])
def test_what_a_model_does_to_its_process(worker: Worker, name: str) -> None:
    assert worker.ask(load(name)).info.name == "Plain"
    assert alive(worker)


def test_stdin_is_empty_and_there_are_no_arguments(worker: Worker) -> None:
    assert worker.ask(load("reads")).info.parameters == 13
    assert worker.ask(load("arguments")).info.parameters == 13


def test_a_breakpoint_is_passed_over_and_said(worker: Worker) -> None:
    assert worker.ask(load("stops")).info.name == "Plain"
    worker.wait_for_log("passed over")


def test_an_exit_is_a_failure_of_the_model(worker: Worker) -> None:
    assert "exit" in worker.refused(load("exits")).message
    assert alive(worker)


def test_an_interrupt_ends_the_cancelled_job_only(worker: Worker) -> None:
    worker.interrupt()
    assert alive(worker)
    worker.forget_log()
    for _ in range(2):
        job = worker.send(load("sleeps"))
        worker.wait_for_log("asleep")
        worker.forget_log()
        worker.interrupt()  # late, for a job that has ended: it is not this one's
        while not isinstance(body := worker.receive().body, Beat):
            assert not isinstance(body, Done)
        worker.cancel(job)
        failure = worker.end_of(job).failure
        assert failure is not None
        assert failure.kind == "cancelled"
    worker.interrupt()
    assert alive(worker)


def test_a_job_cancelled_in_the_queue_never_begins(worker: Worker) -> None:
    worker.forget_log()
    first, second = worker.send(load("sleeps")), worker.send(load("loud"))
    worker.send(Cancel(second), job=99_999)
    answered = worker.receive()
    while answered.job != 99_999:
        answered = worker.receive()
    worker.wait_for_log("asleep")
    worker.cancel(first)
    assert worker.end_of(first).failure is not None
    failure = worker.end_of(second).failure
    assert failure is not None
    assert failure.kind == "cancelled"
    assert not any("from python" in line for line in worker.log)


def test_it_beats_while_it_works(worker: Worker) -> None:
    worker.forget_log()
    job = worker.send(load("sleeps"))
    while not isinstance(worker.receive().body, Beat):
        continue
    worker.cancel(job)
    worker.end_of(job)


def test_lines_that_are_no_messages_and_requests_that_are_not_for_it(worker: Worker) -> None:
    worker.tell(b"nonsense\n{}\n\xff\xff\n")
    worker.tell(b'{"type":"Newer","job":77,"from":"test","body":{}}\n')
    failure = worker.end_of(77).failure
    assert failure is not None
    assert failure.kind == "internal"
    assert worker.refused(Quit()).kind == "internal"
    assert alive(worker)


def test_without_a_model_there_is_nothing_to_fire() -> None:
    worker = Worker()
    worker.greeting()
    worker.receive()
    failure = worker.refused(Fire())
    assert failure.kind == "usage"
    assert "no model" in failure.message
    worker.close()


def test_the_end_of_its_stdin_ends_it_in_the_middle_of_work() -> None:
    worker = Worker()
    worker.greeting()
    worker.send(load("sleeps"))
    worker.wait_for_log("asleep")
    assert worker.close() == 0  # which waits ten seconds at most


def test_nobody_reading_ends_it_too() -> None:
    worker = Worker()
    worker.greeting()
    worker.receive()
    assert worker.process.stdout is not None
    worker.process.stdout.close()
    worker.send(load("Plain"))
    assert worker.process.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)
