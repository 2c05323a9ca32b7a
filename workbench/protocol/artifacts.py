"""Records about artifacts: checks, exports, proofs, inspections. Stdlib only: verify.py carries this file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.protocol.runs import LeafDiff

MANIFEST_SCHEMA = 1
"""Version of a bundle's manifest.json."""

KINDS = ("weights", "trace", "export", "aoti", "onnx")
"""Artifact kinds that `export --to` takes."""

CHECK_IDS = (
    "modes",
    "repeatable",
    "randomness",
    "buffers",
    "hidden_state",
    "inputs_untouched",
    "finite",
    "parameters_finite",
    "batch_rows",
    "batch_sizes",
    "dtype_device",
    "graph_free",
    "memory_flat",
    "threads",
    "reload",
)
"""Checks of `workbench check`, in the order they run."""

LATENCY = "latency"
"""The check that comes last: it is measured always, and votes only against a declared budget."""

BASELINE = "baseline"
"""The check against the last release, after all others; asked only where one is named."""

PROOF_IDS = (
    "integrity",
    "load",
    "clean",
    "structure",
    "nonfinite",
    "values",
    "sizes",
    "repeat",
    "weights_match",
    "train_ops",
)
"""Checks of a proof, in the order they run."""


@dataclass(frozen=True)
class Finding:
    """Worth knowing; does not vote."""

    id: str
    words: str
    remedy: str = ""


OUT_OF_TIME = "out of time"
"""The cause of a row that has no verdict because its time was over before enough was seen."""


@dataclass(frozen=True)
class CheckRow:
    """One question and its answer; also one entry of `"checks"` in the JSON."""

    id: str
    status: str
    """"pass", "fail", "skip" or "error"; empty for what was measured and does not vote: its findings are the answer."""
    evidence: str
    """What was measured."""
    cause: str = ""
    """Why it failed, down to the module where that is known."""
    remedy: str = ""
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    """What the check saw besides."""


@dataclass(frozen=True)
class Speed:
    """An artifact beside eager, timed in shuffled rounds in one process."""

    eager: float
    """Median seconds a call."""
    artifact: float
    ratio: float
    """eager / artifact: above 1 the artifact is faster."""
    low: float
    """Tenth percentile of the ratio over rounds."""
    high: float
    """Ninetieth percentile of the ratio over rounds."""
    control: float
    """The same ratio for eager against itself (A/A): how far 1.0 strays by noise alone."""
    control_low: float
    control_high: float
    rounds: int
    threads: int
    batch: int


@dataclass(frozen=True)
class Proof:
    """The verdict on an artifact."""

    verdict: str
    """"pass", "fail" or "error"."""
    mark: str
    """Worst mark over all cases."""
    checks: tuple[CheckRow, ...]
    findings: tuple[Finding, ...]
    worst: tuple[LeafDiff, ...]
    """For each output leaf the case that stands furthest from eager."""
    cases: int
    noise_multiple: float
    yardstick: str
    """"float64", "tolerance" or "given"."""
    yardstick_reason: str
    seconds: float
    load_seconds: float
    python: str
    """Version of the interpreter that proved it."""
    torch: str
    clean: bool
    """The model's source was not importable while the proof ran."""


@dataclass(frozen=True)
class Constraint:
    """A dimension that was to be free, and what the model's code makes of it: one row of an export's worklist."""

    name: str
    """Of the dimension, as the input spec calls it; "batch" where none was declared."""
    places: tuple[str, ...]
    """Every input axis of this dimension: "x[1]"."""
    wanted: str
    """The sizes it was to have: "1..128", "1..∞"."""
    became: str
    """What the program serves: "4", "2..64", "2*k", or the name of the dimension that it must equal."""
    expression: str
    """The condition that asked for it, sizes by their names: "Eq(seq, 4)"; empty where torch does not say."""
    where: str
    """file:line of the user's code, the file without its folders; empty where none is known."""
    line: str
    """That line."""
    values: str
    """The sizes of the example, under which the line was run: "batch = 4, seq = 4"."""
    remedy: str


@dataclass(frozen=True)
class Made:
    """What an export worker made, before it is proven."""

    kind: str
    file: str
    """Name inside the staging directory."""
    bytes: int
    seconds: float
    sha256: str
    speed: Speed | None
    """None for weights, which is no program."""
    dynamic: tuple[str, ...]
    """Dimensions that stayed dynamic: "x[0] = batch in [1, 64]"."""
    static: tuple[str, ...]
    """Dimensions that were specialised and why."""
    findings: tuple[Finding, ...]
    manifest: dict[str, Any] = field(default_factory=dict)
    """The part of the manifest that only the worker knows: contract, yardstick, versions, platform."""
    worklist: tuple[Constraint, ...] = ()
    """Dimensions that were to be free and are less so, with the line and what to do about it."""


@dataclass(frozen=True)
class ExportResult:
    """The end of an export: published, or refused with everything kept for looking at."""

    kind: str
    path: str
    """Where it lies: the target, or `target.failed`."""
    published: bool
    manifest_sha256: str
    made: Made
    proof: Proof
    seconds: float


@dataclass(frozen=True)
class VerifyResult:
    """The end of a verification."""

    path: str
    kind: str
    proof: Proof
    seconds: float
    kept: str = ""
    """Bundle with the counterexample that was found, as a case and as a script that shows both answers; empty: none."""


@dataclass(frozen=True)
class Fingerprint:
    """What a path holds, as far as trust is concerned."""

    path: str
    kind: str
    """"bundle", "torchscript", "pt2", "aoti", "state_dict", "pickle", "safetensors", "onnx", "python", "unknown", or
    "index": of weights in several files."""
    sha256: str
    """Of the file, or of a bundle's manifest."""
    trust: str
    """"DATA", "CODE (Python)" or "CODE (native)"."""


@dataclass(frozen=True)
class InspectedTensor:
    """One tensor of a file, from its header alone."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    storage: str = ""
    """Key of the storage; two names with one key share memory."""


@dataclass(frozen=True)
class Inspection:
    """What a file holds, found without running any code of it."""

    path: str
    kind: str
    trust: str
    bytes: int
    sha256: str
    tensors: tuple[InspectedTensor, ...]
    """At most 20,000; `tensor_count` has the number."""
    tensor_count: int
    tensor_bytes: int
    globals: tuple[str, ...]
    """Names a pickle would import when loaded."""
    unsafe_globals: tuple[str, ...]
    """Those among them that weights_only does not allow."""
    metadata: dict[str, str]
    members: tuple[str, ...]
    """Files of an archive or directory."""
    words: tuple[str, ...]
    """Plain sentences: what it is, what it takes to load it."""
