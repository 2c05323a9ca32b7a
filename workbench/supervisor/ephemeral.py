"""One job in a worker of its own: started for it, watched over with a clock, ended after it.

Owns what every flow needs: progress under the face's job number, the time limit, cancelling, and work in a thread
that stops when nobody wants it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from workbench.protocol.codec import CodecError, Envelope
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import Done, Progress, WorkerDied
from workbench.protocol.results import result_of

from .bench import CommandMaker, Send
from .worker_process import Patience, WorkerProcess

_DISPOSABLE = Patience(ask=0.3, interrupt=0.2, terminate=0.3)
"""Nothing of value is left in a worker whose job has ended or was given up."""


class Flow:
    """A request that the supervisor answers with workers of its own, one after the other."""

    def __init__(self, command: CommandMaker, send: Send, job: int | None, working: set[Flow]) -> None:
        """`working` holds the flows that have a worker now; each enters and leaves it by itself."""
        self._command, self._send, self._job, self._working = command, send, job, working
        self._began = time.monotonic()
        self._worker: WorkerProcess | None = None
        self.role = ""
        """Role of the worker it has now."""

    @property
    def seconds(self) -> float:
        """Since the request came."""
        return time.monotonic() - self._began

    def progress(self, phase: str, done: float = 0.0, total: float = 0.0) -> None:
        """Say what the flow does now."""
        self._send(Progress(phase, done, total, self.seconds), self._job)

    def tell(self, body: Any) -> None:
        """Send an event of the flow's job to the face."""
        self._send(body, self._job)

    async def kill(self) -> None:
        """End the worker it has now; the flow then fails."""
        if self._worker is not None:
            await self._worker.end()

    def kill_now(self) -> None:
        """SIGKILL for its worker's whole group, without waiting."""
        if self._worker is not None:
            self._worker.end_now()

    async def run(
        self, role: str, request: Any, *, python: str = "", isolated: bool = False, cwd: str | None = None,
        timeout: float = 0.0, on_event: Callable[[Any], None] | None = None,
    ) -> Any:  # fmt: skip
        """The result record of `request`, asked of a fresh worker; `on_event` gets what else it says about the job.

        `timeout` counts seconds from the moment the worker has imported torch; 0: none. Raises the worker's own
        failure as `WorkbenchError`, `WorkbenchError("engine")` when it dies, `WorkbenchError("timeout")`.
        """
        ended: asyncio.Future[Done] = asyncio.get_running_loop().create_future()

        def heard(worker: WorkerProcess, envelope: Envelope, line: bytes) -> None:
            body = envelope.body
            if isinstance(body, Done) and envelope.job == self._job:
                if not ended.done():
                    ended.set_result(body)
            elif isinstance(body, Progress):
                self.progress(body.phase, body.done, body.total)
            elif on_event is not None and envelope.job == self._job:
                on_event(body)

        worker = WorkerProcess(
            role, self._command(role, python, isolated), heard, lambda lines: self._send(lines, None, role), cwd
        )
        async with self._holding(worker):
            self.progress(f"starting a worker for {_PURPOSES.get(role, role)}")
            await worker.spawn()
            worker.busy_with = type(request).__name__
            worker.send(request, self._job)
            await self._wait(worker, ended, timeout)
            worker.busy_with = ""
        return _result(ended.result())

    @contextlib.asynccontextmanager
    async def _holding(self, worker: WorkerProcess) -> AsyncIterator[None]:
        self._worker, self.role = worker, worker.role
        self._working.add(self)
        try:
            yield
        finally:
            try:
                await finish(worker.end(_DISPOSABLE))
            finally:
                self._working.discard(self)
                self._worker, self.role = None, ""

    async def _wait(self, worker: WorkerProcess, ended: asyncio.Future[Done], timeout: float) -> None:
        ends: set[asyncio.Future[Any]] = {ended, worker.gone}
        await asyncio.wait({worker.ready, *ends}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(ends, timeout=timeout or None, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return
        if not worker.gone.done():
            word = _PURPOSES.get(worker.role, worker.role)
            raise error("timeout", f"The time limit of {timeout:g} s ran out during {word}.", "--timeout")
        died, purpose = worker.gone.result(), _PURPOSES.get(worker.role, worker.role)
        if worker.hello is None or not (worker.ready.done() or worker.role == WITHOUT_TORCH):
            raise worker.not_started(purpose)
        raise WorkerLost(died, purpose)


class WorkerLost(WorkbenchError):
    """The worker of a flow died while it worked."""

    def __init__(self, died: WorkerDied, purpose: str) -> None:
        super().__init__(
            Failure("engine", f"The worker for {purpose} died: {died.cause}.", "", "", "\n".join(died.tail))
        )
        self.died = died


WITHOUT_TORCH = "inspect"
"""The role whose worker imports no torch, and so is never said to be ready."""

_PURPOSES = {
    "export": "the export",
    "proof": "the clean proof",
    "yardstick": "the float64 yardstick",
    "compare": "the comparison",
    "golden": "the golden data",
    "matrix": "the mode matrix",
    "counterfactual": "the runs under another grad mode",
    "inspect": "looking into the file",
    "repair": "the repair of names",
    "convert": "the conversion of the pickled module",
    "values": "comparing the values of two files",
}


def _result(end: Done) -> Any:
    if end.failure is not None:
        raise WorkbenchError(end.failure)
    try:
        return result_of(end, foreign=False)
    except CodecError as problem:
        raise error("engine", f"The worker sent a result nobody can read: {problem}") from problem


async def finish(work: Any, swallow: bool = False) -> Any:
    """Await `work` to its end even when the task is cancelled meanwhile.

    The cancel is felt afterwards, or not at all with `swallow`: for what has happened when it returns.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
    if cancelled and not swallow:
        raise asyncio.CancelledError
    return task.result()


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments, stop)` in a thread; on cancel `stop` is set, and the thread has ended before we go on."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({task})
        raise


def stopped(failure: str = "Cancelled.") -> WorkbenchError:
    """What a thread raises when it was told to stop."""
    return WorkbenchError(Failure("cancelled", failure))
