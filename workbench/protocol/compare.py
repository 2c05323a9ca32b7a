"""Two models, or one under two settings, on the very same inputs: what is asked, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from .artifacts import CheckRow, Finding
from .cause import ErrorTable
from .model import ModeChange, Modes, Recipe
from .outside import Metric
from .runs import LeafDiff


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    recipe: Recipe
    """B is given A's inputs: those of its own recipe are not looked at."""
    changes: tuple[ModeChange, ...] = ()
    """Switches turned one after the other, from the model as constructed."""
    state: str = ""
    """File written by `SaveState`; empty: as the recipe makes it."""


@dataclass(frozen=True)
class Compare:
    """Run both on the same inputs and judge B by A, in a worker of their own. Result: `Compared`."""

    a: Side
    b: Side
    tolerance: float = 0.0
    """Above 0: overrides the yardstick."""
    python: str = ""
    """Interpreter that runs both; empty: the supervisor's own."""
    timeout: float = 0.0
    """Seconds for all of it; 0: none."""
    metrics: tuple[Metric, ...] = ()
    """With A's outputs as the reference."""


@dataclass(frozen=True)
class SideInfo:
    """One side as it was compared."""

    name: str
    """Class name of the root module."""
    target: str
    weights: str
    """Path of the weights; empty: as constructed, or as they were on the bench."""
    parameters: int
    """Elements."""
    modes: Modes
    seconds: float
    """Of its first forward."""


@dataclass(frozen=True)
class LeafCompared:
    """One output leaf over all cases."""

    worst: LeafDiff
    """The case furthest from A; mark and noise multiple are those of all cases together."""
    where: str
    """Which case that was: "batch 4, scale 1, seed 1000"."""
    yardstick: str
    """What it was judged with: "exact", "float64", "tolerance" or "given"."""
    cases: int
    """How many cases have this leaf."""
    identical: int
    """In how many of them every bit agreed."""
    top1: float
    """Share of rows of all cases whose arg-max agrees; -1 where the last dimension does not look like classes."""
    top5: float
    """Share of them whose arg-max in A is among the five largest of B; -1 likewise."""


@dataclass(frozen=True)
class Compared:
    """What came of a comparison."""

    verdict: str
    """"pass" (identical, or within the noise) or "fail"; what cannot be compared is never a pass."""
    mark: str
    """The worst mark of any leaf; one of the four of `runs.py`."""
    a: SideInfo
    b: SideInfo
    leaves: tuple[LeafCompared, ...]
    cases: int
    """Inputs that both answered."""
    noise_multiple: float
    """The largest of any leaf; 3 is the limit under "float64", 1 under the others."""
    yardstick: str
    """"float64", "tolerance" or "given"."""
    yardstick_reason: str
    differences: tuple[str, ...]
    """What is known to differ between the two, in sentences: weights, modes, dtype …; nothing of it need matter."""
    cause: str
    """Why it is no pass, in words; empty when it is one."""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    """Worth knowing: inputs that A itself refuses, fewer cases than usual."""
    seconds: float = 0.0
    errors: ErrorTable | None = None
    """Where the two part: the error of every module call of B against A's, on the case furthest from A, over the
    modules that both have; its `run` and `against` are 0. None: the mark is not beyond, the answers have not one form,
    or it was left out."""
    errors_left_out: str = ""
    """Why there is no table where one was wanted: memory, time, no modules in common."""
    metrics: tuple[CheckRow, ...] = ()
    """A row for each of a person's own numbers that has a limit, or that raised; one that does not hold makes it fail,
    whatever the mark."""
    findings: tuple[Finding, ...] = ()
    """Those without a limit."""


@dataclass(frozen=True)
class Pin:
    """Keep a run's output for comparison, or let it go its way again. The row is sent. Result: None."""

    run: int
    pinned: bool = True
