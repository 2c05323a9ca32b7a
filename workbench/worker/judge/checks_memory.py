"""Owns the checks on what a forward leaves in memory: no graph under no_grad, no live bytes that pile up."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import gc
import itertools
import statistics
import sys
from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.words import counted, some
from workbench.worker.judge import holders, leak, memory
from workbench.worker.judge.checks_places import FirstOperator, located, watching
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.graph import components, nodes_behind, saved_tensors, storage_key
from workbench.worker.judge.growing import Size, growing, sizes
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.mixing import Stack
from workbench.worker.judge.own_graph import growing_graphs, own_graphs
from workbench.worker.judge.peak import Peak
from workbench.worker.judge.taken import not_looked_at

MIB = 1 << 20

RUNS = 40
LOOKS = (leak.WARM_UP, leak.WARM_UP + 4, leak.WARM_UP + 7)
"""Runs after which the sizes of what the modules hold are taken."""
LEAST = 8
"""Runs after warm-up below which a slope says nothing."""
SHORT = 20
"""Runs after warm-up below which a few jumps look like a slope: kernels still take what they keep, for a dozen runs."""

EXACT_FLOOR = 16 << 10
"""Bytes in all below which a climb is Python's own small change, where the allocator tells live bytes exactly."""


class _Mallinfo2(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def check_graph_free(subject: Subject) -> CheckRow:
    """Under no_grad (or inference_mode, where the bench is in it) no output carries a graph."""
    bench = subject.bench
    modes = bench.modes if bench.modes.grad != "grad" else dataclasses.replace(bench.modes, grad="no_grad")
    output = subject.forward(modes=modes)
    flat = flatten(output)
    leaves = flat.leaves
    kept = [path for path, leaf in leaves if leaf.grad_fn is not None]
    if not leaves:
        return subject.skipped("The model answers with no tensor.")
    if not kept:
        del output
        count = counted(len(flat.tensors), "output")
        return _saved(subject, f"Under {modes.grad} none of {count} carries a graph.{not_looked_at(flat)}")
    held = memory.saved_bytes([leaf for _, leaf in leaves], bench.model.parameters())
    evidence = f"Under {modes.grad} {some(kept, 4)} carries a graph that keeps {leak.size(held)} for backward."
    del output, leaves
    found: list[str] = []
    entered: list[bool] = []

    def before(path: str, module: nn.Module, inputs: Any) -> None:
        entered.append(torch.is_grad_enabled())

    def after(path: str, module: nn.Module, output: Any) -> None:
        if not entered.pop() and not found and any(leaf.grad_fn is not None for _, leaf in flatten(output).leaves):
            found.append(located(path, module))

    with watching(bench.model, before, after):
        subject.forward(modes=modes)
    stack = Stack()

    def recorded(func: Any, *_: Any) -> bool:
        views = any(one.alias_info is not None for one in func._schema.arguments)
        return bool(stack.names) and torch.is_grad_enabled() and not views

    with stack.on(bench.model), FirstOperator(recorded) as watch:
        subject.forward(modes=modes)
    operator = f" The first operator under it: {watch.words}." if watch.words else ""
    cause = (
        f"First in {found[0]}: grad mode is switched on inside the forward.{operator}" if found else operator.strip()
    )
    return subject.failed(evidence, cause, "Take enable_grad() out of forward, or return output.detach().")


def _saved(subject: Subject, evidence: str) -> CheckRow:
    """The row of a model whose outputs are free of a graph, held to the budget for what one under grad would save."""
    budget = subject.policy.budgets.saved_mib
    if not budget:
        return subject.passed(evidence)
    leaves = flatten(subject.forward(modes=dataclasses.replace(subject.bench.modes, grad="grad"))).leaves
    held = memory.saved_bytes([leaf for _, leaf in leaves], subject.bench.model.parameters())
    words = (
        f"{evidence} Under grad one forward saves {held / MIB:.2f} MiB for backward; declared: saved_mib = {budget:g}."
    )
    if held <= budget * MIB:
        return subject.passed(words)
    return subject.failed(words, "More is saved than was declared.", "See which module saves it in the memory pane.")


def _peak_over(subject: Subject) -> CheckRow | None:
    """The row that says a forward takes more memory than was declared, or that nobody knows; None where neither."""
    budget = subject.policy.budgets.peak_mib
    if not budget:
        return None
    device = subject.bench.modes.device
    subject.forward()
    with Peak(device) as peak:
        subject.forward()
    if peak.bytes < 0:
        return subject.skipped(
            f"peak_mib = {budget:g} was declared, and this system does not say what a forward takes."
        )
    subject.excuse(f"peak_mib = {budget:g}: a forward took {peak.bytes / MIB:.1f} MiB")
    if peak.bytes <= budget * MIB:
        return None
    words = f"A forward takes {peak.bytes / MIB:.1f} MiB at its highest, on top of what the process held."
    return subject.failed(words, "", "A smaller batch, fewer kept activations (no_grad), or another budget.")


def check_memory_flat(subject: Subject) -> CheckRow:
    """Live bytes do not grow with the runs once warm, with every output dropped."""
    over = _peak_over(subject)
    if over is not None and over.status == "fail":
        return over
    flat = _flat(subject)
    return over if over is not None and flat.status == "pass" else flat


def _flat(subject: Subject) -> CheckRow:
    live, exact = live_bytes(subject.bench.modes.device)
    points: list[tuple[int, int]] = []
    held: list[dict[str, Size]] = []
    gc.collect()
    before = holders.tensors_alive()
    freezes = not gc.get_freeze_count()  # else the model's own code froze what it wants frozen
    if freezes:
        gc.freeze()  # what is there already need not be looked through after every run: 70 ms with torch imported
    try:
        for number in subject.times(RUNS + leak.WARM_UP, least=3):
            subject.forward(keep_state=True)
            gc.collect()
            points.append((number, live()))
            if number in LOOKS:
                held.append(sizes(subject.bench.model))
    finally:
        if freezes:
            gc.unfreeze()
    warm = points[leak.WARM_UP :]
    if len(warm) < LEAST:
        reason = f"Only {counted(len(points), 'run')} within {subject.budget:.0f} s: too few for a slope."
        return subject.skipped(reason, "Give it more time: --timeout.")
    line = leak.fit(points)
    assert line is not None  # there are more points than it wants
    span = warm[-1][0] - warm[0][0]
    late = leak.fit(points[len(points) // 2 - leak.WARM_UP :])
    going_on = late is None or late.slope > 0.25 * line.slope  # a climb that ends is warm-up
    floor = EXACT_FLOOR if exact else leak.NOISE_FLOOR
    grown = _chained(subject) or (_grown(subject, held, line.slope) if len(held) == len(LOOKS) else "")
    climbing = line.slope > leak.CERTAIN * line.error and line.slope * span > floor and going_on
    errors = f", {line.slope / line.error:.0f} standard errors" if line.error and climbing else ""
    measured = (
        f"{_signed(line.slope)} ± {leak.size(line.error)} a run{errors} over {counted(len(warm), 'run')} after warm-up"
    )
    modes = subject.bench.modes
    where = f"under {modes.training_word} and {modes.grad}, {'live bytes' if exact else 'resident bytes'}"
    remedy = "Keep nothing of a run in the model, or keep it detached (self.state = state.detach()) and bounded."
    if grown and not climbing:
        return subject.failed(f"What the model holds grows with every run, {measured} ({where}).", grown, remedy)
    if not climbing:
        return subject.passed(f"Flat: {measured} ({where}).")
    if not grown and len(warm) < SHORT and _jumps(warm, line.slope):
        reason = f"Rises in a few jumps, {measured} ({where}): too few runs to tell what kernels keep from a leak."
        return subject.skipped(reason, "Give it more time: --timeout.")
    lists = [f"{path} ({kind}, {old} → {new} items)" for path, kind, old, new in subject.snapshot.grown()]
    cause = f"These hold on to what each run makes: {some(lists, 4)}." if lists else grown
    cause = cause or _holder(subject, before, len(points))
    return subject.failed(f"Climbs {measured} ({where}), though every output is dropped.", cause, remedy)


FEW = 3
"""Jumps that kernels may make before they have what they keep; more, and something takes on and on."""


def _jumps(points: list[tuple[int, int]], slope: float) -> bool:
    """Whether a few runs took everything, and the usual one far less than the slope says."""
    taken = [held - before for (_, before), (_, held) in itertools.pairwise(points)]
    return statistics.median(taken) < slope / 4 and sum(one > slope for one in taken) <= FEW


def _chained(subject: Subject) -> str:
    """Which tensors of the model carry the graph of every run since, in words; empty where no graph grows."""
    before = own_graphs(subject.bench.model)
    if not before:
        return ""
    subject.forward(keep_state=True)
    found = growing_graphs(before, own_graphs(subject.bench.model))
    loud = [f"{name} ({then} → {now} nodes)" for name, then, now in found if not subject.policy.may_move(name)]
    if not loud:
        return ""
    return f"The model keeps its own graph: the graph behind {some(loud, 4)} goes back through every run before."


def _grown(subject: Subject, held: list[dict[str, Size]], slope: float) -> str:
    """What the modules hold more of with every run, in words; empty where nothing goes on growing."""
    early, middle, late = held
    going_on = growing(early, middle, late)
    loud = {name: pair for name, pair in going_on.items() if not subject.policy.may_move(name)}
    if not loud:
        return ""
    found = [f"{name} ({size.words} → {now.words})" for name, (size, now) in loud.items()]
    rate = sum(now.bytes - size.bytes for size, now in loud.values()) / (LOOKS[2] - LOOKS[1])
    words = f"These hold on to what each run makes, from run {LOOKS[1] + 1} to run {LOOKS[2] + 1}: {some(found, 4)}"
    if not rate:
        return f"{words}."
    rest = " The rest is outside of them: a kernel may keep something for each new shape."
    return f"{words}; {leak.size(rate)} a run in their tensors.{rest if slope > 2 * rate + MIB / RUNS else ''}"


def live_bytes(device: str) -> tuple[Any, bool]:
    """A function that gives live bytes now, and whether it is exact (an allocator's own count) or resident memory."""
    if device.startswith("cuda"):
        return functools.partial(torch.cuda.memory_allocated, device), True
    info = _mallinfo()
    if info is not None:
        return lambda: int(info().uordblks + info().hblkhd), True
    return memory.anonymous, False


@functools.cache
def _mallinfo() -> Any:
    """glibc's mallinfo2, where there is one (2.33 and later); what malloc has given out, in every arena."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return None
    function.restype = _Mallinfo2
    before = function().uordblks + function().hblkhd
    held = torch.empty(1 << 22, dtype=torch.uint8)
    seen = function().uordblks + function().hblkhd - before >= held.nbytes  # torch may have another allocator
    return function if seen else None


def _holder(subject: Subject, before: set[int], runs: int) -> str:
    """What holds on to the tensors that pile up, from the tensors themselves upwards."""
    key, held = holders.pile(before, runs - leak.WARM_UP)
    if not held:
        return "Nothing in the modules' own attributes grew: look at lists and caches outside of them."
    name = holders.holder(held[-1], subject.bench.model) or _graph_of(subject, held)
    return f"{len(held)} tensors {key} are alive, held by {name or 'something outside of the model'}."


def _graph_of(subject: Subject, held: list[torch.Tensor]) -> str:
    """The attribute whose graph has saved one of these; empty where none has."""
    wanted = {storage_key(part) for tensor in held for part in components(tensor)}
    for one in own_graphs(subject.bench.model):
        saved = (tensor for node in nodes_behind([one.tensor])[0] for tensor in saved_tensors(node))
        if any(storage_key(part) in wanted for tensor in saved for part in components(tensor)):
            return f"the graph behind attribute {one.name}"
    return ""


def _signed(count: float) -> str:
    return f"{'+' if count >= 0 else '−'}{leak.size(abs(count))}"
