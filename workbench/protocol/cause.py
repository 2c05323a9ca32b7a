"""Records about why two runs part: the error of every module call, local against propagated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasureErrors:
    """Measure the error of every module call of a run against another's, by replay. Result: `ErrorTable`."""

    run: int
    against: int = 0
    """0: the reference."""


@dataclass(frozen=True)
class CallError:
    """One call of one module in both runs. Errors are RMS(Δ) / RMS(the reference's value), the worst of its tensors.

    NaN: not measured; `note` says why.
    """

    path: str
    """"" is the model itself."""
    call: int
    """Which call of that module, from 0."""
    type: str
    """Its class name."""
    depth: int
    """How many module calls it lies within."""
    received: float
    """Error of what it was given: propagated from before."""
    local: float
    """Error of its output when it is given what the reference's call was given: made by it."""
    answered: float
    """Error of its output in the run."""
    limit: float
    """Noise: 4 eps of the coarser dtype of both; 0 where nothing floating is answered."""
    where: str = ""
    """file:line of the user's forward of the module, or of the user's code that calls it."""
    inner: bool = False
    """It calls modules itself."""
    note: str = ""
    """Why something is missing: "too large to be held", "another structure", "not called in run 2"."""


@dataclass(frozen=True)
class ErrorTable:
    """Every module call of two runs, or of two models on the same inputs, in the order in which they were called."""

    run: int
    """0, and `against` too: sides B and A of a comparison of models."""
    against: int
    calls: tuple[CallError, ...]
    """At most 5,000."""
    starts: int
    """Place in `calls` of the first that makes an error beyond the noise; -1: none does."""
    grows: int
    """Place of the call without calls below it that makes what it was given grow most; -1: none does."""
    total: int
    """Calls that there were."""
    words: str
    """A sentence: where it starts, where it grows, what comes out."""
    notes: tuple[str, ...] = ()
    """What was done to have both runs: "run 1 was built again from the recipe and answers as it did"."""
