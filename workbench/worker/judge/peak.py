"""The highest memory of a piece of work, above what was there before it.

On the CPU the kernel's own mark of the highest resident memory, reset before the work (Linux); on CUDA the
allocator's. Blocks that malloc keeps would hide what the work takes, and it does not give all of them back when asked;
so meanwhile large blocks are mapped one by one. That costs time: nothing is timed inside.
"""

from __future__ import annotations

import ctypes
import functools
import mmap

import torch

from workbench.worker.judge import memory

_RESET = b"5"
"""What `/proc/PID/clear_refs` takes for "set VmHWM to VmRSS" (proc(5), since Linux 4.0)."""


_LARGE = 128 << 10
"""Bytes of a block from which on it is mapped by itself meanwhile: glibc's own threshold before it adapts."""
_PROBE = 8 << 20
"""Bytes of a block that the mark is tried with."""
_ADAPTED = 32 << 20
"""glibc's largest adapted threshold (`DEFAULT_MMAP_THRESHOLD_MAX`), which a process reaches that frees large blocks."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h."""


class Peak:
    """A context manager: `bytes` is known once it is left, and -1 where the system does not say."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._before = -1
        self.bytes = -1

    def __enter__(self) -> Peak:
        self._before = self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        if self._before >= 0:
            self.bytes = max(0, self._now() - self._before)
        if self._device == "cpu":
            _map_from(_ADAPTED)

    def _begin(self) -> int:
        if self._device == "cpu":  # first: what malloc keeps under the other threshold is given back by the trim alone
            _map_from(_LARGE)
        memory.give_back()
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
            memory.reset_cuda_peak(self._device)
            return int(torch.cuda.memory_allocated(self._device))
        if self._device != "cpu":
            return -1
        if not _kernel_says():
            return -1
        return _reset()

    def _now(self) -> int:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
            return int(torch.cuda.max_memory_allocated(self._device))
        return highest()


def _reset() -> int:
    """The highest mark after it was set back to what is resident now; -1 where that cannot be done."""
    try:
        with open("/proc/self/clear_refs", "wb", buffering=0) as stream:
            stream.write(_RESET)
    except OSError:
        return -1
    return highest()


@functools.cache
def _kernel_says() -> bool:
    """Whether the mark rises with a block that is gone again by then: sandboxes have the file and no mark behind it."""
    before = _reset()
    with mmap.mmap(-1, _PROBE) as block:
        block.write(b"x" * _PROBE)
    return before >= 0 and highest() - before >= _PROBE * 3 // 4


def _map_from(threshold: int) -> None:
    """Have malloc map blocks of so many bytes by themselves; nothing without glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(_MMAP_THRESHOLD, threshold)
    mallopt(_TRIM_THRESHOLD, 2 * threshold)


def highest() -> int:
    """VmHWM in bytes; -1 where there is none."""
    try:
        with open("/proc/self/status", "rb") as stream:
            for line in stream:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return -1
    return -1
