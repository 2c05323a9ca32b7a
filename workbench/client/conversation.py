"""The conversation with one engine: numbered requests out, their ends and the events in between back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import Callable
from typing import Any

from workbench.protocol.codec import CodecError, Envelope
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import Cancel, Done, Kill, Quit, Start
from workbench.protocol.results import result_of

from .intake import take
from .launch import START_JOB
from .state import OpenJob, State
from .transport import Transport

CANCEL_GRACE = 3.0
"""Seconds a job may take to end after it ran out of time, before its worker is ended by force."""

Listener = Callable[[Any, Envelope], None]
"""Called with (body, envelope) for every event, after the state has taken it in."""


class Conversation:
    """Matches every request with its end. All methods run in one event loop; failures are `WorkbenchError`s."""

    def __init__(self, process: subprocess.Popen[bytes], warm: bool = False) -> None:
        """`warm`: `launch` has already asked for a bench worker."""
        self.state = State()
        self._transport = Transport(process)
        self._numbers = itertools.count(START_JOB + 1)
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._listeners: list[Listener] = []
        self._warm = warm
        self._ended = ""

    async def attach(self) -> None:
        """Begin to listen to the engine. Call once, inside the event loop."""
        if self._warm:
            self._expect(START_JOB, Start())
        await self._transport.attach(self._receive, self._end)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener` called for every event; returns what stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def request(self, body: Any, timeout: float = 0.0) -> Any:
        """Send one request and wait for its result record (or None).

        `timeout` in seconds, 0 for none: after it the job is cancelled, and its worker killed when that does not help.
        Raises `WorkbenchError` with the engine's failure, or of kind "timeout" or "engine".
        """
        number = next(self._numbers)
        future = self._expect(number, body)
        await self._transport.send(Envelope(body, number, "face"))
        if not timeout:
            return await future
        done, _ = await asyncio.wait({future}, timeout=timeout)
        if not done:
            await self._abandon(number, future)
            raise error(
                "timeout", f"{type(body).__name__} did not end within {timeout:g} s.", remedy="Raise --timeout."
            )
        return future.result()

    async def cancel(self, number: int = 0) -> bool:
        """Cancel one open job, or the newest; False when nothing is open."""
        if not number and not self.state.jobs:
            return False
        await self._transport.send(Envelope(Cancel(number or max(self.state.jobs)), next(self._numbers), "face"))
        return True

    async def close(self) -> None:
        """End the engine and everything it started."""
        with contextlib.suppress(OSError):
            await self._transport.send(Envelope(Quit(), next(self._numbers), "face"))
        await self._transport.close()

    def _expect(self, number: int, body: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen, even if nobody waits
        if self._ended:
            future.set_exception(WorkbenchError(self._lost()))
            return future
        self._futures[number] = future
        self.state.jobs[number] = OpenJob(number, type(body).__name__, loop.time())
        return future

    def _receive(self, envelope: Envelope) -> None:
        body = envelope.body
        if isinstance(body, Done):
            self._finish(envelope.job or 0, body)
        else:
            take(self.state, envelope)
        self._tell(envelope)

    def _finish(self, number: int, done: Done) -> None:
        self.state.jobs.pop(number, None)
        future = self._futures.pop(number, None)
        try:
            result = result_of(done, foreign=True)
        except CodecError as problem:
            done, result = Done(None, Failure("engine", f"The engine sent a result nobody can read: {problem}")), None
        if result is not None:
            take(self.state, Envelope(result, number, ""))
        if future is None or future.done():
            return
        if done.failure is not None:
            future.set_exception(WorkbenchError(done.failure))
        else:
            future.set_result(result)

    def _tell(self, envelope: Envelope) -> None:
        for listener in tuple(self._listeners):
            listener(envelope.body, envelope)

    def _end(self, reason: str) -> None:
        self._ended = reason
        self.state.engine = "dead"
        self.state.jobs.clear()
        futures, self._futures = self._futures, {}
        for future in futures.values():
            if not future.done():
                future.set_exception(WorkbenchError(self._lost()))
        self._tell(Envelope(Done(None, self._lost()), None, "face"))

    def _lost(self) -> Failure:
        talk = self._transport.talk
        return Failure(
            "engine",
            f"The engine is gone: {self._ended}." + (f" Its last words: {talk[-1]}" if talk else ""),
            remedy="Start the workbench again.",
            details="\n".join(talk),
        )

    async def _abandon(self, number: int, future: asyncio.Future[Any]) -> None:
        await self.cancel(number)
        await asyncio.wait({future}, timeout=CANCEL_GRACE)
        if not future.done():
            await self.request(Kill("bench"))
