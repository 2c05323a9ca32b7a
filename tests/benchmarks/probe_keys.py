"""From a key to the screen, with every pane open: idle, and while a model saturates every core."""

from __future__ import annotations

from .face import CNN, key_latency, opened, region_of
from .measure import Settings, ms, percentile
from .table import Row

LIMITS = {"idle": (0.005, 0.010), "engine saturating every core": (0.006, 0.040)}
"""Seconds at the 50th and the 99th percentile."""
WARM_UP = 10


def measure(settings: Settings) -> list[Row]:
    count = 500 if settings.full else 150
    samples: dict[str, list[float]] = {}
    with opened(settings, *CNN) as terminal:
        terminal.send("1")
        terminal.wait_quiet(0.3)
        region = region_of(terminal, "1 model")
        keys = ("down", "up")
        key_latency(terminal, keys, region, WARM_UP, 0.02)
        samples["idle"] = key_latency(terminal, keys, region, count, 0.05)
        terminal.send("R")
        terminal.watch(2.0)
        samples["engine saturating every core"] = key_latency(terminal, keys, region, count, 0.05)
    rows = []
    for name, (half, most) in LIMITS.items():
        p50, p99 = percentile(samples[name], 0.5), percentile(samples[name], 0.99)
        rows.append(
            Row(
                "keys", f"key to screen p50 / p99, {name}", f"≤ {half * 1000:g} / ≤ {most * 1000:g} ms",
                f"{ms(p50)} / {ms(p99)} ms", p50 <= half and p99 <= most,
                f"{count} keys in the model tree", tuple(samples[name]),
            )
        )  # fmt: skip
    return rows
