"""What memory holds: the graph's saved tensors, this process's own pages, what the system has left.

Only looks, and gives freed pages back when asked; it never decides what is a leak (`leak.py` does)
and never runs the model.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from workbench.protocol.runs import CudaUse
from workbench.worker.judge.graph import components, nodes_behind, saved_tensors, storage_key

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Before:
    """What the process held before any model came: Python and torch themselves."""

    rss: int
    file: int
    """Pages that a file backs: the libraries' code."""

    @classmethod
    def take(cls) -> Before:
        trim()
        held = rss()
        return cls(held, held - anonymous())


def saved_bytes(outputs: Iterable[torch.Tensor], without: Iterable[torch.Tensor] = ()) -> int:
    """Bytes that the graph behind `outputs` keeps for backward; see `saved_of_graph`."""
    return saved_of_graph(outputs, without)[0]


def saved_of_graph(outputs: Iterable[torch.Tensor], without: Iterable[torch.Tensor] = ()) -> tuple[int, bool]:
    """Bytes that the graph behind `outputs` keeps for backward, and whether the whole graph was seen.

    Walks every `grad_fn` and counts the storage of each saved tensor once, and what custom Functions keep on ctx.
    `without` (the model's parameters) is not counted, for it is there anyway. Where hooks packed a saved tensor
    (activation checkpointing, save_on_cpu) what they packed is counted; it is never unpacked, for that could run the
    model again. Beyond `NODE_LIMIT` nodes the number is a lower bound.
    """
    known = {storage_key(part) for tensor in without for part in components(tensor)}
    total = 0
    nodes, whole = nodes_behind(outputs)
    for node in nodes:
        for tensor in saved_tensors(node):
            parts = components(tensor)
            if not parts:
                total += tensor.numel() * tensor.element_size()
            for part in parts:
                key = storage_key(part)
                if key not in known:
                    known.add(key)
                    total += part.untyped_storage().nbytes()
    return total, whole


def rss() -> int:
    """Resident bytes of this process; on systems without /proc its peak, the only number there is."""
    pages = _statm()
    return pages[1] * _PAGE if pages else _peak()


def anonymous() -> int:
    """Resident bytes that no file backs, so that mapped weights do not look like growth; `rss` where unknown."""
    pages = _statm()
    return (pages[1] - pages[2]) * _PAGE if pages else _peak()


def _statm() -> tuple[int, ...]:
    try:
        with open("/proc/self/statm", "rb", buffering=0) as stream:
            return tuple(map(int, stream.read(200).split()))
    except OSError:
        return ()


def _peak() -> int:
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available() -> tuple[int, int]:
    """Bytes that may still be taken, and the whole: of the machine or of the control group, whichever is tighter.

    (0, 0) where the system does not say.
    """
    left, whole = _meminfo()
    for folder, limit_file, used_file in _groups():
        limit, used = _number(f"{folder}/{limit_file}"), _number(f"{folder}/{used_file}")
        if limit <= 0 or used < 0 or (whole and limit >= whole):
            continue
        # pages that only cache files are given up before anything is killed
        free = max(0, limit - used + _inactive_file(f"{folder}/memory.stat"))
        left, whole = (min(left, free) if whole else free), limit
    return left, whole


_GROUPS = "/sys/fs/cgroup"
_GROUP_FILES = {"": ("memory.max", "memory.current"),
                "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}  # fmt: skip
"""Limit and use by the hierarchy's controller: "" is version 2 (cgroups(7))."""


def _groups() -> Iterator[tuple[str, str, str]]:
    """(folder, file of its limit, file of its use) of every control group that this process is in, inner ones first."""
    paths = _paths()
    for name, files in _GROUP_FILES.items():
        root = f"{_GROUPS}/{name}".rstrip("/")
        path = paths.get(name, "/").rstrip("/")
        while path:
            yield (root + path, *files)
            path = path.rpartition("/")[0]
        yield (root, *files)


def _paths() -> dict[str, str]:
    """The control group that this process is in, by controller."""
    try:
        with open("/proc/self/cgroup") as stream:
            lines = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return {}
    return {name: path for _, names, path in lines for name in names.split(",")}


def _meminfo() -> tuple[int, int]:
    try:
        with open("/proc/meminfo", "rb") as stream:
            fields = dict(line.split(b":", 1) for line in stream.read().splitlines())
        return int(fields[b"MemAvailable"].split()[0]) * 1024, int(fields[b"MemTotal"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0, 0


def _number(path: str) -> int:
    try:
        with open(path, "rb") as stream:
            return int(stream.read())
    except (OSError, ValueError):  # no such group, or the word "max"
        return -1


def _inactive_file(path: str) -> int:
    try:
        with open(path, "rb") as stream:
            for line in stream:
                if line.startswith((b"inactive_file ", b"total_inactive_file ")):
                    return int(line.split()[1])
    except (OSError, ValueError):
        return 0
    return 0


def give_back() -> None:
    """Collect garbage and return freed pages to the system, so that memory that is free also looks free."""
    gc.collect()
    if cuda_started():
        torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """Return the allocator's free pages to the system (0.4 to 3 ms); does nothing without glibc."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def _find_malloc_trim() -> Any:
    try:
        return getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # a platform where the process cannot be asked for its own symbols
        return None


_malloc_trim = _find_malloc_trim()


def cuda_started() -> bool:
    """Whether this process uses CUDA; asking does not start it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def cuda_use(device: str) -> CudaUse | None:
    """The CUDA allocator's bytes for `device` ("cuda:1"), peak since the last `reset_cuda_peak`; None elsewhere."""
    if not device.startswith("cuda"):
        return None
    return CudaUse(
        torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device), torch.cuda.max_memory_allocated(device)
    )


def reset_cuda_peak(device: str) -> None:
    """Start counting the peak anew; does nothing for other devices."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
