"""Every message between the three processes: who asks what, and what comes back.

A request carries a job number chosen by the face and is ended by exactly one `Done` with
that number. Events (`Progress`, `RunRow` …) may come before it. The word for a thing is the
same here, in the engine's file that does it, in the pane that shows it and in the command.
"""

from __future__ import annotations

from .artifacts import CheckRow, ExportResult, Fingerprint, Inspection, Made, Proof, VerifyResult
from .cause import ErrorTable, MeasureErrors
from .compare import Compare, Compared, Pin
from .convert import Converted, ConvertPickled
from .events import (
    Beat,
    Done,
    Hello,
    Loaded,
    LogLines,
    ModesNow,
    Progress,
    Saved,
    Scanned,
    WeightsHashed,
    WorkerBusy,
    WorkerDied,
    WorkerReady,
    YardstickNow,
)
from .inputs import SetInputs
from .inside import Attend, Complete, Completions, Evaluate, Evaluated, Inside, LookInside, Paused, Resumed
from .inspected import InspectedPair, InspectPair
from .matrix import Matrix, MeasureMatrix
from .memory import (
    AccountMemory,
    Counterfactual,
    Leak,
    MeasureCounterfactual,
    MemoryAccount,
    MemoryMark,
    MemorySample,
)
from .policy import CheckPolicy
from .repair import Repaired, RepairWeights
from .requests import (
    Cancel,
    Check,
    Export,
    FindDivergence,
    Fire,
    GetDiff,
    GetFingerprint,
    Inspect,
    Kill,
    Load,
    MakeArtifact,
    MakeGolden,
    MeasureNoise,
    Prove,
    Quit,
    Restore,
    SaveState,
    Scan,
    SetModes,
    SetRate,
    SetReference,
    SetYardstick,
    Start,
    Verify,
)
from .runs import Diff, Divergence, RunRow, Yardstick

__all__ = [
    "BENCH_REQUESTS",
    "EVENTS",
    "PROTOCOL",
    "REGISTRY",
    "SUPERVISOR_REQUESTS",
    "WORKER_REQUESTS",
    "AccountMemory",
    "Attend",
    "Beat",
    "Cancel",
    "Check",
    "CheckPolicy",
    "Compare",
    "Compared",
    "Complete",
    "Completions",
    "ConvertPickled",
    "Converted",
    "Done",
    "Evaluate",
    "Evaluated",
    "Export",
    "FindDivergence",
    "Fire",
    "GetDiff",
    "GetFingerprint",
    "Hello",
    "Inside",
    "Inspect",
    "InspectPair",
    "InspectedPair",
    "Kill",
    "Load",
    "Loaded",
    "LogLines",
    "LookInside",
    "MakeArtifact",
    "MakeGolden",
    "Matrix",
    "MeasureCounterfactual",
    "MeasureErrors",
    "MeasureMatrix",
    "MeasureNoise",
    "ModesNow",
    "Paused",
    "Pin",
    "Progress",
    "Prove",
    "Quit",
    "RepairWeights",
    "Repaired",
    "Restore",
    "Resumed",
    "SaveState",
    "Saved",
    "Scan",
    "Scanned",
    "SetInputs",
    "SetModes",
    "SetRate",
    "SetReference",
    "SetYardstick",
    "Start",
    "Verify",
    "WeightsHashed",
    "WorkerBusy",
    "WorkerDied",
    "WorkerReady",
    "YardstickNow",
]

PROTOCOL = 5
"""Raised with every change that an older side would misread."""


BENCH_REQUESTS = (
    Load, SetModes, SetInputs,
    Restore, Fire, SetReference, GetDiff, FindDivergence, SetYardstick, Check, CheckPolicy, SaveState, LookInside,
    Evaluate, Complete, MeasureErrors,
    AccountMemory, Pin,
)  # fmt: skip
SUPERVISOR_REQUESTS = (
    Start, Cancel, Kill, SetRate, MeasureNoise, MeasureMatrix, MeasureCounterfactual, Compare, Export,
    Verify, GetFingerprint, Inspect, InspectPair, RepairWeights, ConvertPickled, Scan, Quit,
)  # fmt: skip
WORKER_REQUESTS = (
    *BENCH_REQUESTS,
    MeasureNoise,
    MeasureMatrix,
    MeasureCounterfactual,
    Compare,
    MakeArtifact,
    MakeGolden,
    Prove,
    Inspect,
    RepairWeights,
    ConvertPickled,
    InspectPair,
    Cancel,
    Attend,
)
EVENTS = (
    Hello, WorkerReady, WorkerDied, WorkerBusy, Loaded, WeightsHashed, ModesNow, Scanned, Saved, Progress, LogLines,
    Beat, Done, RunRow, Diff, Divergence, ErrorTable, Yardstick, MemorySample, MemoryMark, Leak, CheckRow, Made, Proof,
    ExportResult, VerifyResult, Fingerprint, Inspection, Inside, Evaluated, Completions, Paused, Resumed,
    Matrix, Compared, MemoryAccount, Counterfactual, YardstickNow, Repaired, Converted, InspectedPair,
)  # fmt: skip

REGISTRY: dict[str, type] = {
    kind.__name__: kind for kind in (*BENCH_REQUESTS, *SUPERVISOR_REQUESTS, *WORKER_REQUESTS, *EVENTS)
}
"""Every message by the name it has on the wire."""
