"""Records about a model on the bench: what it is made from, what it holds, which modes it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Everything that is needed to put the same model on a bench again, in this process or another."""

    target: str
    """`path/file.py:Name` or `package.module:Name`: an nn.Module class, a factory, or an instance; or a capture."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for the class or factory; JSON values."""
    weights: str = ""
    """Path of a state_dict (.pt, .pth, .safetensors); empty: as constructed. `file.pt#ema`: under that key."""
    repair: str = ""
    """What to do with weights whose names do not fit: "" refuses them, "auto" renames where everything fits then and in
    one way only, "yes" takes the best map and leaves as constructed what nothing fits."""
    inputs: tuple[str, ...] = ()
    """Input specs, one for each argument of forward, e.g. `x=float32[4,10]`; empty: inferred."""
    inputs_files: tuple[str, ...] = ()
    """Files of real samples, and directories of them, each with options after a #; empty: made from the specs."""
    seed: int = 0
    """Seeds construction (what the weights file does not set) and the inputs."""
    init_seed: int | None = None
    """Seeds construction where that is another seed than the inputs'; None: it is `seed`."""
    trusted: str = ""
    """sha256 of the manifest that somebody said yes to, where `target` is a capture; empty: nobody did."""
    directory: str = ""
    """Directory that relative paths and `package.module` start from; empty: the engine's own."""

    @property
    def construction_seed(self) -> int:
        """What construction is seeded with."""
        return self.seed if self.init_seed is None else self.init_seed


@dataclass(frozen=True)
class Modes:
    """The complete switch board of a model on the bench."""

    training: bool = True
    """The root module's own flag."""
    flips: tuple[str, ...] = ()
    """Paths of the modules whose own flag differs from their parent's; with `training` this is every flag."""
    grad: str = "grad"
    """"grad", "no_grad" or "inference_mode"."""
    rng: str = "free"
    """"free", or "fixed": every generator is seeded with `seed` before each run."""
    seed: int = 0
    """Seed for "fixed"."""
    dtype: str = ""
    """Floating dtype that parameters were cast to, e.g. "float16"; empty: as loaded."""
    device: str = "cpu"
    """"cpu", "cuda", "cuda:1", "mps" …"""
    threads: int = 0
    """Intra-op threads; 0: torch's own choice."""
    keep_outputs: bool = False
    """Keep every run's live output (with its graph, if it has one), as a validation loop does that sums losses."""

    @property
    def training_word(self) -> str:
        """ "train", "eval" or "mix"."""
        return "mix" if self.flips else ("train" if self.training else "eval")


@dataclass(frozen=True)
class ModeChange:
    """A partial change of `Modes`; None leaves a switch as it is."""

    training: bool | None = None
    """For the whole model; sets every module's flag."""
    module: str | None = None
    """With `module_training`: path of one module ("" is the root) whose flag is set, with all below it."""
    module_training: bool | None = None
    flips: tuple[str, ...] | None = None
    """With `training`: the exact flags to return to (undo)."""
    grad: str | None = None
    rng: str | None = None
    seed: int | None = None
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    keep_outputs: bool | None = None


@dataclass(frozen=True)
class ModuleColumns:
    """The module tree in preorder, as columns; one entry a module in all but `types`."""

    names: tuple[str, ...]
    """Last part of the path; the root's is ""."""
    depths: tuple[int, ...]
    """0 for the root."""
    type_index: tuple[int, ...]
    """Index into `types`."""
    types: tuple[str, ...]
    """Class names."""
    parameters: tuple[int, ...]
    """Elements of the parameters in the module and below, shared ones counted once a module."""
    details: tuple[str, ...]
    """extra_repr, shortened: "p=0.5", "3, 16, kernel_size=(3, 3)"."""


FROM_SPEC, FROM_FILE, FROM_MODEL, INFERRED = "spec", "file", "model", "inferred"
"""Who gives an input: --input; --inputs or a capture; the model file's own `example_inputs()`; the layers."""


@dataclass(frozen=True)
class InputInfo:
    """One argument of forward as it will be passed."""

    name: str
    spec: str
    """The spec that makes it again: `x=float32[4,10]`."""
    origin: str
    """"given", "from x.npy", or why it was inferred: "from stem.weight [16, 3, 3, 3]"."""
    source: str = FROM_SPEC
    """`FROM_SPEC`, `FROM_FILE`, `FROM_MODEL` or `INFERRED`: who must be asked for the same values again."""
    parts: tuple[str, ...] = ()
    """`spec` in its parts, one for each leaf; none where there are too many. Not every one reads as a spec."""


@dataclass(frozen=True)
class ModelInfo:
    """A model that is on the bench."""

    name: str
    """Class name of the root module."""
    target: str
    source: str
    """Path of the architecture's file; empty when it has none."""
    source_sha256: str
    weights: str
    """Path of the weights; empty: as constructed."""
    weights_sha256: str
    """Empty without weights, and for a large file while it is being made: the event `WeightsHashed` follows."""
    trust: str
    """"CODE (Python)" for architecture as code, "CODE (native)" for a native artifact, "DATA" for what runs nothing."""
    parameters: int
    """Elements."""
    parameter_bytes: int
    buffer_bytes: int
    dtypes: dict[str, int]
    """Elements by dtype of parameters and buffers."""
    modules: ModuleColumns
    inputs: tuple[InputInfo, ...]
    batch: int
    """Size of the first input's first dimension; 0 when it has none."""
    seconds: float
    """Time it took to load, without the import of torch."""
    warnings: tuple[str, ...] = ()
    """Worth knowing, e.g. `ran model.py: 0.4 s`, tied parameters, casts."""


@dataclass(frozen=True)
class Candidate:
    """Something in a source file that could be opened, found without running the file."""

    name: str
    kind: str
    """"class" (its base looks like an nn.Module), "factory" (function), "instance" (assignment) or "other class"."""
    line: int
    arguments: tuple[str, ...]
    """Constructor or function arguments as written: "width: int = 16"."""
    summary: str = ""
    """First line of its docstring."""
