"""Records about the mode matrix: one model under every mode, each cell beside the one it would be served from."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Modes, Recipe
from .runs import Spread, Yardstick

WAITING = "waiting"
"""Not begun yet."""
WORKING = "working"
"""Being looked at now."""
MEASURED = "measured"
"""Looked at and compared; `MatrixCell.rounds` says whether it was timed beside the others, too."""
RAISED = "raised"
"""The forward, the cast or the compilation raised."""
CRASHED = "crashed"
"""It took the worker down with it."""
SKIPPED = "skipped"
"""Not tried, for a reason: out of time, cancelled, no compiler."""


@dataclass(frozen=True)
class Cell:
    """One combination of modes."""

    training: bool
    grad: str
    """"grad", "no_grad" or "inference_mode"."""
    cast: str = ""
    """Floating dtype that the model is cast to; empty: the one it has on the bench."""
    compiled: bool = False
    """Under torch.compile."""


@dataclass(frozen=True)
class MatrixCell:
    """One cell and what is known of it. All is as yet unknown where it stands at its default."""

    cell: Cell
    dtype: str
    """Floating dtype of its parameters by name; empty: it has none."""
    status: str = WAITING
    """One of the six words above."""
    baseline: bool = False
    """The cell that the others are compared with."""
    mark: str = ""
    """One of the four marks; empty for the baseline, and where nothing was compared."""
    max_abs: float = 0.0
    noise_multiple: float = 0.0
    top1: float = -1.0
    """Share of rows whose arg-max agrees, the least of all leaves; -1 where none looks like classes."""
    words: str = ""
    """About the difference: "random: not comparable", "within bfloat16's own tolerance", another structure."""
    cause: str = ""
    """Why it differs, where that is known."""
    latency: Spread | None = None
    """Seconds a forward, over the blocks of all rounds; of the first looks alone while `rounds` is 0."""
    rounds: int = 0
    """Rounds in which it was timed beside the others."""
    ratio: float = 0.0
    """Baseline's time over this one's, median of the rounds: above 1 it is faster. 0: not timed beside it."""
    ratio_low: float = 0.0
    """The tenth percentile over the rounds."""
    ratio_high: float = 0.0
    same_speed: bool = False
    """The ratio lies within what the baseline shows beside itself: no difference."""
    compile_seconds: float = 0.0
    """First call of a compiled cell: what torch.compile took."""
    cached: bool = False
    """Its kernels came from torch's cache on disk: a cold start takes longer."""
    graphs: int = 0
    """Graphs that torch.compile made of it."""
    breaks: int = 0
    """Places where it fell back to Python between two graphs."""
    saved_bytes: int = 0
    """Bytes kept for backward by the output's graph, without parameters."""
    peak_bytes: int = -1
    """Highest memory during a forward above what was there before it; -1: the system does not say."""
    mutated: tuple[str, ...] = ()
    """What a forward changed: "buffer norm.running_mean", "input 0", "attribute calls"."""
    reason: str = ""
    """Why it raised, crashed or was left out."""
    remedy: str = ""


@dataclass(frozen=True)
class Matrix:
    """All cells, and which of them to serve with."""

    cells: tuple[MatrixCell, ...]
    """In the order in which they are worked on."""
    device: str
    threads: int
    batch: int
    """Size of the inputs' first dimension; 0 when they have none."""
    baseline: str = ""
    """Why the cells are compared with another cell than eval · no_grad · eager; empty: they are compared with that."""
    yardstick: str = ""
    """"float64", "tolerance" or "given"; empty: not known yet."""
    yardstick_reason: str = ""
    control_low: float = 0.0
    """The baseline beside itself (A/A), tenth percentile of its ratios; 0: not measured."""
    control_high: float = 0.0
    rounds: int = 0
    pick: int = -1
    """Place of the cell to serve with; -1: none can be recommended (yet)."""
    words: str = ""
    """Why that one, and what else there is."""
    busy: str = ""
    """A sentence when the machine was busy while it was timed."""
    estimate: float = 0.0
    """Seconds that everything was expected to take once a forward was timed."""
    seconds: float = 0.0
    """So far."""
    forward_seconds: float = 0.0
    """Spent in forwards that were timed beside each other."""
    ended: str = ""
    """Empty while it runs; "done", "cancelled" or "out of time"."""


@dataclass(frozen=True)
class MeasureMatrix:
    """Run the model under every mode, in a worker of its own; the bench goes on. Result: `Matrix`.

    A `Matrix` is sent whenever a cell is known better. A cancelled one ends normally with what it has.
    """

    recipe: Recipe
    modes: Modes
    """Of the bench: its device, dtype, threads and seed are kept, train flags and grad mode are what is varied."""
    state: str = ""
    """File written by `SaveState`; empty: as the recipe makes it."""
    dtypes: tuple[str, ...] = ()
    """Floating dtypes to cast to, beside or in place of the bench's own; empty: the bench's own alone."""
    compile: bool = True
    """Also under torch.compile."""
    rounds: int = 0
    """Shuffled rounds of timing; 0: as many as a few seconds allow."""
    budget: float = 0.0
    """Seconds for everything after the model was built; 0: no limit."""
    yardstick: Yardstick | None = None
    """What answers are judged with; None: eager's own error is measured first, where that is possible in time."""
    python: str = ""
    """Interpreter that measures; empty: the supervisor's own."""
    former: Matrix | None = None
    """What a worker found out that died: cells it has looked at are not looked at again, crashed ones not tried."""
