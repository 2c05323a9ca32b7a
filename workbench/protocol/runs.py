"""Records about runs and their differences. Stdlib only: a bundle's verify.py carries this file's source."""

from __future__ import annotations

from dataclasses import dataclass, field

IDENTICAL = "identical"
"""= : the same bits."""
NOISE = "noise"
"""≈ : within the noise of the yardstick."""
BEYOND = "beyond"
"""✗ : beyond it."""
INCOMPARABLE = "incomparable"
"""Nothing to compare, or not comparable; never a pass."""

SIGNS = {IDENTICAL: "=", NOISE: "≈", BEYOND: "✗", INCOMPARABLE: "?"}


@dataclass(frozen=True)
class Spread:
    """A distribution of times in seconds."""

    count: int
    median: float
    p90: float
    p99: float
    minimum: float
    iqr: float
    """Interquartile range; its ratio to the median says how far the median can be believed."""
    per_second: float
    """Forwards a second over the whole repeat."""


@dataclass(frozen=True)
class LeafNoise:
    """Eager's own error for one output leaf, relative to the RMS of each case's float64 output, pooled over cases."""

    rms: float
    largest: float
    eps: float
    """Machine epsilon of the leaf's dtype."""
    cases: int
    """How many inputs were pooled."""
    scale: float = 0.0
    """RMS of the float64 outputs over all cases, for leaves of few elements, whose own RMS may be small by chance;
    0 for larger ones, which are their own scale."""
    worst: float = 0.0
    """Largest RMS error of any one case: some inputs are harder than others."""
    chain: float = 0.0
    """What the RMS may be beyond that, in eps, for code that sums one number after the other; 0 for torch's kernels,
    which sum in pairs."""


@dataclass(frozen=True)
class Yardstick:
    """What a difference is measured with."""

    kind: str
    """"float64": eager's own error against a float64 run; "tolerance": torch.testing's tolerance for the dtype,
    relative to the output's scale; "given": --tolerance."""
    leaves: dict[str, LeafNoise] = field(default_factory=dict)
    """By leaf path; empty unless kind is "float64"."""
    tolerance: float = 0.0
    """For "given": largest |Δ| allowed, relative to the RMS of the reference."""
    reason: str = ""
    """Why not float64, when it is not: "float64 run downcasts in aten.mm at model.py:41"."""


@dataclass(frozen=True)
class LeafDiff:
    """One output leaf of two runs, a (reference) and b."""

    path: str
    """"output", "output[0]", "output['logits']", "output.hidden"."""
    mark: str
    """One of the four marks above."""
    reason: str = ""
    """Why it is beyond or incomparable when values alone do not say: "shape [4, 10] against [4, 9]"."""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    elements: int = 0
    mismatched: int = 0
    """Elements whose bits differ (NaN against NaN does not count)."""
    max_abs: float = 0.0
    mean_abs: float = 0.0
    max_rel: float = 0.0
    """Largest |Δ| / |a| over elements with a ≠ 0."""
    mean_rel: float = 0.0
    """Mean of |Δ| / |a| over elements with a ≠ 0; 0 when there is none."""
    rmse: float = 0.0
    scale: float = 0.0
    """RMS of the reference."""
    noise_rms: float = 0.0
    """rmse / scale."""
    noise_largest: float = 0.0
    """max_abs / scale."""
    noise_multiple: float = 0.0
    """How many times the yardstick's noise; 3 is the limit under "float64", 1 under the others."""
    max_ulp: int = 0
    """Units in the last place at the leaf's dtype; 0 for integers and booleans."""
    p99_ulp: int = 0
    """99 of 100 elements, of those finite on both sides, are at most so many apart; exact to 32, then rounded down to
    a number of 5 binary digits."""
    allclose: bool = True
    """torch.allclose with its defaults, for those who know it."""
    cosine: float = 1.0
    snr_db: float = float("inf")
    top1: float = -1.0
    """Share of rows whose arg-max agrees; -1 where the last dimension does not look like classes."""
    top5: float = -1.0
    """Share of rows whose arg-max in a is among the five largest of b; -1 as for `top1`, and where there are no more
    than five columns."""
    worst_index: tuple[int, ...] = ()
    worst_a: str = ""
    worst_b: str = ""
    nan_a: int = 0
    nan_b: int = 0
    inf_a: int = 0
    inf_b: int = 0
    decades: tuple[int, ...] = ()
    """Histogram of |Δ|: entry 0 counts zero, entry k counts 1e(k-17) ≤ |Δ| < 1e(k-16) for k in 1..20, the ends open."""
    heat: tuple[tuple[float, ...], ...] = ()
    """max |Δ| over blocks of the leaf seen as a matrix (leading dimensions × last), at most 16 × 48."""
    heat_rows: int = 0
    """Rows of the matrix that `heat` shows blocks of."""
    heat_columns: int = 0
    peak: float = 0.0
    """Largest |a| of the reference, over finite elements."""


@dataclass(frozen=True)
class Diff:
    """Two runs compared, leaf by leaf."""

    run: int
    against: int
    mark: str
    """The worst mark of any leaf, or "beyond" when the structure differs."""
    structure: str
    """Empty when both have the same tree of outputs; otherwise what differs."""
    leaves: tuple[LeafDiff, ...]
    yardstick: str
    """"float64", "tolerance" or "given"."""
    yardstick_reason: str = ""


@dataclass(frozen=True)
class Divergence:
    """Where two runs part, found by replaying both with every module watched."""

    run: int
    against: int
    module: str
    """Path of the first module whose output differs though its inputs agree; "" when none does."""
    call: int
    """Which call of that module, from 0."""
    type: str
    """Its class name."""
    kind: str
    """"dropout", "batch statistics", "ignores eval", "random" (torch's generator), "python random", "numpy random",
    "private generator", "buffer moved", "hidden state", "weights changed", "input mutated", "mode", "threads",
    "nondeterministic kernel", "fast path", "clock", "entropy", "inputs", "dtype", "device", "model", "unknown"."""
    max_abs: float
    where: str
    """file.py:line of the user's that calls the operator; else of the module's forward, where it is known."""
    words: str
    """A sentence: "drop (Dropout p=0.5) is in train mode: it draws a new mask each run."."""
    remedy: str
    """Key or command that mends it; empty when there is none."""
    modules: tuple[str, ...] = ()
    """Paths of the first differing modules in order of execution, at most 20."""
    replayed: bool = True
    """False when a replay did not reproduce the recorded difference; then `words` say so."""
    operator: str = ""
    """ "aten.bernoulli_": the first operator inside the module whose result differs; empty where none is known."""
    function: str = ""
    """ "F.dropout" where one of torch.nn.functional called that operator."""
    evidence: tuple[str, ...] = ()
    """What was seen, one sentence each, the most telling first."""


@dataclass(frozen=True)
class CudaUse:
    """Memory of the CUDA allocator in bytes."""

    allocated: int
    reserved: int
    peak: int


@dataclass(frozen=True)
class RunRow:
    """One run, or one repeat as a single row that grows."""

    run: int
    """From 1."""
    count: int
    """Forwards in this row."""
    running: bool
    """False in the row's last report."""
    training: str
    """"train", "eval" or "mix"."""
    grad: str
    rng: str
    dtype: str
    device: str
    latency: Spread
    reference: bool
    """It is the run others are compared with."""
    against: int
    """Run it was compared with; 0: with none."""
    mark: str
    """One of the four marks; empty for the reference itself."""
    max_abs: float
    noise_multiple: float
    mismatched: int
    elements: int
    differing: int
    """How many of the repeat's forwards differed from the reference (each is compared while time allows)."""
    compared: int
    """How many of the repeat's forwards were compared."""
    cause: str
    """Short and only what is known without a replay: "drop (train)"; empty otherwise."""
    saved_bytes: int
    """Bytes kept for backward by the last output's graph, without parameters; 0 when there is no graph."""
    output_bytes: int
    rss: int
    """Bytes, after the row's last forward."""
    growth: float
    """Bytes of resident memory a forward, over the row; without what the bench itself keeps for comparison."""
    cuda: CudaUse | None = None
    note: str = ""
    """Anything worth knowing: "no graph: output does not require grad", "first call 41x the median"."""
    same_as: int = 0
    """The run just before it, when that is not the reference and gave the same bits; 0 otherwise."""
    pinned: bool = False
    """Its output is kept for comparison, whatever comes after it."""
    yardstick: str = ""
    """What `noise_multiple` counts, as in `Yardstick.kind`, of the leaf that stands furthest; empty where nothing was
    judged by its values."""
