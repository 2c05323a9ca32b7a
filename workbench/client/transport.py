"""Our end of the pipe: bytes to messages and back. Knows nothing of what they mean."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import subprocess
from collections.abc import Callable

from workbench.protocol.codec import PREAMBLE, CodecError, Envelope, decode, encode
from workbench.protocol.limits import ENDING_SECONDS, LINE_LIMIT
from workbench.protocol.messages import REGISTRY
from workbench.protocol.text import clean

TALK_LINES = 50
"""Lines of the supervisor's own stderr that are kept, to explain its death."""
LAST_WORDS_SECONDS = 0.5
"""How long its stderr may go on after the stream has ended; what it says there explains the end."""
GONE_SECONDS = ENDING_SECONDS + 2.0
"""How long a supervisor whose stdin was closed may take to end its workers and itself: longer than it ever needs."""


class Transport:
    """A started supervisor, as a stream of envelopes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.talk: collections.deque[str] = collections.deque(maxlen=TALK_LINES)
        """Last lines that the supervisor wrote to its stderr."""

    async def attach(self, receive: Callable[[Envelope], None], ended: Callable[[str], None]) -> None:
        """Begin: `receive` gets every message, `ended` is called once with the reason when the stream ends.

        What `receive` raises ends the stream too: nobody could be told what came after it.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout)
        errors = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(errors), self._process.stderr)
        pipe, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, self._process.stdin)
        self._writer = asyncio.StreamWriter(pipe, protocol, None, loop)
        self._tasks = [
            asyncio.create_task(self._read(reader, receive, ended)),
            asyncio.create_task(self._listen(errors)),
        ]

    async def send(self, envelope: Envelope) -> None:
        """Write one message. A stream that has ended swallows it: `ended` has said so already.

        Raises `CodecError` for what cannot travel; then nothing was written.
        """
        line = encode(envelope)
        if self._writer is None or self._writer.is_closing():
            return
        with contextlib.suppress(ConnectionError):
            self._writer.write(line)
            await self._writer.drain()

    async def close(self) -> int:
        """End the supervisor by ending its stdin, and wait; it is killed if it does not go. Returns its exit status."""
        if self._writer is not None:
            self._writer.close()
        elif self._process.stdin is not None:
            self._process.stdin.close()
        code = await _wait(self._process, GONE_SECONDS)
        if code is None:
            self._process.kill()
            code = await _wait(self._process, GONE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return -9 if code is None else code

    async def _read(
        self, reader: asyncio.StreamReader, receive: Callable[[Envelope], None], ended: Callable[[str], None]
    ) -> None:
        reason = "it closed its end of the pipe"
        try:
            await reader.readuntil(PREAMBLE)
            while line := await reader.readline():
                receive(decode(line, REGISTRY, foreign=True))
        except asyncio.IncompleteReadError:
            reason = "it never said hello"
        except (CodecError, ValueError, asyncio.LimitOverrunError) as problem:
            reason = clean(str(problem))
        except Exception as problem:  # noqa: BLE001 (a reader that dies unheard would leave every request waiting)
            reason = f"what it sent could not be taken in: {type(problem).__name__}: {clean(str(problem))}"
        if self._writer is not None:
            self._writer.close()  # it is no longer heard: it shall end, and what it runs with it
        await asyncio.wait(self._tasks[1:], timeout=LAST_WORDS_SECONDS)
        ended(reason)

    async def _listen(self, errors: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await errors.readline()
            except ValueError:  # longer than the reader holds, which has dropped it
                continue
            if not line:
                return
            self.talk.append(clean(line.decode("utf-8", "replace").rstrip("\n")))


async def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    deadline = asyncio.get_running_loop().time() + seconds
    while process.poll() is None:
        if asyncio.get_running_loop().time() > deadline:
            return None
        await asyncio.sleep(0.01)  # a pidfd would do on Linux only
    return process.returncode
