"""Comparing two large tensors with all metrics, beside torch.testing.assert_close: seconds and extra memory."""

from __future__ import annotations

import statistics

from .child import Child
from .measure import MIB, Settings, ratios, with_spread
from .table import Row

ELEMENTS, ELEMENTS_FULL = 25_000_000, 250_000_000
EXTRA = 0.4e9
"""Bytes."""


def measure(settings: Settings) -> list[Row]:
    elements = ELEMENTS_FULL if settings.full else ELEMENTS
    rounds = 2 if settings.full else settings.rounds
    seconds: dict[str, list[float]] = {"compare": [], "assert_close": []}
    extra: dict[str, list[float]] = {"compare": [], "assert_close": []}
    with Child("big_tensors.py", str(elements)) as child:
        for _ in range(rounds):
            for name in seconds:
                seconds[name].append(child.ask(name))
                extra[name].append(child.ask("extra"))
    faster = ratios(seconds["assert_close"], seconds["compare"])
    most = max(extra["compare"])
    note = f"two tensors of {elements:.1e} float32; assert_close needs {max(extra['assert_close']) / MIB:.0f} MB extra"
    times = f"{statistics.median(seconds['compare']):.2f} s against {statistics.median(seconds['assert_close']):.2f} s"
    return [
        Row("compare", "comparing tensors, extra memory", "≤ 0.4 GB", f"{most / MIB:.0f} MB", most <= EXTRA, note),
        Row(
            "compare", "comparing tensors, times as fast as assert_close", "> 1", with_spread(faster),
            statistics.median(faster) > 1, times, faster,
        ),
    ]  # fmt: skip
