"""Records about memory over time."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Modes, Recipe


@dataclass(frozen=True)
class MemorySample:
    """One look at a worker from outside."""

    at: float
    """Seconds since the supervisor started."""
    role: str
    rss: int
    """Bytes."""
    anonymous: int
    """Bytes that no file backs: mapped weights do not look like a leak here. -1 where the system does not say."""
    peak: int
    """Highest RSS seen, bytes."""
    cpu: float
    """Share of one core since the last sample, e.g. 1.8 with two busy cores."""


@dataclass(frozen=True)
class MemoryMark:
    """A moment worth a mark on the time axis."""

    at: float
    """Seconds since the supervisor started."""
    label: str
    """"eval", "no_grad", "#3", "#4 ×100" …"""


@dataclass(frozen=True)
class Leak:
    """Memory that climbs with each run, measured and explained."""

    run: int
    slope: float
    """Bytes a forward, least squares over the runs counted."""
    spread: float
    """Standard error of the slope, bytes a forward."""
    runs: int
    kept_outputs: int
    """Outputs that are being kept."""
    saved_bytes: int
    """Bytes each kept graph holds for backward."""
    climbing: bool
    """True when the slope is positive beyond doubt; False: flat."""
    words: str
    """What happens and why: "Memory climbs 49.5 MB a run: …"."""
    remedy: str
    full_in: int = 0
    """Runs until what is available is used up, at this slope; 0: it does not climb, or the system does not say.
    For --json, as `full_seconds`: people read `full`."""
    full_seconds: float = 0.0
    """The same in seconds of firing without a pause."""
    full: str = ""
    """The same as a sentence; empty where it does not climb."""


@dataclass(frozen=True)
class AccountMemory:
    """Say what the worker's memory is used for. Result: `MemoryAccount`. Nothing on the bench is changed."""

    attribute: bool = True
    """Also run one forward with grad whose saved tensors are attributed to modules."""


@dataclass(frozen=True)
class MemoryPart:
    """One thing that memory is used for."""

    name: str
    """"parameters", "outputs kept", "not accounted for" …"""
    bytes: int
    """Resident bytes; what lies in several parts is counted in the first of them alone."""
    words: str = ""
    """How many tensors, or what it is."""


@dataclass(frozen=True)
class SavedPart:
    """What one module's operators save for backward in one forward with grad."""

    path: str
    """Of the innermost module that was running; "" is the root."""
    bytes: int
    tensors: int


@dataclass(frozen=True)
class DeviceAccount:
    """Memory of one device, in parts that add up to the whole."""

    device: str
    """"cpu", "cuda:0"."""
    total: int
    """On the CPU what the memory pane shows as RSS; on CUDA what the allocator has reserved."""
    parts: tuple[MemoryPart, ...]
    """Add up to `total`; what nobody knows is a part of its own, named "not accounted for"."""
    peak: int = 0
    """Highest RSS, or most bytes that the CUDA allocator had given out, since the worker started."""


@dataclass(frozen=True)
class MemoryAccount:
    """What the worker's memory is used for at one moment."""

    devices: tuple[DeviceAccount, ...]
    """The CPU first."""
    saved: tuple[SavedPart, ...]
    """By module, the largest first; empty where the forward was not run or keeps nothing."""
    saved_bytes: int
    """Of that forward, all together, without parameters; -1: it was not run."""
    saved_words: str
    """Why it was not run, or what else there is to say."""
    kept_outputs: int
    available: int
    """Bytes that may still be taken, of the machine or of the control group; 0: the system does not say."""
    whole: int


@dataclass(frozen=True)
class Growth:
    """What memory did over some runs under one grad mode."""

    grad: str
    keep: bool
    """Outputs were kept."""
    runs: int
    slope: float
    """Bytes a run."""
    peak: int
    """Highest memory above what was there before the first run, bytes; -1: the system does not say."""


@dataclass(frozen=True)
class Counterfactual:
    """The same runs under the present modes and under another grad mode, both measured in a fresh worker."""

    present: Growth
    other: Growth
    device: str
    words: str
    """"with grad kept: +49.5 MB a run …; the same 10 runs under no_grad: +0 …"."""


@dataclass(frozen=True)
class MeasureCounterfactual:
    """Run the model under its grad mode and the other, in a worker of its own. Result: `Counterfactual`."""

    recipe: Recipe
    modes: Modes
    state: str = ""
    """File written by `SaveState`; empty: as the recipe makes it."""
    runs: int = 10
    budget: float = 60.0
    """Seconds; a slow model has fewer runs, and never less than three."""
    python: str = ""
