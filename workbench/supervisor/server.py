"""Routing: which part of the supervisor answers which request, and the end of everything.

Owns the conversation with the face and the set of open flows. Does no work of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import IO, Any

import workbench
from workbench.protocol.codec import PREAMBLE, CodecError, Envelope, decode, job_of
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.limits import ENDING_SECONDS
from workbench.protocol.messages import (
    BENCH_REQUESTS,
    PROTOCOL,
    REGISTRY,
    Cancel,
    Compare,
    ConvertPickled,
    Done,
    Export,
    GetFingerprint,
    Hello,
    Inspect,
    InspectPair,
    Kill,
    LogLines,
    MeasureCounterfactual,
    MeasureMatrix,
    MeasureNoise,
    Quit,
    RepairWeights,
    Scan,
    SetRate,
    Start,
    Verify,
)
from workbench.protocol.results import done, failed

from . import host
from .bench import ROLE, Bench, CommandMaker
from .ephemeral import Flow
from .outbox import Outbox
from .pipes import LineReader, PipeWriter, open_writer
from .worker_process import Patience

FAREWELL = Patience(ask=0.3, interrupt=0.2, terminate=0.3)
"""The ladder when everything ends: somebody waits for the terminal."""

_FLUSH = 1.0
"""Seconds that the last words have to reach the face."""

_ENOUGH = ENDING_SECONDS - _FLUSH
"""Seconds that ending may take before the last words; only what hangs in the kernel needs as many. The face kills us
when we are not gone some time after `ENDING_SECONDS`."""

_BOOT = Path(__file__).resolve().parent.parent / "worker" / "boot.py"


def worker_command(role: str, python: str, isolated: bool) -> list[str]:
    """The command that starts a worker, by path: a foreign interpreter needs nothing of ours but this file."""
    options = ["-I"] if isolated else []
    return [python or sys.executable, *options, "-X", "faulthandler", str(_BOOT), role]


class Server:
    """Answers the face on two pipes until one of them ends, Quit is asked, or a signal says so."""

    def __init__(self, command: CommandMaker = worker_command) -> None:
        self._command = command
        self._began = time.monotonic()
        self._outbox = Outbox()
        self._ending = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], int | None] = {}
        self._flows: set[Flow] = set()
        self._farewell: list[int | None] = []
        self.bench = Bench(command, self.send, self.clock, lambda: self._outbox.hertz)

    def clock(self) -> float:
        """Seconds since the supervisor started."""
        return time.monotonic() - self._began

    def send(self, body: Any, job: int | None = None, sender: str = "supervisor", raw: bytes | None = None) -> None:
        """Queue an event for the face."""
        self._outbox.put(Envelope(body, job, sender), raw)

    async def serve(self, source: IO[bytes], sink: IO[bytes]) -> None:
        """Answer requests from `source` on `sink`; returns when every worker is gone."""
        loop = asyncio.get_running_loop()
        writer = await open_writer(sink, self._ending.set)
        writer.write(PREAMBLE)
        platform = f"{sys.platform} {os.uname().machine}"
        version = ".".join(map(str, sys.version_info[:3]))
        self.send(Hello("supervisor", PROTOCOL, workbench.__version__, version, os.getpid(), platform))
        pump = loop.create_task(self._outbox.run(writer))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        try:
            await loop.connect_read_pipe(lambda: LineReader(self._line, lambda reason: self._ending.set()), source)
            await self._ending.wait()
            async with asyncio.timeout(_ENOUGH):
                await self._end_everything()
        except TimeoutError:
            self.send(LogLines("supervisor", ("something did not end in time and was left behind",)))
        finally:
            self.bench.close_now()
            for flow in self._flows:
                flow.kill_now()
            pump.cancel()
            await self._last_words(writer)

    async def _end_everything(self) -> None:
        await asyncio.sleep(0)  # a task that never had its first step would not say Done
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(self.bench.close(FAREWELL), *tasks, return_exceptions=True)
        await self.bench.close(FAREWELL)  # a start that was under way may have put one there
        for number in self._farewell:
            self.send(Done(), number)

    async def _last_words(self, writer: PipeWriter) -> None:
        self._outbox.flush(writer)
        writer.close()
        try:
            async with asyncio.timeout(_FLUSH):
                while not writer.closed:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            writer.abort()

    # requests

    def _line(self, line: bytes) -> None:
        try:
            envelope = decode(line, REGISTRY, foreign=False)
        except CodecError as problem:
            words = f"a request nobody can read: {problem}"
            if (job := job_of(line)) is not None:
                self.send(failed(Failure("internal", f"The supervisor got {words}.")), job)
            else:
                self.send(LogLines("supervisor", (words,)))
            return
        if self._ending.is_set():
            self.send(failed(Failure("engine", "The engine is ending.")), envelope.job)
            return
        self._route(envelope.body, envelope.job)

    def _route(self, body: Any, job: int | None) -> None:
        match body:
            case Start():
                if body.attended:
                    host.put_keys_first()
                self._spawn(job, self.bench.start(body, job))
            case Cancel():
                self._cancel(body.target)
                self.send(Done(), job)
            case Kill():
                self._spawn(job, self._kill(body.role))
            case SetRate():
                self._outbox.set_rate(body.hertz)
                self.send(Done(), job)
            case Quit():
                self._farewell.append(job)
                self._ending.set()
            case _ if isinstance(body, BENCH_REQUESTS):
                self.bench.forward(body, job)
            case MeasureNoise() | MeasureMatrix() | MeasureCounterfactual() | Compare():
                self._spawn(job, self._flow(body, job))
            case Export() | Verify() | GetFingerprint() | Inspect() | InspectPair() | Scan():
                self._spawn(job, self._flow(body, job))
            case RepairWeights() | ConvertPickled():
                self._spawn(job, self._flow(body, job))
            case _:
                word = type(body).__name__
                self.send(failed(Failure("internal", f"The supervisor takes no {word} requests.")), job)

    async def _flow(self, body: Any, job: int | None) -> Any:
        from .flows import run_flow  # not needed before the first worker is on its way

        flow = Flow(self._command, self.send, job, self._flows)
        return await run_flow(body, flow)

    async def _kill(self, role: str) -> None:
        if role == ROLE:
            await self.bench.kill()
            return
        for flow in [flow for flow in self._flows if flow.role == role]:
            await flow.kill()

    def _cancel(self, target: int) -> None:
        if self.bench.cancel(target):
            return
        for task, number in self._tasks.items():
            if number == target:
                asyncio.get_running_loop().call_soon(task.cancel)  # not before its first step: it has to say Done

    def _spawn(self, job: int | None, work: Awaitable[Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(job, work))
        self._tasks[task] = job
        task.add_done_callback(lambda ended: self._tasks.pop(ended, None))

    async def _answer(self, job: int | None, work: Awaitable[Any]) -> None:
        """Await `work` and end the job with what came of it, whatever that is."""
        try:
            end = done(await work)
        except WorkbenchError as problem:
            end = failed(problem.failure)
        except asyncio.CancelledError:
            end = failed(Failure("cancelled", "Cancelled."))
        except Exception as problem:  # noqa: BLE001 (every job ends with Done, also when the fault is ours)
            words = f"An error of the workbench itself: {type(problem).__name__}: {problem}"
            end = failed(Failure("internal", words, details=traceback.format_exc()))
        self.send(end, job)
