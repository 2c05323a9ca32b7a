"""The bytes of a file as they were at one moment, where nobody else can change them, and their sha256.

Owns the copy: in memory on Linux (the kernel copies, no page of it is zeroed first), in a temporary file elsewhere. A
private mapping of it can be written to without changing it, so that it can be hashed while a model made of it
already runs. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from workbench.worker.mistaken import START

AT_ONCE = 32 << 20
"""Bytes up to which hashing is done before anybody goes on: 20 ms."""

_STEP = 4 << 20
"""Bytes copied or hashed at a time; each time costs a turn at the interpreter lock."""


class Digest:
    """The sha256 of a snapshot, made in a thread that gives way to everything else."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        """Of `size` bytes from `start` on; `descriptor` stays the caller's."""
        self._descriptor = os.dup(descriptor)
        self._start, self._size = start, size
        self._lock = threading.Lock()
        self._forgotten = False
        self._tell: Callable[[str], None] | None = None
        self.known = ""
        """In hexadecimal; empty while it is being made."""
        self._thread = threading.Thread(target=self._make, name="workbench-digest", daemon=True)
        if size <= AT_ONCE:
            self._make()
        else:
            self._thread.start()

    def wait(self) -> str:
        """The digest. Raises RuntimeError when it was forgotten before it was made, or could not be."""
        if self._thread.ident is not None:
            self._thread.join()
        if not self.known:
            raise RuntimeError("there is no digest of these bytes")
        return self.known

    def tell(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the digest: now, or from the thread once it is made; never after `forget`."""
        with self._lock:
            if self.known and not self._forgotten:
                listener(self.known)
            self._tell = listener

    def forget(self) -> None:
        """Nobody wants it any more: stop, and let go of the bytes. Once this returns no listener is called."""
        with self._lock:
            self._forgotten = True

    def _make(self) -> None:
        if threading.current_thread() is self._thread:
            _give_way()
        digest = hashlib.sha256()
        buffer = bytearray(min(_STEP, max(self._size, 1)))
        done = 0
        try:
            with memoryview(buffer) as view:
                while done < self._size and not self._forgotten:
                    got = os.preadv(self._descriptor, [view[: self._size - done]], self._start + done)
                    digest.update(view[:got])
                    done += got
        finally:
            os.close(self._descriptor)
        with self._lock:
            if done == self._size:
                self.known = digest.hexdigest()
                if self._tell is not None and not self._forgotten:
                    self._tell(self.known)


class PrivateCopy:
    """A context manager: the copy goes when it is left, but for what was mapped from it and its digest."""

    def __init__(self, path: str) -> None:
        """Copy the regular file `path`. Raises OSError, and ValueError when it ends while it is read."""
        self._temporary = ""
        with open(path, "rb", buffering=0) as source:
            self.size = os.fstat(source.fileno()).st_size
            self.start = source.read(START)
            """Its first bytes, by which formats are told."""
            self.shift = _shift(self.start)
            """Where in the copy the file begins: then the data of a .safetensors file begins at a page."""
            self._open()
            try:
                os.ftruncate(self._descriptor, self.shift + self.size)
                os.lseek(self._descriptor, self.shift, os.SEEK_SET)
                _copy(source.fileno(), self._descriptor, self.size)
            except BaseException:
                self.close()
                raise

    @property
    def name(self) -> str:
        """A path by which the copy can be opened."""
        return self._temporary or f"/proc/self/fd/{self._descriptor}"

    @contextlib.contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """The copy, to be read from where the file begins."""
        with open(self.name, "rb", buffering=0) as stream:
            stream.seek(self.shift)
            yield stream

    def digest(self) -> Digest:
        """Begin to make the sha256 of the file's bytes."""
        return Digest(self._descriptor, self.shift, self.size)

    def close(self) -> None:
        os.close(self._descriptor)
        if self._temporary:
            os.unlink(self._temporary)

    def __enter__(self) -> PrivateCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self._descriptor = os.memfd_create("workbench-weights")
        except (AttributeError, OSError):  # not Linux, or a sandbox that has no such call
            self._descriptor, self._temporary = tempfile.mkstemp(prefix="workbench-weights")


def _shift(start: bytes) -> int:
    """So many bytes before a .safetensors file bring its data to the beginning of a page; 0 for other formats."""
    return -(8 + int.from_bytes(start[:8], "little")) % 4096 if start[8:9] == b"{" else 0


def _copy(source: int, target: int, size: int) -> None:
    """`size` bytes from the start of `source` to where `target` stands. Raises ValueError when it ends early."""
    done = 0
    by_kernel = sys.platform == "linux"
    while done < size:
        count = min(_STEP, size - done)
        if by_kernel:
            try:
                got = os.sendfile(target, source, done, count)
            except OSError:  # a file system that cannot: what is really wrong, the other way finds as well
                by_kernel = False
                continue
        else:
            got = os.write(target, os.pread(source, count, done))
        if not got:
            raise ValueError(f"it ends after {done} of {size} bytes: somebody is writing it")
        done += got


def _give_way() -> None:
    """Let this thread run only where a core has nothing better to do; Linux alone has niceness by thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
