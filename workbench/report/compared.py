"""A comparison of two models in lines of words, the same on both faces. Pure."""

from __future__ import annotations

from workbench.protocol.compare import Compared, SideInfo
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE

from .marks import mark_words
from .numbers import count, multiple


def verdict_line(found: Compared) -> str:
    """ "within the noise: 0.7× over 19 cases"."""
    words = mark_words(found.mark, found.yardstick)
    if found.mark == INCOMPARABLE or not found.cases:
        return words
    if found.mark == BEYOND and not any(leaf.worst.mark == BEYOND for leaf in found.leaves):
        words = "does not answer alike"
    by = f" {multiple(found.noise_multiple)}," if found.mark != IDENTICAL and found.noise_multiple else ""
    return f"{words}:{by} {found.cases} case{'s' if found.cases > 1 else ''}"


def yardstick_line(found: Compared) -> str:
    """What it was judged with, and why."""
    known = {
        "float64": "A's own error against float64, limit 3×",
        "tolerance": "torch.testing's tolerance, limit 1×",
        "given": "--tolerance, limit 1×",
    }
    words = f"yardstick {found.yardstick}: {known.get(found.yardstick, '')}"
    reason = found.yardstick_reason
    return words if not reason or reason == "--tolerance" else f"{words} ({reason})"


def side_line(side: SideInfo) -> str:
    """ "Net  model.py:Net · weights net.pt · eval · no_grad · float16 · cpu"."""
    modes = side.modes
    parts = [side.target, f"weights {side.weights}" if side.weights else "", modes.training_word, modes.grad]
    parts += [modes.dtype or "dtype as loaded", modes.device, f"threads {modes.threads}" if modes.threads else ""]
    parts += [f"rng fixed {modes.seed}" if modes.rng == "fixed" else "", f"{count(side.parameters)} parameters"]
    return f"{side.name}  {' · '.join(part for part in parts if part)}"
