"""Marks and multiples in words that name what was measured with: eager's own noise, or a tolerance. Pure."""

from __future__ import annotations

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE

from .numbers import multiple

LIMITS = {"float64": 3.0}
"""Largest multiple that holds; 1 for the yardsticks that are not named (see `LeafDiff.noise_multiple`)."""


def measured_in(yardstick: str) -> str:
    """ "the noise" where eager's own error is known, "the tolerance" otherwise; `yardstick` as in `Yardstick.kind`."""
    return "the noise" if yardstick == "float64" else "the tolerance"


def mark_words(mark: str, yardstick: str) -> str:
    """ "identical bits", "within the noise", "beyond the tolerance", "not comparable"."""
    known = {
        IDENTICAL: "identical bits",
        NOISE: f"within {measured_in(yardstick)}",
        BEYOND: f"beyond {measured_in(yardstick)}",
        INCOMPARABLE: "not comparable",
    }
    return known.get(mark, mark)


def multiple_words(value: float, yardstick: str) -> str:
    """ "0.4× the noise"."""
    return f"{multiple(value)} {measured_in(yardstick)}"
