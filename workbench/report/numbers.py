"""Numbers as people read them: bytes, counts, times, ratios. The same words on every face and in every report."""

from __future__ import annotations

import math


def size(count: float) -> str:
    """Bytes, 1024-based, three digits: `320 B`, `44.0 MB`, `1.2 GB`; a sign is kept."""
    if not math.isfinite(count):
        return "?"
    sign, rest = ("-" if count < 0 else ""), abs(count)
    if rest < 1024:
        return f"{sign}{rest:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        rest /= 1024
        if rest < 999.5 or unit == "TB":
            break
    return f"{sign}{rest:.1f} {unit}" if rest < 99.95 else f"{sign}{rest:.0f} {unit}"


def count(number: float) -> str:
    """How many, three digits: `940`, `9.4 k`, `11.7 M`."""
    if abs(number) < 1000:
        return f"{number:.0f}"
    for unit in ("k", "M", "G", "T"):
        number /= 1000
        if abs(number) < 999.5 or unit == "T":
            break
    return f"{number:.1f} {unit}" if abs(number) < 99.95 else f"{number:.0f} {unit}"


def duration(seconds: float) -> str:
    """A measured time, three digits: `12.3 ms`, `20.1 µs`, `3.4 s`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds == 0:
        return "0 s"
    scales = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
    scale, unit = next((one for one in scales if abs(seconds) >= one[0] * 0.9995), scales[-1])
    number = seconds / scale
    return f"{number:.1f} {unit}" if abs(number) < 99.95 else f"{number:.0f} {unit}"


def clock(seconds: float) -> str:
    """A running clock: `00:41`, `1:02:03`."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def value(number: float) -> str:
    """A difference or an error: three significant digits, `0` only when it is zero."""
    if number != number:
        return "NaN"
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    return "0" if number == 0 else f"{number:.3g}"


def multiple(number: float) -> str:
    """How many times: `1.1×`, `340×`, `2.1e+06×`."""
    if not math.isfinite(number):
        return "∞×"
    if number < 99.95:
        return f"{number:.1f}×"
    return f"{number:.0f}×" if number < 1e5 else f"{number:.1e}×"


def share(part: int, whole: int) -> str:
    """`3 of 40 (7.5 %)`."""
    return f"{part} of {whole}" + (f" ({100 * part / whole:.1f} %)" if whole else "")
