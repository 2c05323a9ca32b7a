"""Workers that crash, hang, flood and fork: the supervisor stays, names the cause, and leaves no process."""

from __future__ import annotations

import asyncio
import time

import pytest

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.messages import Check, LogLines, Start, WorkerBusy

from .misbehaving.face import Face, alive


@pytest.mark.parametrize(
    ("word", "cause", "code"),
    [
        ("segfault", "segmentation fault in native code", -11),
        ("abort", "native code aborted", -6),
        ("exit", "it called os._exit(3)", 3),
        ("raise", "it stopped with an error: MemoryError: too much", 1),
        ("killed", "killed from outside (SIGKILL", -9),
        ("fork", "it called os._exit(5)", 5),
        ("escape", "it called os._exit(5)", 5),
    ],
)
async def test_death_has_a_cause_within_half_a_second(word: str, cause: str, code: int):
    async with Face() as face:
        ready = await face.start()
        began = time.monotonic()
        job = face.send(Check(word))
        died = await face.death()
        took = time.monotonic() - began
        assert died.cause.startswith(cause)
        assert (died.code, died.rung, died.expected, died.during) == (code, "", False, "Check")
        assert died.pid == ready.pid
        assert took < (2.0 if word == "segfault" else 1.0)  # a crash writes its report first
        end = await face.end_of(job)
        assert end.failure.kind == "engine"
        assert cause in end.failure.message
        failure = await face.ask(Check("fine"))
        assert failure.kind == "engine"
        assert await face.start() is not None
        assert isinstance(await face.ask(Check("fine")), CheckRow)


async def test_the_place_of_a_crash_is_named():
    async with Face() as face:
        await face.start()
        face.send(Check("segfault"))
        died = await face.death()
        assert "worker.py:" in died.cause
        assert "in misbehave" in died.cause
        assert any("Segmentation fault" in line for line in died.tail)


async def test_worker_that_closes_its_pipe_is_ended_and_explained():
    async with Face() as face:
        ready = await face.start()
        face.send(Check("mute"))
        died = await face.death(seconds=3)
        assert "closed its end of the conversation" in died.cause
        assert died.rung
        assert not alive(ready.pid)


async def test_silence_in_native_code_is_said_and_not_called_death():
    async with Face() as face:
        ready = await face.start()
        face.send(Check("native"))
        busy = (await face.until(lambda event: isinstance(event.body, WorkerBusy), seconds=5)).body
        assert (busy.role, busy.state) == ("bench", "busy in native code")
        assert busy.seconds >= 2
        assert alive(ready.pid)


async def test_a_stopped_worker_is_called_stopped_and_can_be_replaced():
    async with Face() as face:
        ready = await face.start()
        job = face.send(Check("stop"))
        await face.until(lambda event: isinstance(event.body, WorkerBusy) and event.body.state == "stopped", seconds=5)
        await face.ask(Start())
        assert (await face.end_of(job)).failure.kind == "engine"
        assert not alive(ready.pid)


async def test_a_job_that_beats_is_not_called_busy():
    async with Face() as face:
        await face.start()
        face.send(Check("hang"))
        await asyncio.sleep(2.8)
        assert face.of(WorkerBusy) == []


async def test_a_flood_on_stderr_is_bounded_and_counted():
    async with Face() as face:
        await face.start()
        began = time.monotonic()
        assert isinstance(await face.ask(Check("flood"), seconds=20), CheckRow)
        await asyncio.sleep(0.3)
        took = time.monotonic() - began
        events = [event for event in face.of(LogLines) if event.role == "bench"]
        assert all(len(event.lines) <= 200 for event in events)
        assert len(events) <= took * 10 + 3
        said = sum(len(event.lines) + event.dropped for event in events)
        assert said == 1000 * (20_000_000 // (121 * 1000))


async def test_an_endless_line_is_cut():
    async with Face() as face:
        await face.start()
        assert isinstance(await face.ask(Check("endless line")), CheckRow)
        event = await face.until(lambda event: isinstance(event.body, LogLines))
        assert len(event.body.lines[0]) <= 2000


@pytest.mark.parametrize(
    ("word", "line"), [("print", "printed on descriptor 1"), ("prompt", "name? "), ("garbage", "nobody can read")]
)
async def test_what_is_printed_arrives_as_log_lines_and_harms_nothing(word: str, line: str):
    async with Face() as face:
        await face.start()
        assert isinstance(await face.ask(Check(word)), CheckRow)
        event = await face.until(lambda event: isinstance(event.body, LogLines) and line in event.body.lines[0])
        assert event.body.role == "bench"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("foreign.py", ("protocol 99", "protocol 1")),
        ("broken.py", ("No module named 'torch'",)),
        ("missing.py", ("could not start", "can't open file")),
    ],
)
async def test_a_worker_that_does_not_come_up(program: str, words: tuple[str, ...]):
    async with Face(program) as face:
        failure = await face.ask(Start())
        assert failure.kind == "engine"
        text = failure.message + failure.details
        assert all(word in text for word in words), text


async def test_an_interpreter_that_is_not_there():
    async with Face() as face:
        failure = await face.ask(Start(python="/nowhere/python"))
        assert failure.kind == "engine"
        assert failure.where == "/nowhere/python"
        assert "--python" in failure.remedy
        waiting = await face.ask(Check("fine"))
        assert waiting.kind == "engine"


async def test_noise_before_the_conversation_is_skipped():
    async with Face("chatty.py") as face:
        await face.start()
        assert isinstance(await face.ask(Check("fine")), CheckRow)
