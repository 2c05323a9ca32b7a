"""The supervisor with a worker that behaves: start, requests, cancel, replace, and every way to end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.memory import MemoryMark, MemorySample
from workbench.protocol.messages import (
    Cancel,
    Check,
    Done,
    Fire,
    Hello,
    Kill,
    ModesNow,
    Progress,
    Quit,
    SetModes,
    SetRate,
    Start,
    WorkerDied,
    WorkerReady,
)
from workbench.protocol.model import ModeChange
from workbench.protocol.runs import RunRow
from workbench.supervisor.host import NICENESS

from .misbehaving.face import Face, alive


async def gone(pid: int, seconds: float = 3.0) -> bool:
    async with asyncio.timeout(seconds):
        while alive(pid):
            await asyncio.sleep(0.01)
    return True


async def ignoring(pid: int, number: signal.Signals, seconds: float = 3.0) -> None:
    """Wait until a process ignores a signal."""
    async with asyncio.timeout(seconds):
        while not int(status_of(pid, "SigIgn"), 16) >> (number - 1) & 1:
            await asyncio.sleep(0.01)


def status_of(pid: int, name: str) -> str:
    """A line of /proc/PID/status, without its name and unit."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


async def test_hello_then_a_worker_that_answers():
    async with Face() as face:
        hello = (await face.until(lambda event: isinstance(event.body, Hello))).body
        assert (hello.role, hello.torch) == ("supervisor", "")
        ready = await face.start()
        assert isinstance(ready, WorkerReady)
        assert ready.role == "bench"
        assert ready.seconds > 0
        assert os.getpriority(os.PRIO_PROCESS, ready.pid) == os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getsid(ready.pid) == ready.pid
        now = await face.ask(SetModes(ModeChange(training=False)))
        assert isinstance(now, ModesNow)
        row = await face.ask(Fire(count=3))
        assert isinstance(row, RunRow)
        assert (row.count, row.running) == (3, False)
        labels = [mark.label for mark in face.of(MemoryMark)]
        assert labels == ["eval", "#1 ×3"]


async def test_a_worker_yields_to_the_keys_of_whoever_sits_there_and_to_nobody_else():
    async with Face() as face:
        ready = await face.start(attended=True)
        assert os.getpriority(os.PRIO_PROCESS, ready.pid) == NICENESS


async def test_request_without_a_worker_fails_at_once_with_a_remedy():
    async with Face() as face:
        failure = await face.ask(Fire(), seconds=2)
        assert failure.kind == "engine"
        assert "K in the app" in failure.remedy


async def test_requests_sent_before_the_worker_is_there_wait_for_it():
    async with Face() as face:
        start = face.send(Start())
        fire = face.send(Fire())
        assert (await face.end_of(fire)).failure is None
        assert (await face.end_of(start)).failure is None


async def test_cancel_ends_a_continuous_fire():
    async with Face() as face:
        await face.start()
        job = face.send(Fire(count=0))
        await face.until(lambda event: isinstance(event.body, RunRow) and event.job == job)
        assert await face.ask(Cancel(job)) is None
        end = await face.end_of(job, seconds=2)
        assert end.failure is None


async def test_rows_come_at_the_live_rate_and_the_last_one_is_never_lost():
    async with Face() as face:
        await face.start()
        await face.ask(SetRate(5.0))
        await face.ask(Fire(count=1000), seconds=20)
        rows = face.of(RunRow)
        assert rows[-1].count == 1000
        assert not rows[-1].running
        assert 2 < len(rows) < 20  # a thousand rows were sent in a second or two


async def test_cancel_interrupts_a_job_that_does_not_listen_and_the_worker_stays():
    async with Face() as face:
        ready = await face.start()
        job = face.send(Check("hang"))
        face.send(Cancel(job))
        end = await face.end_of(job, seconds=3)
        assert end.failure.kind == "cancelled"
        assert isinstance(await face.ask(Check("fine")), CheckRow)
        assert alive(ready.pid)


async def test_cancel_of_a_queued_job_does_not_interrupt_the_one_before_it():
    async with Face() as face:
        await face.start()
        first, second = face.send(Fire(count=0)), face.send(Fire(count=0))
        await face.until(lambda event: isinstance(event.body, RunRow))
        await face.ask(Cancel(second))
        with pytest.raises(TimeoutError):
            await face.end_of(first, seconds=1.0)
        await face.ask(Cancel(first))
        assert (await face.end_of(first)).failure is None
        assert (await face.end_of(second)).failure is None


async def test_kill_walks_the_ladder_and_a_fresh_worker_takes_over():
    async with Face() as face:
        ready = await face.start()
        assert await face.ask(Kill()) is None
        died = face.of(WorkerDied)[0]
        assert (died.rung, died.expected, died.pid) == ("asked", True, ready.pid)
        assert not alive(ready.pid)
        fresh = await face.start()
        assert fresh.pid != ready.pid


async def test_start_replaces_a_deaf_worker_by_force():
    async with Face() as face:
        ready = await face.start()
        job = face.send(Check("deaf"))
        await face.until(lambda event: isinstance(event.body, MemorySample))
        await ignoring(ready.pid, signal.SIGHUP)
        fresh = await face.ask(Start())
        assert isinstance(fresh, WorkerReady)
        died = await face.death()
        assert (died.rung, died.during, died.pid) == ("kill", "Check", ready.pid)
        assert (await face.end_of(job)).failure.kind == "engine"
        assert not alive(ready.pid)


async def test_quit_ends_everything_and_says_done():
    async with Face() as face:
        ready = await face.start()
        job = face.send(Quit())
        assert (await face.end_of(job)).failure is None
        async with asyncio.timeout(3):
            assert await face.process.wait() == 0
        assert not alive(ready.pid)


@pytest.mark.parametrize("way", ["stdin", "SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("state", ["idle", "deaf"])
async def test_no_process_is_left_however_it_ends(way: str, state: str):
    async with Face() as face:
        ready = await face.start()
        if state == "deaf":
            face.send(Check("deaf"))
            await ignoring(ready.pid, signal.SIGHUP)
        if way == "stdin":
            face.process.stdin.close()
        else:
            face.process.send_signal(getattr(signal, way))
        async with asyncio.timeout(4):
            await face.process.wait()
        assert await gone(ready.pid)


async def test_idle_engine_sends_nothing():
    async with Face() as face:
        await face.start()
        await asyncio.sleep(1.5)  # memory settles
        before = len(face.events)
        await asyncio.sleep(2.5)
        assert face.events[before:] == []


async def test_a_face_that_stops_reading_does_not_fill_memory():
    """100 MB of rows and 20 MB of log, of which the newest rows and lines wait: 10 MB and a copy."""
    async with Face() as face:
        ready = await face.start()
        face.process.stdout._transport.pause_reading()
        before = int(status_of(face.process.pid, "VmRSS"))
        face.send(Check("flood"))
        job = face.send(Check("rows"))
        assert await gone(ready.pid, 60)
        assert int(status_of(face.process.pid, "VmHWM")) - before < 60_000
        face.process.stdout._transport.resume_reading()
        assert (await face.death()).pid == ready.pid
        assert (await face.end_of(job)).failure.kind == "engine"
        rows = [row.run for row in face.of(RunRow)]
        assert rows[-1] == 10_000
        assert 900 < len(rows) < 3000


async def test_progress_is_coalesced():
    async with Face() as face:
        await face.start()
        await face.ask(Check("progress"))
        said = [event.body for event in face.events if isinstance(event.body, Progress) and event.body.total]
        assert len(said) < 20
        assert said[-1].done == 1999.0


async def test_an_unreadable_request_is_said_and_survived():
    async with Face() as face:
        face.process.stdin.write(b"{nonsense\n")
        await face.until(lambda event: "nobody can read" in str(event.body))
        await face.start()


async def test_an_unreadable_request_with_a_number_has_an_end():
    async with Face() as face:
        face.process.stdin.write(b'{"type":"Newer","job":77,"from":"face","body":{}}\n')
        failure = (await face.end_of(77)).failure
        assert failure.kind == "internal"
        assert "Newer" in failure.message


async def test_worker_requests_are_not_for_the_face():
    from workbench.protocol.messages import Prove

    async with Face() as face:
        failure = await face.ask(Prove("/nowhere"))
        assert failure.kind == "internal"
        assert isinstance((await face.end_of(face.send(Cancel(99)))), Done)
