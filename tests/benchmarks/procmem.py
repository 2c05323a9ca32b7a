"""Peak memory of a process, from /proc; where that is missing, what psutil says now."""

from __future__ import annotations

from pathlib import Path

import psutil


def peak(pid: int) -> int:
    """Highest resident memory since `forget_peak`, bytes."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return int(psutil.Process(pid).memory_info().rss)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> int:
    """Begin again; returns what is resident now, bytes."""
    clear = Path(f"/proc/{pid}/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return peak(pid)
