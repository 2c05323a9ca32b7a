"""The other end of the supervisor, for tests: sends requests, keeps everything that comes back."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.protocol.codec import PREAMBLE, Envelope, decode, encode
from workbench.protocol.messages import REGISTRY, Done, Start, WorkerDied
from workbench.protocol.results import result_of

HERE = Path(__file__).resolve().parent


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Face:
    """`async with Face("worker.py") as face: await face.ask(Start())`."""

    def __init__(self, worker: str = "worker.py", command: list[str] | None = None, cwd: Path | None = None) -> None:
        self._command = command or [sys.executable, str(HERE / "supervisor.py"), worker]
        self._cwd = cwd
        self._numbers = itertools.count(1)
        self.events: list[Envelope] = []
        self._news = asyncio.Event()
        self.ended = False

    async def __aenter__(self) -> Face:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, cwd=self._cwd, start_new_session=True, limit=1 << 26
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *problem: object) -> None:
        if self.process.returncode is None:
            self.process.stdin.close()
            async with asyncio.timeout(10):
                await self.process.wait()
        await self._reader

    async def _read(self) -> None:
        await self.process.stdout.readuntil(PREAMBLE)
        while line := await self.process.stdout.readline():
            self.events.append(decode(line, REGISTRY, foreign=True))
            self._news.set()
        self.ended = True
        self._news.set()

    def send(self, body: Any) -> int:
        number = next(self._numbers)
        self.process.stdin.write(encode(Envelope(body, number, "face")))
        return number

    async def until(self, wanted: Callable[[Envelope], Any], seconds: float = 10.0) -> Envelope:
        """The first event, past or future, that is `wanted`."""
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                assert not self.ended, "the supervisor has left"
                self._news.clear()
                await self._news.wait()

    async def end_of(self, job: int, seconds: float = 10.0) -> Done:
        event = await self.until(lambda event: event.job == job and isinstance(event.body, Done), seconds)
        return event.body

    async def ask(self, body: Any, seconds: float = 10.0) -> Any:
        """The result record of a request, or its `Failure`."""
        end = await self.end_of(self.send(body), seconds)
        return end.failure or result_of(end, foreign=True)

    async def start(self, attended: bool = False) -> Any:
        ready = await self.ask(Start(attended=attended))
        assert type(ready).__name__ == "WorkerReady", ready
        return ready

    async def death(self, seconds: float = 10.0) -> WorkerDied:
        return (await self.until(lambda event: isinstance(event.body, WorkerDied), seconds)).body

    def of(self, kind: type) -> list[Any]:
        """Bodies of one kind that have come so far."""
        return [event.body for event in self.events if isinstance(event.body, kind)]
