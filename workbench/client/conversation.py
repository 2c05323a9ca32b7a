"""The conversation with one engine: numbered requests out, their ends and the events in between back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import traceback
from collections.abc import Callable
from typing import Any

from workbench.protocol.codec import CodecError, Envelope
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import BENCH_REQUESTS, PROTOCOL, Cancel, Done, Hello, Kill, Quit, Start, WorkerDied
from workbench.protocol.results import result_of
from workbench.protocol.text import clean

from .intake import end_rows, engine_gone, engine_renewed, start_failed, take
from .launch import START_JOB
from .state import OpenJob, State
from .transport import Transport

CANCEL_GRACE = 3.0
"""Seconds a job may take to end after it ran out of time, before a bench that is busy with it is ended by force."""

CALLED_OFF_GRACE = 2.0
"""Seconds that a caller who was cancelled waits for the end of its job: the engine interrupts one after 0.5 s."""

KILL_GRACE = 10.0
"""Seconds that ending the bench by force may take: the supervisor's own ladder needs less."""

Listener = Callable[[Any, Envelope], None]
"""Called with (body, envelope) for every event, after the state has taken it in."""


class Conversation:
    """Matches every request with its end. All methods run in one event loop; failures are `WorkbenchError`s."""

    def __init__(self, process: subprocess.Popen[bytes], warm: bool = False, state: State | None = None) -> None:
        """`warm`: `launch` has already asked for a bench worker. `state`: one that a face drew before we were there."""
        self.state = state or State()
        self.relaunch: Callable[[], subprocess.Popen[bytes]] | None = None
        """Starts another engine for `renew`; without it a conversation ends with its engine."""
        self._transport = Transport(process)
        self._numbers = itertools.count(START_JOB + 1)
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._listeners: list[Listener] = []
        self._warm = warm
        self._started: asyncio.Future[Any] | None = None
        self._greeted = False
        self._ended = ""
        self._broken: Failure | None = None

    async def attach(self) -> None:
        """Begin to listen to the engine. Call once, inside the event loop."""
        if self._warm:
            self._started = self._expect(START_JOB, Start())
        await self._transport.attach(self._receive, self._end)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called for every event; returns what stops that."""
        self._listeners.append(listener)
        return lambda: self._unlisten(listener)

    async def request(self, body: Any, timeout: float = 0.0) -> Any:
        """Send one request and wait for its result record (or None).

        `timeout` in seconds, 0 for none: after it the job is cancelled, and the bench killed when it was the bench's
        and that does not help. A caller who is cancelled has the job cancelled too. Raises `WorkbenchError` with the
        engine's failure, of kind "timeout" or "engine", or "usage" for what JSON cannot carry.
        """
        number = next(self._numbers)
        future = self._expect(number, body)
        if isinstance(body, Start):
            self._started = future
        try:
            await self._transport.send(Envelope(body, number, "face"))
        except CodecError as problem:
            self.state.jobs.pop(number, None)
            self._futures.pop(number, None)
            raise error("usage", f"This cannot be sent to the engine: {problem}.", type(body).__name__) from problem
        try:
            done, _ = await asyncio.wait({future}, timeout=timeout or None)
        except asyncio.CancelledError:
            await self.cancel(number)
            await asyncio.wait({future}, timeout=CALLED_OFF_GRACE)
            raise
        if not done:
            await self._abandon(number, future, isinstance(body, BENCH_REQUESTS))
            raise error(
                "timeout", f"{type(body).__name__} did not end within {timeout:g} s.", remedy="Raise --timeout."
            )
        return future.result()

    async def cancel(self, number: int = 0) -> bool:
        """Cancel one open job, or what runs (`State.running`); False when nothing is open."""
        targets = [number] if number else [job.number for job in self.state.running]
        for target in targets:
            await self._transport.send(Envelope(Cancel(target), next(self._numbers), "face"))
        return bool(targets)

    async def settled(self, *names: str) -> None:
        """Wait until no request of these types is open."""
        while waits := {self._futures[job.number] for job in self.state.jobs.values() if job.name in names}:
            await asyncio.wait(waits)

    async def renew(self) -> None:
        """Another engine in the place of one that is gone, without a worker yet. Raises `WorkbenchError`."""
        if self.relaunch is None:
            raise WorkbenchError(self._lost())
        engine_renewed(self.state)
        try:
            await self._transport.close()
            self._transport = Transport(self.relaunch())
        except WorkbenchError:
            engine_gone(self.state, self._lost())
            raise
        self._greeted, self._broken, self._ended, self._started = False, None, "", None
        await self._transport.attach(self._receive, self._end)

    async def close(self) -> None:
        """End the engine and everything it started."""
        with contextlib.suppress(OSError):
            await self._transport.send(Envelope(Quit(), next(self._numbers), "face"))
        await self._transport.close()
        self._give_up(self._ended or "the session was closed")

    def _expect(self, number: int, body: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen, even if nobody waits
        if self._ended:
            future.set_exception(WorkbenchError(self._lost()))
            return future
        self._futures[number] = future
        if isinstance(body, Start):
            self.state.engine = "starting"
        recipe = getattr(body, "recipe", None)
        on_bench = isinstance(body, BENCH_REQUESTS)
        self.state.jobs[number] = OpenJob(number, type(body).__name__, loop.time(), None, recipe, on_bench)
        return future

    def _receive(self, envelope: Envelope) -> None:
        body = envelope.body
        if not self._greeted:
            self._greet(body)
        if isinstance(body, Done):
            self._finish(envelope.job or 0, body)
        else:
            take(self.state, envelope)
        self._tell(envelope)
        if isinstance(body, WorkerDied) and body.role == "bench":
            self._end_rows()
        if self._broken is not None:
            raise WorkbenchError(self._broken)

    def _greet(self, body: Any) -> None:
        """Its first message has to be a Hello in our protocol. Raises `WorkbenchError("engine")`."""
        if not isinstance(body, Hello):
            self._broken = Failure("engine", f"The engine said {type(body).__name__} before Hello.")
        elif body.protocol != PROTOCOL:
            words = (
                f"The engine speaks protocol {body.protocol} (workbench {body.workbench}), and this one protocol "
                f"{PROTOCOL}."
            )
            self._broken = Failure("engine", words, remedy="Install the same version of the workbench at both ends.")
        if self._broken is not None:
            raise WorkbenchError(self._broken)
        self._greeted = True

    def _finish(self, number: int, done: Done) -> None:
        job = self.state.jobs.pop(number, None)
        future = self._futures.pop(number, None)
        if self.state.paused is not None and self.state.paused.job == number:
            self.state.paused = None
        if job is not None and job.name == Start.__name__ and done.failure is not None:
            start_failed(self.state)
        try:
            result = result_of(done, foreign=True)
        except CodecError as problem:
            done, result = Done(None, Failure("engine", f"The engine sent a result nobody can read: {problem}")), None
        if result is not None:
            take(self.state, Envelope(result, number, ""), job.recipe if job is not None else None)
        if future is None or future.done():
            return
        if done.failure is not None:
            future.set_exception(WorkbenchError(done.failure))
        else:
            future.set_result(result)

    def _tell(self, envelope: Envelope) -> None:
        """One that raises hears nothing more, and the conversation ends with what it raised."""
        for listener in tuple(self._listeners):
            try:
                listener(envelope.body, envelope)
            except Exception as problem:  # noqa: BLE001 (a face's own code runs here; it is told, not hidden)
                self._unlisten(listener)
                kind = "write" if isinstance(problem, OSError) else "internal"
                words = f"What came could not be shown: {type(problem).__name__}: {clean(str(problem))}"
                self._broken = self._broken or Failure(kind, words, details=clean(traceback.format_exc()))

    def _unlisten(self, listener: Listener) -> None:
        with contextlib.suppress(ValueError):
            self._listeners.remove(listener)

    def _end(self, reason: str) -> None:
        self._give_up(reason)
        self._end_rows()
        self._tell(Envelope(Done(None, self._lost()), None, "face"))

    def _end_rows(self) -> None:
        for row in end_rows(self.state):
            self._tell(Envelope(row, None, "face"))

    def _give_up(self, reason: str) -> None:
        """No answer will come any more: whoever waits for one is told."""
        self._ended = reason
        engine_gone(self.state, self._lost())
        futures, self._futures = self._futures, {}
        for future in futures.values():
            if not future.done():
                future.set_exception(WorkbenchError(self._lost()))

    def _lost(self) -> Failure:
        if self._broken is not None:
            return self._broken
        talk = self._transport.talk
        return Failure(
            "engine",
            f"The engine is gone: {self._ended}." + (f" Its last words: {talk[-1]}" if talk else ""),
            remedy="Start the workbench again.",
            details="\n".join(talk),
        )

    async def _abandon(self, number: int, future: asyncio.Future[Any], on_bench: bool) -> None:
        """Cancel a job that ran out of time. What other workers do costs the bench nothing: a cancel ends those."""
        await self.cancel(number)
        await asyncio.wait({future}, timeout=CANCEL_GRACE)
        if on_bench and not future.done():
            with contextlib.suppress(WorkbenchError):  # the job's own failure is what is said
                await self.request(Kill("bench"), KILL_GRACE)
