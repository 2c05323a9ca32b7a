"""One worker's life: spawned, greeted, listened to, ended by a ladder, buried.

Owns the conversation over its three pipes and the ladder that ends it. Knows nothing of jobs beyond the word for what
the worker is busy with, and never decides that a worker which can be heard should end: its owners do.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.protocol.codec import PREAMBLE, CodecError, Envelope, decode, encode
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import PROTOCOL, REGISTRY, Hello, LogLines, WorkerDied, WorkerReady

from . import death, host
from .log import WorkerLog
from .pipes import ChunkReader, LineReader, PipeWriter, open_writer
from .spawned import Spawned

HELLO_TIMEOUT = 30.0
"""Seconds an interpreter may take until it says hello; it imports nothing heavy before."""

_DRAIN = 0.2
"""Seconds for the pipes to end after the process did; a child that was forked off may hold them for ever."""

_LINGER = 0.3
"""Seconds for the process to end after its pipe did."""

_AFTER_KILL = 5.0
"""Seconds to wait for a killed process; one that hangs in the kernel never goes."""

_TAIL_SHOWN = 20


@dataclass(frozen=True)
class Patience:
    """Seconds to wait on each rung before the next."""

    ask: float = 0.5
    interrupt: float = 0.5
    terminate: float = 0.5


class WorkerProcess:
    """`await spawn()`, then `send`; `ready` and `gone` are futures; `end` takes it down."""

    def __init__(
        self,
        role: str,
        command: Sequence[str],
        on_message: Callable[[WorkerProcess, Envelope, bytes], None],
        on_lines: Callable[[LogLines], None],
        cwd: str | None = None,
        hello_timeout: float = HELLO_TIMEOUT,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.role = role
        self.busy_with = ""
        """Request it works on; empty: none. Its owner keeps it."""
        self.hello: Hello | None = None
        self.started = self.last_heard = time.monotonic()
        """`last_heard`: when its last message came."""
        self.ready: asyncio.Future[WorkerReady] = self._loop.create_future()
        self.gone: asyncio.Future[WorkerDied] = self._loop.create_future()
        self._command, self._cwd, self._hello_timeout = list(command), cwd, hello_timeout
        self._on_message = on_message
        self._log = WorkerLog(role, on_lines)
        self._expected = False
        self._rung = ""
        self._refused = ""
        self._ending: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_all, self._logged_all = asyncio.Event(), asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []
        self._stdin: PipeWriter | None = None
        self._process: Spawned | None = None
        self._kills_before: int | None = None
        self._hello_timer: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int:
        """0 before `spawn`."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """It runs, and nobody is about to end it."""
        return self._process is not None and not self.gone.done() and self._ending is None

    async def spawn(self) -> None:
        """Start it. Raises `WorkbenchError("engine")` when the interpreter cannot be started."""
        self._kills_before = host.memory_kills()
        process = self._process = Spawned(self._command, self._cwd, lambda: self._keep(self._bury))
        self._stdin = await open_writer(process.stdin, lambda: None)
        lines = LineReader(self._line, self._stream_ended, PREAMBLE)
        transport, _ = await self._loop.connect_read_pipe(lambda: lines, process.stdout)
        self._transports.append(transport)
        chunks = ChunkReader(self._log.feed, self._logged_all.set)
        transport, _ = await self._loop.connect_read_pipe(lambda: chunks, process.stderr)
        self._transports.append(transport)
        self._hello_timer = self._loop.call_later(self._hello_timeout, self._no_hello)

    def not_started(self, purpose: str = "") -> WorkbenchError:
        """What to raise when it is gone and was never ready; `purpose` as in `death.not_started`."""
        return WorkbenchError(death.not_started(self.gone.result(), self._command[0], purpose))

    # talking

    def send(self, body: Any, job: int | None) -> None:
        """Ask for something; forgotten when the worker is gone."""
        if self._stdin is not None:
            self._stdin.write(encode(Envelope(body, job, "supervisor")))

    def interrupt(self) -> None:
        """SIGINT, for a job that does not listen. Only while one is open: else it would hit the worker itself."""
        if self.busy_with and self._process is not None and not self.gone.done():
            self._process.signal(signal.SIGINT)

    def _line(self, line: bytes) -> None:
        self.last_heard = time.monotonic()
        try:
            envelope = decode(line, REGISTRY, foreign=False)
        except CodecError as problem:
            self._log.say(f"[a message nobody can read: {problem}]")
            return
        if self.hello is None and not self._greeted(envelope.body):
            return
        if isinstance(envelope.body, WorkerReady) and not self.ready.done():
            self.ready.set_result(envelope.body)
        self._on_message(self, envelope, line)

    def _greeted(self, body: Any) -> bool:
        if not isinstance(body, Hello):
            self._refuse(f"it said {type(body).__name__} before Hello")
        elif body.protocol != PROTOCOL:
            self._refuse(
                f"its worker program speaks protocol {body.protocol} (workbench {body.workbench}), "
                f"and the supervisor protocol {PROTOCOL}"
            )
        else:
            self.hello = body
            return True
        return False

    def _no_hello(self) -> None:
        if self.hello is None:
            self._refuse(f"{self._command[0]} did not say hello within {self._hello_timeout:g} s")

    def _refuse(self, reason: str) -> None:
        """It cannot be talked to: end it, and say why."""
        if self._ending is None and not self.gone.done():
            self._refused = reason
            self._ending = self._loop.create_task(self._ladder(Patience(0.1, 0.1, 0.3)))

    # ending

    async def end(self, patience: Patience | None = None) -> WorkerDied | None:
        """Take it down by the ladder and wait until it is gone; None when even SIGKILL did not help in time."""
        if self._process is None:
            return None
        if not self.gone.done():
            self._expected = True
            if self._ending is None:
                self._ending = self._loop.create_task(self._ladder(patience or Patience()))
            await asyncio.shield(self._ending)
        return self.gone.result() if self.gone.done() else None

    def end_now(self) -> None:
        """SIGKILL for the whole group, without waiting."""
        if self._process is not None and not self.gone.done():
            self._expected = True
            self._rung = "kill"
            self._process.kill_group()

    async def _ladder(self, patience: Patience) -> None:
        process = self._process
        assert process is not None
        if self._stdin is not None and await self._stand_on("asked", self._stdin.close, patience.ask):
            return
        if self.busy_with and await self._stand_on("interrupt", self.interrupt, patience.interrupt):
            return
        if await self._stand_on("terminate", lambda: process.signal(signal.SIGTERM), patience.terminate):
            return
        await self._stand_on("kill", process.kill_group, _AFTER_KILL)

    async def _stand_on(self, rung: str, act: Callable[[], None], seconds: float) -> bool:
        if not self.gone.done():
            self._rung = rung
            act()
            await asyncio.wait({self.gone}, timeout=seconds)
        return self.gone.done()

    # dying

    def _keep(self, make: Callable[[], Any]) -> None:
        task = self._loop.create_task(make())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stream_ended(self, reason: str) -> None:
        self._said_all.set()
        if not self.gone.done():
            self._keep(lambda: self._mute(reason))

    async def _mute(self, reason: str) -> None:
        """Its pipe has ended: either it is dying, or it lives and can no longer be heard."""
        await asyncio.wait({self.gone}, timeout=_LINGER)
        self._refuse(reason or "it closed its end of the conversation (something closed its descriptors)")

    async def _bury(self) -> None:
        assert self._process is not None
        self._process.kill_group()
        waits = [self._loop.create_task(event.wait()) for event in (self._said_all, self._logged_all)]
        await asyncio.wait(waits, timeout=_DRAIN)
        for wait in waits:
            wait.cancel()
        code = self._process.bury()
        self._log.flush()
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        for transport in self._transports:
            transport.close()
        if self._stdin is not None:
            self._stdin.abort()
        self.gone.set_result(self._died(code))

    def _died(self, code: int) -> WorkerDied:
        tail = self._log.tail()
        kills = host.memory_kills()
        starved = None if kills is None or self._kills_before is None else kills > self._kills_before
        if self._refused:
            words = self._refused
        elif self.hello is None and code >= 0 and not self._rung:
            words = death.stillborn(code, self._command[0], tail)
        else:
            words = death.cause(code, self._rung, tail, starved)
        shown = tail[-_TAIL_SHOWN:]
        return WorkerDied(self.role, self.pid, words, code, self._rung, shown, self.busy_with, self._expected)
