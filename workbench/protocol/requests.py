"""What can be asked: requests of the face to the bench and to the supervisor, and of the supervisor to its workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from .model import ModeChange, Modes, Recipe
from .outside import Baseline, Metric, Runner
from .policy import Policy
from .runs import Yardstick
from .start import Start as Start

SEARCH_SECONDS = 4.0
"""How long an export or a verification looks for a counterexample unless told otherwise."""

# Requests to the bench worker


@dataclass(frozen=True)
class Load:
    """Build the recipe and put it on the bench. Result: `Loaded`. The old model stays when it fails."""

    recipe: Recipe
    change: ModeChange = field(default_factory=ModeChange)
    """Modes to put it in; what is None stays as constructed."""
    keep_runs: bool = False
    """Keep the runs recorded so far (a reload of edited source compares against them)."""
    keep_state: bool = False
    """Take parameters and buffers from the model on the bench, where names and shapes agree."""


@dataclass(frozen=True)
class SetModes:
    """Change switches. Result: `ModesNow`."""

    change: ModeChange


@dataclass(frozen=True)
class Restore:
    """Put parameters and buffers back to the checkpoint; modes stay. Result: `Loaded`."""


@dataclass(frozen=True)
class Fire:
    """Run the model. Result: the last `RunRow`; the row is sent as it grows, at most ten times a second."""

    count: int = 1
    """How often; 0: until cancelled."""
    new_inputs: bool = False
    """Draw the next sample of the same specs first; it stays until the next draw."""


@dataclass(frozen=True)
class SetReference:
    """Compare with another run from now on; rows already there are judged again and sent. Result: None."""

    run: int


@dataclass(frozen=True)
class GetDiff:
    """Compare two runs in full. Result: `Diff`."""

    run: int
    against: int = 0
    """0: the reference."""


@dataclass(frozen=True)
class FindDivergence:
    """Find the first module at which two runs part, by replay. Result: `Divergence`."""

    run: int
    against: int = 0
    """0: the reference."""


@dataclass(frozen=True)
class SetYardstick:
    """Judge with this from now on; rows already there are judged again and sent. Result: None."""

    yardstick: Yardstick


@dataclass(frozen=True)
class Check:
    """Answer one question about the model on the bench. Result: `CheckRow`."""

    id: str
    budget: float = 20.0
    """Seconds it should try to stay within; the caller ends it later by force."""
    policy: Policy = field(default_factory=Policy)
    """What was declared about the model."""
    against: Baseline | None = None
    """What "baseline" and the ids of metrics compare with; None for every other check."""


@dataclass(frozen=True)
class SaveState:
    """Write the model's state_dict to a private file, for another worker. Result: `Saved`."""

    path: str


# Requests to the supervisor


@dataclass(frozen=True)
class Cancel:
    """End a job: ask, then interrupt it. Result: None at once; the job ends with its own `Done`."""

    target: int


@dataclass(frozen=True)
class Kill:
    """End a worker by the ladder, whatever it does. Result: None when it is gone."""

    role: str = "bench"


@dataclass(frozen=True)
class SetRate:
    """How often live events may come. Result: None."""

    hertz: float


@dataclass(frozen=True)
class MeasureNoise:
    """Measure eager's own error against float64, in a worker of its own. Result: `Yardstick`."""

    recipe: Recipe
    modes: Modes
    state: str = ""
    """File written by `SaveState`; empty: as the recipe makes it."""
    budget: float = 0.0
    """Seconds for all cases; a model that would need more is judged by tolerance. 0: none."""
    python: str = ""
    """Interpreter that measures; empty: the supervisor's own."""


@dataclass(frozen=True)
class Export:
    """Make an artifact, prove it in a clean worker, publish it. Result: `ExportResult`."""

    recipe: Recipe
    kind: str
    out: str
    """Directory that must not exist yet."""
    state: str = ""
    """File written by `SaveState`; empty: as the recipe makes it."""
    training: bool = False
    """Export in train mode; refused without `force`."""
    force: bool = False
    device: str = "cpu"
    dtype: str = ""
    threads: int = 0
    python: str = ""
    """Interpreter that makes and proves it; empty: the supervisor's own."""
    tolerance: float = 0.0
    """Above 0: overrides the yardstick."""
    timeout: float = 0.0
    """Seconds for the export and for the proof each; 0: none."""
    search: float = SEARCH_SECONDS
    """Seconds for the search for a counterexample; 0: none."""


@dataclass(frozen=True)
class Verify:
    """Prove a bundle, or with `recipe` an artifact that somebody else made. Result: `VerifyResult`."""

    path: str
    sha256: str
    """Digest that was trusted; the bytes that are loaded must have it."""
    recipe: Recipe | None = None
    device: str = "cpu"
    dtype: str = ""
    threads: int = 0
    python: str = ""
    tolerance: float = 0.0
    timeout: float = 0.0
    kind: str = ""
    """Kind of the `Fingerprint` that was trusted; a file of another kind is refused. Empty: not asked."""
    runner: Runner | None = None
    """What is proven in the place of a file: then `path` and `sha256` are empty."""
    metrics: tuple[Metric, ...] = ()
    search: float = SEARCH_SECONDS
    """Seconds for the search for a counterexample; 0: none."""
    keep: str = ""
    """Where a counterexample to somebody else's artifact is kept, as a bundle with ".failed" behind this name. Empty:
    nowhere."""
    state: str = ""
    """File written by `SaveState`, for the model of `recipe`; empty: as the recipe makes it."""


@dataclass(frozen=True)
class GetFingerprint:
    """What kind of thing a path is, and its digest. Result: `Fingerprint`."""

    path: str


@dataclass(frozen=True)
class Inspect:
    """Look into a file without running any of its code. Result: `Inspection`."""

    path: str
    digest: bool = True
    """Make its sha256 as well, which reads all of it."""


@dataclass(frozen=True)
class Scan:
    """List what a source file offers without running it. Result: `Scanned`."""

    path: str


@dataclass(frozen=True)
class Quit:
    """End every worker and the supervisor itself. Result: None, then the end of the stream."""


# Requests of the supervisor to workers of its own


@dataclass(frozen=True)
class MakeArtifact:
    """Build the recipe, make the artifact and its golden data in `stage`. Result: `Made`."""

    recipe: Recipe
    kind: str
    stage: str
    state: str = ""
    training: bool = False
    device: str = "cpu"
    dtype: str = ""
    threads: int = 0
    tolerance: float = 0.0
    search: float = 0.0
    """Seconds for the search for a counterexample; 0: none."""


@dataclass(frozen=True)
class MakeGolden:
    """Build the recipe and write golden data for a foreign artifact into `stage`. Result: `Made`."""

    recipe: Recipe
    artifact: str
    """Path of the artifact; copied into `stage` while it is hashed."""
    sha256: str
    stage: str
    device: str = "cpu"
    dtype: str = ""
    threads: int = 0
    tolerance: float = 0.0
    kind: str = ""
    """Kind of the `Fingerprint` that was trusted; a copy of another kind is refused. Empty: not asked."""
    runner: Runner | None = None
    """What the golden data is for in the place of a file: then `artifact` and `sha256` are empty."""
    search: float = 0.0
    """Seconds for the search for a counterexample; 0: none."""
    state: str = ""
    """File written by `SaveState`; empty: as the recipe makes it."""


@dataclass(frozen=True)
class Prove:
    """Prove the artifact in `stage` against its golden data. Result: `Proof`."""

    stage: str
    blocked: tuple[str, ...] = ()
    """Files and top-level packages of the model that must not be importable."""
    device: str = "cpu"
    threads: int = 0
    staged: bool = False
    """It is being exported or was just taken in: its manifest is not the final one and lists files as "made"."""
    runner: Runner | None = None
    """What is called in the place of the artifact."""
    metrics: tuple[Metric, ...] = ()
