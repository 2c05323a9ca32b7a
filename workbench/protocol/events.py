"""What comes back: results of requests, and events that nobody asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .failures import Failure
from .model import Candidate, ModelInfo, Modes


@dataclass(frozen=True)
class Hello:
    """First message of every engine process."""

    role: str
    protocol: int
    workbench: str
    python: str
    pid: int
    platform: str
    torch: str = ""
    """Empty until torch is imported, and always in the supervisor."""


@dataclass(frozen=True)
class WorkerReady:
    """A worker has imported torch and takes jobs."""

    role: str
    pid: int
    python: str
    torch: str
    cuda: tuple[str, ...]
    """Names of the CUDA devices."""
    threads: int
    """torch.get_num_threads()."""
    seconds: float
    """From its start until now."""


@dataclass(frozen=True)
class WorkerDied:
    """A worker is gone."""

    role: str
    pid: int
    cause: str
    """In words: "it called os._exit(3)", "killed by the kernel: out of memory", "segmentation fault in native code"."""
    code: int
    """Exit status; negative: signal."""
    rung: str
    """How it was ended when we ended it: "asked", "interrupt", "terminate", "kill"; empty: it died by itself."""
    tail: tuple[str, ...]
    """Last lines it wrote."""
    during: str
    """Request it was busy with; empty: none."""
    expected: bool
    """We ended it on purpose."""


@dataclass(frozen=True)
class WorkerBusy:
    """A worker has not answered for a while."""

    role: str
    seconds: float
    state: str
    """"running", "busy in native code", "stopped"."""


@dataclass(frozen=True)
class Loaded:
    """A model is on the bench."""

    info: ModelInfo
    modes: Modes
    keep_runs: bool = False
    """The runs recorded before it still count."""


@dataclass(frozen=True)
class WeightsHashed:
    """What `ModelInfo.weights_sha256` is of the model on the bench, where `Loaded` left it empty."""

    path: str
    """`ModelInfo.weights`."""
    sha256: str


@dataclass(frozen=True)
class ModesNow:
    """The switch board after a change."""

    modes: Modes
    note: str = ""
    """What the change cost, if anything: "float16 and back: values were rounded; restore brings them back"."""


@dataclass(frozen=True)
class YardstickNow:
    """What differences are judged with from now on: sent whenever the bench worker changes it, or drops it."""

    kind: str
    """As `Yardstick.kind`."""


@dataclass(frozen=True)
class Scanned:
    """What a source file offers."""

    path: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Saved:
    """A file that the engine wrote for itself."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Progress:
    """A long job is alive."""

    phase: str
    """What it does now: "building the model", "tracing", "proving case 3 of 16"."""
    done: float
    total: float
    """0: not known."""
    seconds: float
    """Since the job began."""


@dataclass(frozen=True)
class LogLines:
    """What a worker printed."""

    role: str
    lines: tuple[str, ...]
    dropped: int = 0
    """Lines left out here because there were too many."""


@dataclass(frozen=True)
class Beat:
    """A worker's Python is alive: sent once a second while a job is open; consumed by the supervisor."""


@dataclass(frozen=True)
class Done:
    """The end of a job."""

    result: Any = None
    """Name and body of the result record, or None. Use `result_of`."""
    failure: Failure | None = None
