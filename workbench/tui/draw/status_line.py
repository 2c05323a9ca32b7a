"""The first line of the screen: what is on the bench, whose code it is, where it runs, how the engine does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.report import numbers
from workbench.tui.draw.spans import Line, Span, cells_of

if TYPE_CHECKING:
    from workbench.protocol.model import ModelInfo, Modes

ENGINE = {
    "starting": ("◌", "accent"),
    "loading": ("◌", "accent"),
    "ready": ("●", "good"),
    "busy": ("◌", "accent"),
    "paused": ("‖", "warn"),
    "dead": ("■", "bad"),
    "gone": ("■", "bad"),
}
"""Sign and style of an engine's state; the word stands beside it."""


def bench_part(info: ModelInfo | None, modes: Modes | None, width: int) -> Line:
    """What is on the bench; what matters least gives way first."""
    parts: list[tuple[Line, int]] = [((("workbench", "strong"),), 6)]
    if info is None:
        parts.append(((("no model on the bench", "dim"),), 0))
    else:
        parts += [
            (((info.name, "strong"),), 0),
            (((info.target, ""),), 5),
            ((_trust(info.trust),), 1),
            (_weights(info), 3),
            (((modes.device if modes else "cpu", ""), (f" {_dtype(info, modes)}", "")), 2),
            (((numbers.count(info.parameters), ""), (" params", "dim")), 4),
        ]
    while len(parts) > 1 and _width(parts) > width:
        parts.remove(max(parts, key=lambda part: part[1]))
    return tuple(span for part, _ in parts for span in (*part, ("  ", "")))[:-1]


def engine_part(state: str, words: str, seconds: float | None, rss: int) -> Line:
    """Sign, state, a clock while it takes long, and the worker's memory."""
    sign, style = ENGINE.get(state, ("?", "warn"))
    spans: list[Span] = [(f"{sign} ", style), (words or state, style)]
    if seconds is not None:
        spans.append((f" {numbers.clock(seconds)}", ""))
    if rss:
        spans.append((f"  {numbers.size(rss):>7}", ""))
    return tuple(spans)


def _width(parts: list[tuple[Line, int]]) -> int:
    return sum(cells_of(part) + 2 for part, _ in parts) - 2


def _trust(trust: str) -> Span:
    """The chip: reversed brackets would be colour alone, so it is the word in brackets."""
    return f"[{trust}]", "warn" if trust.startswith("CODE") else "good"


def _weights(info: ModelInfo) -> Line:
    if not info.weights:
        return (("weights as constructed", "dim"),)
    return (("weights ", "dim"), ("[DATA]", "good"), (f" {info.weights_sha256[:6]}…", "dim"))


def _dtype(info: ModelInfo, modes: Modes | None) -> str:
    if modes is not None and modes.dtype:
        return modes.dtype
    return max(info.dtypes, key=info.dtypes.__getitem__) if info.dtypes else ""
