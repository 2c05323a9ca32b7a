"""The bench worker's place: one worker at a time, the jobs it has, and what is said about it.

Owns starting, replacing, cancelling and mourning it. Never looks into a result further than the marks need.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.codec import CodecError, Envelope, from_plain
from workbench.protocol.failures import Failure
from workbench.protocol.memory import Leak, MemoryMark
from workbench.protocol.messages import (
    Attend,
    Cancel,
    Done,
    Fire,
    Hello,
    Loaded,
    ModesNow,
    Paused,
    Progress,
    Resumed,
    Start,
    WeightsHashed,
    WorkerDied,
    WorkerReady,
    YardstickNow,
)
from workbench.protocol.model import Modes
from workbench.protocol.results import failed
from workbench.protocol.runs import RunRow

from . import marks
from .given import GivenJob, GivenJobs
from .liveness import Liveness
from .sampler import Sampler
from .worker_process import Patience, WorkerProcess

ROLE = "bench"
REMEDY = "Start a fresh worker: K in the app; on the command line, run it again."

ASK_FIRST = 0.5
"""Seconds that a cancelled job has to stop by itself before it is interrupted."""

_PASSED_ON = (Progress, RunRow, Leak, CheckRow, Hello, WeightsHashed, Loaded, ModesNow, YardstickNow, Paused, Resumed)
"""Events of a bench worker that reach the face; Beat, Done and WorkerReady are handled apart."""


class Send(Protocol):
    """How the supervisor's parts speak to the face."""

    def __call__(self, body: Any, job: int | None = None, sender: str = "supervisor", raw: bytes | None = None) -> None:
        """Queue an event; `raw` is its line when it is passed on as it came."""


class CommandMaker(Protocol):
    """How workers are started: tests put programs of their own here."""

    def __call__(self, role: str, python: str, isolated: bool) -> list[str]:
        """The command line of a worker; `isolated`: without the user's environment and site directory."""


class Bench:
    """`start`, `forward`, `cancel`, `kill`, `close`: the requests that concern the bench worker."""

    def __init__(
        self, command: CommandMaker, send: Send, clock: Callable[[], float], hertz: Callable[[], float]
    ) -> None:
        self._command, self._send, self._clock, self._hertz = command, send, clock, hertz
        self._worker: WorkerProcess | None = None
        self._jobs = GivenJobs()
        self._pending: list[tuple[int | None, Any]] = []
        self._starting = 0
        self._changing = asyncio.Lock()
        self._sampler: Sampler | None = None
        self._liveness: Liveness | None = None
        self._modes: Modes | None = None
        self._cancels: set[asyncio.Task[None]] = set()

    # starting and ending

    def start(self, request: Start, job: int | None) -> Coroutine[Any, Any, WorkerReady]:
        """A fresh worker, in the place of the old one; requests that come from now on wait for it.

        Awaiting raises `WorkbenchError("engine")` when it does not come up.
        """
        self._starting += 1
        return self._start(request, job)

    async def _start(self, request: Start, job: int | None) -> WorkerReady:
        worker: WorkerProcess | None = None
        try:
            async with self._changing:
                if self._worker is not None:
                    await self._worker.end()
                self._send(Progress("starting a worker", 0.0, 0.0, 0.0), job)
                worker = self._prepare(request.python)
                await worker.spawn()
                if request.attended:
                    worker.send(Attend(), None)
                self._take_over(worker)
            waits: set[asyncio.Future[Any]] = {worker.ready, worker.gone}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if worker is not None:
                await worker.end()
            raise
        finally:
            self._starting -= 1
            if not self._starting:
                self._refuse_pending()
        if not worker.ready.done():
            raise worker.not_started()
        ready = dataclasses.replace(worker.ready.result(), role=ROLE, seconds=time.monotonic() - worker.started)
        self._send(ready, None, ROLE)
        return ready

    def _prepare(self, python: str) -> WorkerProcess:
        command = self._command(ROLE, python, False)
        return WorkerProcess(ROLE, command, self._heard, lambda lines: self._send(lines, None, ROLE))

    def _take_over(self, worker: WorkerProcess) -> None:
        self._worker, self._modes = worker, None
        self._sampler = Sampler(ROLE, worker.pid, lambda sample: self._send(sample), self._clock, self._hertz)
        self._liveness = Liveness(ROLE, worker.pid, lambda: worker.last_heard, lambda busy: self._send(busy))
        worker.gone.add_done_callback(lambda gone: self._mourn(worker, gone.result()))
        pending, self._pending = self._pending, []
        for number, body in pending:
            self.forward(body, number)
        self._note_busy()

    async def kill(self) -> None:
        """End the worker whatever it does; returns when it is gone."""
        if self._worker is not None:
            await self._worker.end()

    async def close(self, patience: Patience) -> None:
        """End the worker because the supervisor ends."""
        if self._worker is not None:
            await self._worker.end(patience)

    def close_now(self) -> None:
        """SIGKILL for the worker's whole group, without waiting."""
        if self._worker is not None:
            self._worker.end_now()

    # jobs

    def forward(self, body: Any, number: int | None) -> None:
        """Give a request to the worker; it fails at once when there is none."""
        if self._worker is not None and self._worker.alive:
            self._jobs.add(number, body, self._clock())
            self._worker.send(body, number)
            self._note_busy()
        elif self._starting:
            self._pending.append((number, body))
        else:
            self._send(failed(Failure("engine", "No worker is running.", remedy=REMEDY)), number)

    def cancel(self, target: int) -> bool:
        """Ask the job to stop and interrupt it later; False when it is not one of these."""
        for entry in self._pending:
            if entry[0] == target:
                self._pending.remove(entry)
                self._send(failed(Failure("cancelled", "Cancelled before it began.")), target)
                return True
        job = self._jobs.get(target)
        if job is None or self._worker is None:
            return False
        self._worker.send(Cancel(target), None)
        task = asyncio.get_running_loop().create_task(self._insist(job, self._worker))
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)
        return True

    async def _insist(self, job: GivenJob, worker: WorkerProcess) -> None:
        """Interrupt the job once it is the one being worked on and has had time to stop by itself."""
        while not job.ended.is_set():
            mine = job in self._jobs.in_work()
            try:
                async with asyncio.timeout(ASK_FIRST):
                    await job.ended.wait()
            except TimeoutError:
                if mine and job in self._jobs.in_work():
                    worker.interrupt()
                    return

    def _note_busy(self) -> None:
        work = self._jobs.in_work()
        busy = bool(work) and not self._jobs.waits
        if self._worker is not None:
            self._worker.busy_with = type(work[-1].body).__name__ if work else ""
        if self._sampler is not None:
            self._sampler.busy(busy)
        if self._liveness is not None:
            self._liveness.busy(busy)

    # listening

    def _heard(self, worker: WorkerProcess, envelope: Envelope, line: bytes) -> None:
        if worker is not self._worker:
            return
        job = self._jobs.get(envelope.job) if envelope.job is not None else None
        if isinstance(envelope.body, Done):
            if job is not None:
                self._end_job(job, envelope.body, line)
        elif isinstance(envelope.body, _PASSED_ON) and (job is not None or envelope.job is None):
            if isinstance(envelope.body, RunRow) and job is not None:
                self._mark_run(job, envelope.body)
            if isinstance(envelope.body, (Paused, Resumed)):
                self._jobs.still = job if isinstance(envelope.body, Paused) else None
                self._note_busy()
            raw = line + b"\n" if envelope.sender == ROLE else None
            self._send(envelope.body, envelope.job, ROLE, raw)

    def _end_job(self, job: GivenJob, end: Done, line: bytes) -> None:
        self._jobs.end(job, self._clock())
        self._note_busy()
        self._mark_modes(end)
        self._send(end, job.number, ROLE, line + b"\n")

    def _mark_run(self, job: GivenJob, row: RunRow) -> None:
        if isinstance(job.body, Fire) and not job.seen:
            job.seen = True
            self._send(MemoryMark(job.began, marks.fire_label(row.run, job.body.count)))

    def _mark_modes(self, end: Done) -> None:
        """A mark for a result that carries the switch board."""
        if not isinstance(end.result, dict) or end.result.get("type") not in ("Loaded", "ModesNow"):
            return
        try:
            modes: Modes = from_plain(Modes, end.result["body"]["modes"])
        except (CodecError, KeyError, TypeError):
            return  # the face finds out, and says so, when it decodes the result
        label = "loaded" if end.result["type"] == "Loaded" else marks.modes_label(self._modes, modes)
        self._modes = modes
        if label:
            self._send(MemoryMark(self._clock(), label))

    # mourning

    def _mourn(self, worker: WorkerProcess, died: WorkerDied) -> None:
        if worker is not self._worker:
            return
        for part in (self._sampler, self._liveness):
            if part is not None:
                part.stop()
        self._worker = self._sampler = self._liveness = None
        self._send(died, None, ROLE)
        failure = Failure("engine", f"The worker died: {died.cause}.", remedy=REMEDY, details="\n".join(died.tail))
        for job in self._jobs.give_up():
            self._send(failed(failure), job.number)

    def _refuse_pending(self) -> None:
        pending, self._pending = self._pending, []
        for number, _ in pending:
            self._send(failed(Failure("engine", "The worker did not start.", remedy=REMEDY)), number)
