"""Every seeded fault, with the check that must fail and what must be said of its cause."""

from __future__ import annotations

from tests.corpus.cases import LINE, Fault

A = "faults_answers.py"
D = "faults_dtypes.py"
K = "faults_kept.py"
L = "faults_lasting.py"
M = "faults_misleading.py"
T = "faults_modes.py"
MID = "body.mid"


def _mid(name: str, caught_by: str, *words: str, file: str = "faults.py", **more: object) -> Fault:
    """The fault in `body.mid`."""
    return Fault("net", caught_by, (MID, *words), kwargs={"name": name}, file=file, **more)  # type: ignore[arg-type]


def _answers(name: str, caught_by: str, *words: str, **more: object) -> Fault:
    return _mid(name, caught_by, *words, file=A, **more)


def _half(name: str, *words: str) -> Fault:
    return Fault(name, "dtype_device", ("bfloat16", "float32", LINE, *words), ("x=bfloat16[batch:2..16,6]",), D)


def _half_net(name: str, *words: str) -> Fault:
    """The same in `body.mid`: it raises in the layer that follows."""
    specs = ("x=bfloat16[batch:2..16,6]",)
    return Fault("net", "dtype_device", ("bfloat16", LINE, *words), specs, D, kwargs={"name": name})


def _twin(name: str, *words: str) -> Fault:
    return Fault(name, "compare", words, ("x=float32[batch:2..16,24]",), "faults_numeric.py", twin="Twin")


FAULTS = (
    # left in train mode
    Fault("DropoutTraining", "modes", ("drop (Dropout)", "dropout"), training=None),
    Fault("DropoutTraining", "repeatable", ("drop (Dropout)", "dropout"), training=None),
    Fault("BatchNormTraining", "buffers", ("norm", "train mode"), training=None),
    Fault("BatchNormTraining", "batch_rows", ("norm (BatchNorm1d)", "statistics"), training=None),
    Fault("RecurrentDropoutTraining", "repeatable", ("rnn (GRU)", "dropout"), training=None),
    Fault("EvalReturnsNothing", "modes", ("body.1 (Dropout)", "dropout")),
    Fault("dropout_left", "modes", (MID, "dropout")),
    Fault("dropout_left", "repeatable", (MID, "dropout")),
    _mid("DropTrains", "modes", "Dropout", LINE, "eval() cannot help", file=T),
    _mid("DropTrains", "repeatable", "Dropout", LINE, "eval() cannot help", file=T),
    _mid("FlagSet", "modes", "Dropout", LINE, file=T),
    _mid("NormTrains", "modes", "BatchNorm1d", LINE, file=T),
    _mid("NormTrains", "buffers", "norm", LINE, file=T),
    _mid("TrainsItself", "modes", "Dropout", LINE, file=T),
    Fault("ForgetsAChild", "modes", ("drop (Dropout)", "holder has a train() of its own", LINE), file=T),
    # ignores eval
    _mid("FunctionalDropout", "repeatable", "dropout", LINE),
    Fault("net", "randomness", (LINE,), kwargs={"name": "FunctionalDropout"}),
    _mid("AttentionDropout", "repeatable", LINE),
    _mid("StatisticsInEval", "batch_rows", LINE),
    _mid("StatisticsInEval", "buffers", "mean", "var", LINE),
    # generators
    Fault("net", "randomness", (LINE,), kwargs={"name": "NoiseAdded"}),
    _mid("NoiseAdded", "repeatable", LINE),
    Fault(
        "net",
        "randomness",
        (
            "multinomial",
            LINE,
        ),
        kwargs={"name": "Sampled"},
    ),
    Fault("net", "randomness", ("Python's random", LINE), kwargs={"name": "PythonRandom"}),
    _mid("PythonRandom", "repeatable", "python random", LINE),
    Fault("net", "randomness", ("numpy.random", LINE), kwargs={"name": "NumpyRandom"}),
    _mid("OwnGenerator", "repeatable", "generator", "source"),
    _mid("OwnRandom", "repeatable", "source"),
    _mid("Clock", "repeatable", "clock", "perf_counter_ns", LINE),
    Fault("net", "randomness", ("Python's random at", LINE), file=M, kwargs={"name": "PythonBranch"}),
    Fault("net", "randomness", ("numpy.random at", LINE), file=M, kwargs={"name": "NumpyLine"}),
    # state
    Fault("KnownById", "hidden_state", ("known",), ("x=float32[batch:2..16,6]",), M),
    Fault("KnownByObject", "hidden_state", ("id or address", "last"), ("x=float32[batch:2..16,6]",), M),
    _mid("LaterOtherwise", "hidden_state", "calls", file=M),
    _mid("KeepsBySize", "hidden_state", "kept", file=M),
    _mid("Counter", "hidden_state", "calls"),
    _mid("Counter", "repeatable", "calls"),
    _mid("Remembers", "repeatable", "seen"),
    _mid("Rebinds", "hidden_state", "last"),
    _mid("WritesData", "repeatable", "mix.bias"),
    _mid("CacheNotReset", "hidden_state", "keys"),
    _mid("MemoByShape", "hidden_state", "memo"),
    _mid("ClassState", "repeatable", "hidden state", "ClassState.total", "faults.py:"),
    _mid("SeldomCounter", "repeatable", "calls", "hidden state"),
    _mid("SeldomCounter", "hidden_state", "calls", "Run 7"),
    _mid("RareCounter", "hidden_state", "steps", "Run 120"),
    Fault("net", "hidden_state", ("_FIRST",), kwargs={"name": "NewGlobal"}),
    Fault("net", "hidden_state", ("OnAFunction.forward.first",), kwargs={"name": "OnAFunction"}),
    _mid("SetsPrecision", "hidden_state", "float32_matmul_precision (highest → high)"),
    Fault("net", "repeatable", ("ninitialised memory", "aten.empty_like", LINE), kwargs={"name": "NeverWritten"}),
    _mid("AsksThreads", "repeatable", "threads", LINE),
    _mid("GrowingCache", "memory_flat", "past", "float32[4, "),
    _mid("GrowingCache", "hidden_state", "past", LINE),
    _mid("BufferInPlace", "buffers", "steps", LINE),
    _mid("BufferRebound", "buffers", "average (rebound)", LINE),
    _mid("BufferData", "buffers", "average", LINE),
    Fault("KnownByCache", "hidden_state", ("id or address", "lru_cache of KnownByCache.encoded", LINE), file=K),
    Fault(
        "TiedRenormed",
        "hidden_state",
        ("embed (Embedding)", "embed.weight", "max_norm=1", "aten.embedding_renorm_", LINE),
        ("ids=int64[batch:2..8,6]{0..49}",),
        K,
    ),
    Fault("InputInPlace", "inputs_untouched", ("x", LINE)),
    Fault("InputWrittenAtPlace", "inputs_untouched", ("x", LINE)),
    # left behind
    _mid("GradLeftOn", "hidden_state", "torch.grad_mode (off → on)", LINE, file=L),
    _mid("GradLeftOff", "hidden_state", "torch.grad_mode (on → off)", LINE, file=L),
    Fault("DecoratedGrad", "graph_free", ("the model itself (DecoratedGrad) at", "aten.addmm", LINE), file=L),
    Fault("net", "randomness", ("seeds torch's generator", LINE), file=L, kwargs={"name": "SeedsTorch"}),
    Fault("net", "randomness", ("seeds Python's random", LINE), file=L, kwargs={"name": "SeedsPython"}),
    _mid("MakesLayer", "reload", "body.mid.more is made in the first forward", LINE, file=L),
    Fault("net", "randomness", ("first forward", "body.mid.more", LINE), file=L, kwargs={"name": "MakesLayer"}),
    Fault(
        "MaskWritten",
        "inputs_untouched",
        ("ids", "aten.index_put_", LINE, "the model itself (MaskWritten)"),
        ("ids=int64[4,6]{1..49}", "mask=bool[4,6]"),
        L,
    ),
    # values
    _answers("LogOfRelu", "finite", LINE),
    _answers("Overflow", "finite", LINE),
    _answers("AllMasked", "finite", LINE),
    Fault("DividesByNorm", "finite", ("zeros", LINE), ("x=float32[batch:2..16,6]{-1..1}",), A),
    _answers("NanWeight", "parameters_finite", "spare"),
    _answers("NanBuffer", "parameters_finite", "scale"),
    # rows
    _answers("MeanOverBatch", "batch_rows", LINE),
    _answers("SoftmaxOverBatch", "batch_rows", LINE),
    _answers("BatchScale", "batch_rows", LINE),
    _answers("NeighbourRow", "batch_rows", LINE),
    _answers("SumOfFormer", "batch_rows", "cumsum", LINE),
    _answers("NoStatistics", "batch_rows", "norm"),
    _mid("TopOfBatch", "batch_rows", "topk", LINE, file=M),
    Fault(
        "SqueezesAll", "batch_sizes", ("without its dimension", "aten.squeeze", LINE), ("x=float32[batch:1..8,6]",), A
    ),
    Fault("LongestCut", "batch_rows", ("aten.slice", LINE), ("ids=int64[batch:2..8,12]{0..29}",), A),
    Fault("LongestCut", "batch_sizes", ("aten.slice", LINE), ("ids=int64[batch:2..8,12]{0..29}",), A),
    Fault("WrongAxis", "batch_rows", ("attend",), ("x=float32[batch:2..8,5,8]",), A),
    Fault("net", "batch_sizes", (LINE,), file=A, kwargs={"name": "FixedBatch"}),
    Fault("net", "batch_sizes", (LINE,), ("x=float32[batch:1..8,6]",), A, kwargs={"name": "SqueezesOne"}),
    # serving
    Fault("GraphKept", "graph_free", ("tail (Tail)", "grad mode"), file=A),
    _answers("KeepsList", "memory_flat", "history"),
    _answers("KeepsDict", "memory_flat", "cache"),
    Fault("SparseDrift", "repeatable", ("hidden state", "calls", "output[1]"), file=A),
    Fault("CacheDraws", "repeatable", ("random", "output['cache'].layers[0]['keys']", LINE), file=A),
    _answers("SparseLog", "finite", "aten.log", LINE),
    Fault("net", "memory_flat", ("KEPT (faults_answers.py)",), file=A, kwargs={"name": "KeepsGlobal"}),
    Fault("KeepsInClosure", "memory_flat", ("closure of KeepsInClosure.__init__",), file=A),
    Fault("net", "memory_flat", ("lru_cache of CachesTensors.mixed", LINE), file=K, kwargs={"name": "CachesTensors"}),
    _mid("ChainsRuns", "memory_flat", "keeps its own graph", "state", file=K, grad="grad"),
    _answers("ScratchShared", "threads", "scratch"),
    Fault("net", "threads", ("single thread of its own", "which thread"), file=A, kwargs={"name": "ThreadState"}),
    Fault("AliasesBuffer", "hidden_state", ("out",), file=A),
    # reload
    _answers("NotPersistent", "reload", "shift"),
    _answers("PlainAttribute", "reload", "table"),
    _answers("HiddenLayers", "reload", "more"),
    _answers("OldSeed", "reload", "angle"),
    _answers("StateLeftOut", "reload", "extra"),
    # dtypes
    Fault("DoubleLiteral", "dtype_device", ("float64", LINE), file=A),
    _half_net("FloatMiddle", "aten.addmm", "of aten._to_copy"),
    _half_net("ZerosBeside", "aten.addmm", "aten.add", "of aten.zeros"),
    _half("ComputesInFloat", "aten._to_copy", "aten.addmm"),
    _half("FloatFromTheStart", "aten._to_copy", "aten.mm"),
    _half("ArangeScale", "aten.mul", "of aten.div"),
    _half("ZerosFilled", "aten.copy_", "of aten.zeros"),
    # numbers, beside a twin
    _twin("BiasOff", "head"),
    _twin("OneBiasOff", "body.2"),
    _twin("OneWeightOff", "embed"),
    _twin("StaleLayer", "body.0"),
    _twin("SwappedRows", "body.2"),
    _twin("Transposed", "body.0"),
    _twin("RoundedWeights", "body.0"),
    _twin("RoundedToHalf", "body.0"),
    _twin("WrongEps", "norm"),
    _twin("SlightlyWrongEps", "norm"),
    _twin("RoundedInside", "the model itself (Twin)"),
    _twin("OtherGelu", "the model itself (Twin)"),
    _twin("OneElement", "the model itself (Twin)"),
    _twin("NanAtOne", "NaN or infinity at 1 place", "1 of 40 elements"),
    _twin("LostOutput", "shape [4, 10] against [3, 10]"),
    _twin("OtherDtype", "dtype float32 against float64"),
)
"""Some stand there twice: two checks must see them."""
