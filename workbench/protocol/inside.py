"""Looking inside a model: one module with what went through it, lines typed at a console, runs that stand still.

Records hold words and numbers only, bounded in number and in length. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

HISTOGRAM_BINS = 24
"""Entries of `TensorStats.histogram`."""

# Requests to the bench worker


@dataclass(frozen=True)
class LookInside:
    """One module, and what went through it in the last run, by replay; nothing is changed. Result: `Inside`."""

    path: str
    """Dotted path; "" is the root."""


@dataclass(frozen=True)
class Evaluate:
    """Run a line, or several, of Python on the bench, or in the frame of a run that stands still. Result:
    `Evaluated`."""

    text: str
    pause: int = 0
    """`Paused.number` of the run whose frame is meant; refused when it has gone on meanwhile. 0: the bench."""


@dataclass(frozen=True)
class Complete:
    """How a line could go on. Result: `Completions`."""

    text: str
    """The line up to the cursor."""
    pause: int = 0
    """As for `Evaluate`."""


@dataclass(frozen=True)
class Attend:
    """Supervisor to bench worker, once: somebody sits there who can answer a `breakpoint()`. Has no result."""


# Results


@dataclass(frozen=True)
class TensorStats:
    """What is in one tensor, by values that are finite."""

    path: str
    """"output", "output[0]", "x", "kwargs['mask']" …"""
    dtype: str
    shape: tuple[int, ...]
    elements: int
    mean: float = 0.0
    """Of the finite elements, like `std`, `minimum` and `maximum`; NaN when there is none. Booleans count as 0 and 1;
    complex numbers by their absolute value."""
    std: float = 0.0
    """Population standard deviation."""
    minimum: float = 0.0
    maximum: float = 0.0
    rms: float = 0.0
    zeros: int = 0
    """Elements that are exactly zero."""
    nan: int = 0
    inf: int = 0
    """Elements that are infinite, of either sign."""
    histogram: tuple[int, ...] = ()
    """Finite elements in `HISTOGRAM_BINS` equal steps from `minimum` to `maximum`; empty when there is none."""
    sample: tuple[str, ...] = ()
    """The first elements, printed."""
    device: str = ""
    requires_grad: bool = False
    note: str = ""
    """What the numbers are of, where it is not plainly every element, or why there are none."""


@dataclass(frozen=True)
class ModuleCall:
    """One call of the module in the replayed run."""

    number: int
    """From 0."""
    site: str
    """file:line of the user's code that made the call; empty for the root."""
    inputs: tuple[TensorStats, ...]
    """As they were when it was called."""
    outputs: tuple[TensorStats, ...]
    """Empty when it did not return."""
    others: tuple[str, ...] = ()
    """Arguments and results that are no tensors: "x[1] = None", at most some."""
    returned: bool = True


@dataclass(frozen=True)
class HeldTensor:
    """One parameter or buffer of the module itself."""

    name: str
    kind: str
    """"parameter", "buffer", or "buffer, not saved" for a non-persistent one."""
    stats: TensorStats


@dataclass(frozen=True)
class SourcePart:
    """Lines of one piece of source."""

    title: str
    """"forward", "class Net"."""
    file: str
    first: int
    """Line number of the first line."""
    lines: tuple[str, ...]
    left_out: int = 0
    """Lines that are not here because there are too many."""


@dataclass(frozen=True)
class Inside:
    """One module, looked into."""

    path: str
    type: str
    """Class name with its module: "torch.nn.modules.linear.Linear"."""
    training: bool
    """Its own flag."""
    details: str
    """extra_repr."""
    source: tuple[SourcePart, ...]
    """The forward first; empty with `source_note`."""
    source_note: str
    """Why there is no source, or what to know about it; empty otherwise."""
    held: tuple[HeldTensor, ...]
    held_left_out: int
    hooks: tuple[str, ...]
    """Hooks that are registered on it: "forward: record (net.py:12)"."""
    run: int
    """The run that was replayed; 0: none was there, and one forward was made from the present state."""
    calls: tuple[ModuleCall, ...]
    calls_left_out: int
    note: str = ""
    """What to know about the replay: why there was none, or that its forward raised."""


@dataclass(frozen=True)
class Evaluated:
    """What a line came to."""

    output: str
    """What it printed, then the value of its last expression; cut when it is long."""
    error: str = ""
    """What it raised, with the user's frames only; empty when nothing."""
    changed: tuple[str, ...] = ()
    """What it changed on the model: "fc.weight: values", "drop: eval now"."""
    note: str = ""
    """Something to know, said once."""
    place: str = ""
    """In a paused run, the frame that the next line is run in: "net.py:41 forward"; empty on the bench."""
    ended: bool = False
    """It ended the pause: the run goes on, or was given up."""


@dataclass(frozen=True)
class Completions:
    """How a line could go on."""

    start: int
    """Where in the line the completed word begins."""
    words: tuple[str, ...]


# Events of a bench worker


@dataclass(frozen=True)
class Paused:
    """A job stands at a `breakpoint()`; it goes on, or is given up, by an `Evaluate` with "c" or "q"."""

    number: int
    """From 1, one for each pause of a worker."""
    where: str
    """"net.py:41", short."""
    place: str
    """"net.py:41 forward"."""
    text: str
    """The frame with the lines around it."""


@dataclass(frozen=True)
class Resumed:
    """The job that stood still goes on, or is ending."""

    number: int
    """Of the pause."""
