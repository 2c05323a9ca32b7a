"""Which of torch's switches a forward leaves otherwise than it found them, and where it sets them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import nn

from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_places import located, named, watching
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.lines import first_change
from workbench.worker.judge.switches import GRAD, Switches, standing

SWITCH_REMEDY = (
    "Set it once where the program starts, or in a context manager around the computation that puts it back."
)


def left_otherwise(subject: Subject) -> dict[str, str]:
    """Switches of the thread that the check's forwards left otherwise, and one under the other grad mode, for grad
    that is switched off is not seen where it is off: name → "off → on"."""
    other = "no_grad" if subject.bench.modes.grad == "grad" else "grad"
    try:
        subject.forward(seed=subject.bench.recipe.seed, modes=dataclasses.replace(subject.bench.modes, grad=other))
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 (the user's forward; whether it runs under the other grad mode is not asked here)
        subject.job.raise_if_cancelled()
    return subject.left


def setter(subject: Subject, switches: Switches, flipped: Sequence[tuple[str, str]]) -> str:
    """The first module in whose forward one of `flipped`, (name, how), is flipped, the innermost, and the line."""
    found: list[tuple[str, nn.Module]] = []
    stack: list[Switches] = []

    def before(path: str, module: nn.Module, inputs: Any) -> None:
        stack.append(Switches())

    def after(path: str, module: nn.Module, output: Any) -> None:
        if stack.pop().moved() and not found:
            found.append((path, module))

    modes = subject.bench.modes
    if (GRAD, "on → off") in flipped:
        modes = dataclasses.replace(modes, grad="grad")
    elif (GRAD, "off → on") in flipped and modes.grad == "grad":
        modes = dataclasses.replace(modes, grad="no_grad")
    names = [name for name, _ in flipped]
    _begin(subject, switches)
    with watching(subject.bench.model, before, after):
        subject.forward(modes=modes)
    _begin(subject, switches)
    place = first_change(lambda: standing(names), lambda: subject.forward(modes=modes), lasting=True)
    switches.put()
    at = f" at {place}" if place else ""
    if not found:
        return f"a place that hooks do not see{at}"
    return f"{named(*found[0])}{at}" if place else located(*found[0])


def _begin(subject: Subject, switches: Switches) -> None:
    subject.snapshot.restore()
    switches.put()
