"""Pipes of the event loop: lines in, bytes out, neither ever blocking. Owns no meaning of what passes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import IO

from workbench.protocol.limits import LINE_LIMIT

_WRITE_BUFFER = 64 << 10
"""Bytes the writer may hold before its user has to wait."""


class LineReader(asyncio.Protocol):
    """Hands each line that arrives to `on_line`; skips everything before `preamble` when there is one.

    `on_end` is called once, with a reason when the stream was unreadable and "" when it simply ended.
    """

    def __init__(
        self,
        on_line: Callable[[bytes], None],
        on_end: Callable[[str], None],
        preamble: bytes = b"",
        limit: int = LINE_LIMIT,
    ) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._preamble = preamble
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._ended = False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._preamble and not self._skip():
            return
        while not self._ended and (cut := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(self._buffer[:cut])
            del self._buffer[: cut + 1]
            self._searched = 0
            if line:
                self._on_line(line)
        self._searched = len(self._buffer)
        if len(self._buffer) > self._limit:
            self._end(f"it sent a line of more than {self._limit >> 20} MB")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("")

    def _skip(self) -> bool:
        start = self._buffer.find(self._preamble)
        if start < 0:
            del self._buffer[: -len(self._preamble)]
            return False
        del self._buffer[: start + len(self._preamble)]
        self._preamble = b""
        return True

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._buffer.clear()
            self._on_end(reason)


class ChunkReader(asyncio.Protocol):
    """Hands whatever arrives to `on_data`."""

    def __init__(self, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_data = on_data
        self._on_end = on_end

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()


class PipeWriter(asyncio.BaseProtocol):
    """The writing end of a pipe; made by `open_writer`."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.WriteTransport | None = None
        self._free = asyncio.Event()
        self._free.set()
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._free.set()
        self._on_end()

    def pause_writing(self) -> None:
        self._free.clear()

    def resume_writing(self) -> None:
        self._free.set()

    def write(self, data: bytes) -> None:
        """Send `data` when the pipe takes it; forgotten when the pipe is closed."""
        if self._transport is not None and not self.closed and not self._transport.is_closing():
            self._transport.write(data)

    async def room(self) -> None:
        """Wait until little is left unsent, or the pipe is closed."""
        await self._free.wait()

    def close(self) -> None:
        """Close the pipe once what was written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the pipe now and forget what was not sent."""
        if self._transport is not None and not self.closed:
            self._transport.abort()


async def open_writer(pipe: IO[bytes], on_end: Callable[[], None]) -> PipeWriter:
    """A writer on the open file object `pipe`, which the writer owns from now on."""
    _, writer = await asyncio.get_running_loop().connect_write_pipe(lambda: PipeWriter(on_end), pipe)
    return writer
