"""The memory account as words and lines, the same on both faces. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .numbers import size

if TYPE_CHECKING:  # the first frame is drawn before the protocol is imported
    from workbench.protocol.memory import DeviceAccount, Leak, MemoryAccount, SavedPart

LISTED = 12
"""Modules that are named; the rest is one line."""


def summary(account: MemoryAccount) -> str:
    """ "RSS 812 MB: torch and Python 310 MB, parameters 44 MB, …": the largest parts of the CPU's."""
    cpu = account.devices[0]
    parts = sorted(cpu.parts, key=lambda part: -part.bytes)[:5]
    return f"RSS {size(cpu.total)}: " + ", ".join(f"{part.name} {size(part.bytes)}" for part in parts)


def heading(device: DeviceAccount) -> str:
    """ "cpu: RSS 812 MB, peak 901 MB"."""
    whole = "RSS" if device.device == "cpu" else "reserved"
    return f"{device.device}: {whole} {size(device.total)}" + (f", peak {size(device.peak)}" if device.peak else "")


def saved_heading(account: MemoryAccount) -> str:
    """What one forward saves for backward, or why that is not known."""
    if account.saved_bytes < 0:
        return f"saved for backward: {account.saved_words or 'not asked'}"
    note = f" ({account.saved_words})" if account.saved_words else ""
    return f"saved for backward by one forward: {size(account.saved_bytes)}{note}"


def top(parts: Iterable[SavedPart]) -> list[tuple[str, int]]:
    """(first part of the path, bytes) of the saved bytes, the largest first: "body", "head"."""
    sums: dict[str, int] = {}
    for part in parts:
        name = part.path.partition(".")[0] or "the model itself"
        sums[name] = sums.get(name, 0) + part.bytes
    return sorted(sums.items(), key=lambda pair: -pair[1])


def top_words(parts: Iterable[SavedPart], most: int = 4) -> str:
    """ "body 38.0 MB, head 6.0 MB"."""
    found = top(parts)
    words = [f"{name} {size(count)}" for name, count in found[:most]]
    rest = sum(count for _, count in found[most:])
    return ", ".join([*words, f"others {size(rest)}"] if rest else words)


def listed(parts: Iterable[SavedPart]) -> list[tuple[str, int, str]]:
    """(module, bytes, how many tensors) of the largest, and the rest as one."""
    parts = list(parts)
    lines = [
        (part.path or "the model itself", part.bytes, f"{part.tensors} tensor{'s' * (part.tensors != 1)}")
        for part in parts[:LISTED]
    ]
    rest = parts[LISTED:]
    if rest:
        count = sum(one.tensors for one in rest)
        lines.append((f"{len(rest)} more modules", sum(one.bytes for one in rest), f"{count} tensors"))
    return lines


def left_words(account: MemoryAccount, leak: Leak | None) -> str:
    """What may still be taken, and when it will be used up."""
    if leak is not None and leak.full:
        return leak.full
    return f"{size(account.available)} of {size(account.whole)} may still be taken." if account.whole else ""
