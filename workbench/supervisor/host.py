"""What the operating system knows about a process: memory, processor time, state, kills for want of memory.

On Linux it is read from /proc, which takes microseconds; psutil is asked elsewhere, and only then imported.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

NICENESS = 10
"""Keys are answered at once although a model saturates every core."""
_keys_first: list[bool] = []
"""Not empty once somebody sits at a face of this engine."""

_LINUX = sys.platform.startswith("linux")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One look at a process."""

    rss: int
    """Bytes."""
    anonymous: int
    """Bytes that no file backs; -1 where the system does not say."""
    peak: int
    """Highest RSS the system remembers, bytes; at least `rss`."""
    cpu_seconds: float
    """User and system time since its start."""


def usage(pid: int) -> Usage | None:
    """Memory and processor time of a process; None when it is gone."""
    if not _LINUX:
        return _usage_elsewhere(pid)
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
        fields = _stat(pid)
    except OSError:
        return None
    rss, anonymous, peak = (_kilobytes(status, name) for name in (b"VmRSS:", b"RssAnon:", b"VmHWM:"))
    if rss < 0:  # a zombie has no memory
        return None
    return Usage(rss, anonymous, max(peak, rss), (int(fields[11]) + int(fields[12])) / _TICK)


def _kilobytes(status: bytes, name: bytes) -> int:
    start = status.find(b"\n" + name)
    if start < 0:
        return -1
    return int(status[start + 1 + len(name) :].split(None, 1)[0]) * 1024


def _stat(pid: int) -> list[bytes]:
    """Fields of /proc/PID/stat after the command's name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def _usage_elsewhere(pid: int) -> Usage | None:
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(pid)
        memory, times = process.memory_info(), process.cpu_times()
    except psutil.Error:
        return None
    return Usage(memory.rss, -1, memory.rss, times.user + times.system)


def stopped(pid: int) -> bool:
    """Whether a process was stopped (SIGSTOP, Ctrl+Z, a debugger)."""
    if not _LINUX:
        import psutil

        try:
            return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False
    try:
        return _stat(pid)[0] in (b"T", b"t")
    except OSError:
        return False


def put_keys_first() -> None:
    """Processes that start from now on go behind interactive work. Headless there are no keys to answer, and a process
    that yields measures how busy its neighbours are."""
    if not _keys_first:
        _keys_first.append(True)


def settle(pid: int) -> None:
    """Give a new process its place: the first that the kernel takes when memory runs out, and behind the keys where
    somebody presses them."""
    if _LINUX:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    if not _keys_first:
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    if _LINUX:
        # With autogroups, niceness counts only inside a session, and a worker has one of its own: so its group yields.
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))


def memory_kills() -> int | None:
    """How many processes the kernel has killed for want of memory, as far as can be seen; None when it does not say."""
    if not _LINUX:
        return None
    for path, word in _counters():
        try:
            words = path.read_text().split()
        except OSError:
            continue
        if word in words[:-1]:
            return int(words[words.index(word) + 1])
    return None


def _counters() -> list[tuple[Path, str]]:
    """Files that count kills, the narrowest first: control group version 2, version 1, the whole machine."""
    counters = []
    root = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, place = line.split(":", 2)
            if "memory" in controllers.split(","):
                counters.append((root / "memory" / place.lstrip("/") / "memory.oom_control", "oom_kill"))
                counters.append((root / "memory" / "memory.oom_control", "oom_kill"))
            elif number == "0":
                counters.insert(0, (root / place.lstrip("/") / "memory.events", "oom_kill"))
    return [*counters, (Path("/proc/vmstat"), "oom_kill")]
