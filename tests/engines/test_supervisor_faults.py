"""Workers that crash, hang, flood and fork: the supervisor stays, names the cause, and leaves no process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.messages import PROTOCOL, Check, Load, LogLines, MeasureNoise, Start, WorkerBusy
from workbench.protocol.model import Modes, Recipe

from .misbehaving.face import Face, alive

SUPERVISOR = [sys.executable, "-P", "-m", "workbench.supervisor"]


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
async def test_death_has_a_cause(word: str, cause: str, code: int):
    async with Face() as face:
        ready = await face.start()
        job = face.send(Check(word))
        died = await face.death()
        assert died.cause.startswith(cause)
        assert (died.code, died.rung, died.expected, died.during) == (code, "", False, "Check")
        assert died.pid == ready.pid
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
        ("foreign.py", ("protocol 99", f"protocol {PROTOCOL}")),
        ("broken.py", (sys.executable, "exit code 1", "No module named 'torch'", "--python")),
        ("missing.py", (sys.executable, "exit code 2", "can't open file", "--python")),
    ],
)
async def test_a_worker_that_does_not_come_up(program: str, words: tuple[str, ...]):
    async with Face(program) as face:
        failure = await face.ask(Start())
        assert failure.kind == "engine"
        text = failure.message + failure.remedy
        assert failure.where == sys.executable
        assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("python", "words"), [("/bin/ls", "it said: /bin/ls: cannot access"), ("/bin/false", "it said nothing")]
)
async def test_an_interpreter_that_is_none(python: str, words: str):
    async with Face(command=SUPERVISOR) as face:
        wanted = MeasureNoise(Recipe("net.py:Net"), Modes(), python=python)
        for request in (Start(python=python), wanted):
            failure = await face.ask(request)
            assert failure.kind == "engine"
            assert failure.where == python
            assert f"did not start: {python} ended with exit code" in failure.message
            assert words in failure.message
            assert "os._exit" not in failure.message
            assert "3.10" in failure.remedy
            assert "--python" in failure.remedy


async def test_a_python_without_torch(tmp_path: Path):
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    (tmp_path / "python").chmod(0o755)
    python = str(tmp_path / "python")
    async with Face(command=SUPERVISOR) as face:
        for request in (Start(python=python), MeasureNoise(Recipe("net.py:Net"), Modes(), python=python)):
            failure = await face.ask(request)
            assert (failure.kind, failure.where) == ("engine", python)
            assert "did not start: " in failure.message
            assert "could not start" not in failure.message
            assert "cannot import torch: ModuleNotFoundError: No module named 'torch'" in failure.message
            assert "--python" in failure.remedy


async def test_a_worker_in_native_code_does_not_outlive_a_killed_supervisor(tmp_path: Path):
    (tmp_path / "net.py").write_text(
        "import ctypes, sys\nprint('asleep', file=sys.stderr, flush=True)\nctypes.PyDLL(None).sleep(60)\n"
    )  # PyDLL keeps the interpreter lock: no thread of Python notices that stdin has ended
    async with Face(command=SUPERVISOR) as face:
        ready = await face.start()
        face.send(Load(Recipe(f"{tmp_path}/net.py:Net")))
        await face.until(lambda event: isinstance(event.body, LogLines) and "asleep" in event.body.lines)
        face.process.kill()
        await face.process.wait()
        try:
            async with asyncio.timeout(3):
                while alive(ready.pid):
                    await asyncio.sleep(0.01)
        finally:
            if alive(ready.pid):
                os.kill(ready.pid, signal.SIGKILL)


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
