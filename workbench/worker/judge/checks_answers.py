"""Owns the checks on the answers themselves: repeatable, finite, independent of the other rows of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_run import Subject, compared, located, named, watching
from workbench.worker.judge.compare import compare
from workbench.worker.judge.digest import digest
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.replay import Generators, Parts
from workbench.worker.judge.verdict import judge_all

REPEATS = 8
SEEDS = 8
ROWS = 8
"""Rows of a batch that are asked again in other company."""


def worst_words(leaves: tuple[LeafDiff, ...]) -> str:
    """The leaf that stands furthest, in numbers."""
    leaf = max(leaves, key=lambda one: (one.mark == BEYOND, one.mark == INCOMPARABLE, one.noise_multiple))
    if leaf.reason:
        return f"{leaf.path}: {leaf.reason}"
    place = f" at {list(leaf.worst_index)}: {leaf.worst_a} → {leaf.worst_b}" if leaf.worst_a else ""
    return f"{leaf.path} max|Δ| {leaf.max_abs:.3g}{place}, {leaf.noise_multiple:.3g}× the noise"


def check_repeatable(subject: Subject) -> CheckRow:
    """The same input gives the same answer, bit for bit or within the noise."""
    first: Flat | None = None
    generators = Generators.take()
    differing, runs, mark = 0, 0, IDENTICAL
    words = left_out = ""
    for _ in subject.times(REPEATS, least=2):
        answer = subject.answer()
        runs += 1
        if first is None:
            first = answer
            continue
        found = compared(first, answer, subject.yardstick)
        left_out = found.left_out
        if not found.leaves and not found.structure:
            return subject.skipped(f"The model answers with no tensor that can be compared.{left_out}")
        if found.mark != IDENTICAL:
            differing += 1
        if found.mark not in (IDENTICAL, mark) and mark != BEYOND:
            mark, words = found.mark, found.structure or worst_words(found.leaves)
    if mark == IDENTICAL:
        return subject.passed(f"{runs} runs of the same input: identical bits.{left_out}")
    evidence = f"{differing} of {runs - 1} repeats differ from the first run: {words}.{left_out}"
    moved = generators.moved(Generators.take())
    cause = _first_to_differ(subject, moved)
    if mark not in (BEYOND, INCOMPARABLE):
        return subject.passed(f"{evidence} Within the noise. {cause}".rstrip())
    active = [path for path, _ in Parts(subject.bench.model).active()]
    remedy = "Press e for eval (--mode eval)." if active else "Look there for state or randomness that outlives a run."
    return subject.failed(evidence, cause, remedy)


def _first_to_differ(subject: Subject, moved: tuple[str, ...]) -> str:
    """Run twice, every module watched: the first whose inputs agree and whose output does not."""
    traces = []
    for _ in range(2):
        trace: list[tuple[str, nn.Module, bytes, bytes]] = []
        open_calls: list[bytes] = []

        def before(path: str, module: nn.Module, inputs: Any, calls: list[bytes] = open_calls) -> None:
            calls.append(digest(flatten(inputs)))

        def after(
            path: str, module: nn.Module, output: Any, calls: list[bytes] = open_calls, trace: list[Any] = trace
        ) -> None:
            trace.append((path, module, calls.pop(), digest(flatten(output))))

        with watching(subject.bench.model, before, after):
            subject.forward()
        traces.append(trace)
    kinds = dict(Parts(subject.bench.model).active())
    for (path, module, inputs, output), (other, _, inputs_2, output_2) in zip(*traces):  # noqa: B905 (calls may differ)
        if path != other:
            return f"The runs take other ways: {named(path, module)} against {other}."
        if inputs == inputs_2 and output != output_2:
            why = kinds.get(path) or (f"draws from {' and '.join(moved)}" if moved else "same input, another output")
            return f"First to differ: {located(path, module)}: {why}."
    return "A run with every module watched does not show the difference."


def check_finite(subject: Subject) -> CheckRow:
    """Ordinary inputs give finite answers."""
    bench = subject.bench
    inputs = 0
    for number in subject.times(SEEDS):
        seed = bench.recipe.seed + number
        args, kwargs = (bench.args, bench.kwargs) if number == 0 else bench.example.sample(seed)
        answer = subject.answer(args, kwargs)
        inputs += 1
        bad = [(path, leaf) for path, leaf in answer.leaves if not _finite(leaf)]
        if bad:
            path, leaf = bad[0]
            nan = int(leaf.isnan().sum())
            infinite = int((~leaf.isfinite()).sum()) - nan
            evidence = f"Seed {seed}: {nan} NaN and {infinite} infinite of {leaf.numel()} elements in {path}."
            cause = _first_not_finite(subject, args, kwargs)
            return subject.failed(
                evidence, cause, "Look at the inputs of that module: an overflow, a log or a division."
            )
    leaves = [leaf for _, leaf in answer.leaves if leaf.is_floating_point() or leaf.is_complex()]
    if not leaves:
        return subject.skipped("The model answers with nothing that could be NaN or infinite.")
    return subject.passed(f"All elements finite on {counted(inputs, 'input')}.")


def _finite(leaf: torch.Tensor) -> bool:
    if leaf.layout is not torch.strided or leaf.is_quantized or not (leaf.is_floating_point() or leaf.is_complex()):
        return True
    return bool(leaf.to(torch.float32).isfinite().all() if leaf.element_size() == 1 else leaf.isfinite().all())


def _first_not_finite(subject: Subject, args: Any, kwargs: Any) -> str:
    model = subject.bench.model
    tensors = [*model.named_parameters(), *model.named_buffers()]
    held = [name for name, tensor in tensors if not _finite(tensor.detach())]
    if held:
        return f"Not finite in the weights themselves: {some(held, 4)}."
    found: list[str] = []
    clean: list[bool] = []

    def before(path: str, module: nn.Module, inputs: Any) -> None:
        clean.append(all(_finite(leaf) for _, leaf in flatten(inputs).leaves))

    def after(path: str, module: nn.Module, output: Any) -> None:
        if clean.pop() and not found and not all(_finite(leaf) for _, leaf in flatten(output).leaves):
            found.append(located(path, module))

    with watching(model, before, after):
        subject.forward(args, kwargs)
    return f"First: {found[0]}, from finite inputs." if found else "The inputs themselves are not finite."


def check_batch_rows(subject: Subject) -> CheckRow:
    """A row's answer does not depend on the other rows of its batch."""
    bench, example = subject.bench, subject.bench.example
    batch = example.batch if example.batch >= 2 else 4
    limits = example.batch_range
    if not example.batch or (limits and limits[1] < 2):
        return subject.skipped("The inputs have no batch dimension of two rows or more.")
    batch = min(batch, limits[1]) if limits else batch
    seed = bench.recipe.seed
    other_size = batch - 1 if limits and batch == limits[1] else batch + 1
    args, kwargs = example.sample(seed, batch)
    subject.forward()  # what does not run at all is an error, and no matter of batches
    try:
        whole = subject.answer(args, kwargs, seed=seed)
        again = compared(whole, subject.answer(args, kwargs, seed=seed), subject.yardstick)
        other_args, other_kwargs = example.sample(seed, other_size)
        resized = subject.answer(other_args, other_kwargs, seed=seed)
    except Cancelled:
        raise
    except Exception as problem:  # noqa: BLE001 (the user's forward; another batch size is not what is asked here)
        reason = f"It does not run with batches of {batch} and {other_size}: {first_line(problem)}."
        return subject.skipped(reason, "Declare the range that it takes: --input 'x=float32[batch:2..8,10]'.")
    if again.leaves and again.mark in (BEYOND, INCOMPARABLE):
        return subject.skipped("The same rows asked twice differ already: see the check repeatable.")
    axes = _scaling_axes(whole, resized)
    if not axes:
        return subject.skipped("No output has exactly one dimension that grows with the batch.")
    rows = list(range(batch)) if batch <= ROWS else sorted({round(i * (batch - 1) / (ROWS - 1)) for i in range(ROWS)})
    strangers = example.sample(seed + 1, batch)
    sizes = [tuple(tensor.shape) for tensor in tensors_in(example.sample(seed, other_size))]
    answers = []
    asked = []
    for number in subject.times(len(rows), least=2):
        mixed = _with_row((args, kwargs), strangers, sizes, rows[number])
        answers.append(subject.answer(mixed[0], mixed[1], seed=seed))
        asked.append(rows[number])
    ours = _rows(whole, axes, [whole] * len(asked), asked)
    structure, leaves = compare(ours, _rows(whole, axes, answers, asked))
    mark, leaves = judge_all(structure, leaves, subject.yardstick)
    start = f"{len(asked)} of {batch} rows asked again among other rows"
    if mark == IDENTICAL:
        return subject.passed(f"{start}: identical bits.")
    if mark not in (BEYOND, INCOMPARABLE):
        return subject.passed(f"{start}: within the noise ({worst_words(leaves)}).")
    excuse, remedy = _excuse(bench.model, bool(example.batch_name))
    if excuse:
        return subject.skipped(f"{excuse} ({start}: {worst_words(leaves)}).", remedy)
    return _mixed(subject, f"{start}: {worst_words(leaves)}.")


def _mixed(subject: Subject, evidence: str) -> CheckRow:
    """The row of a model whose answers depend on the other rows, with the likeliest reason."""
    model = subject.bench.model
    statistics = [path for path, kind in Parts(model).active() if kind == "batch statistics"]
    cause = "Something in the forward mixes the rows of a batch."
    remedy = "Look for a mean, softmax or norm over dimension 0, or one quantisation scale for the whole batch."
    if statistics:
        modules = dict(model.named_modules())
        cause = (
            f"In train mode: {some([named(path, modules[path]) for path in statistics], 4)}: statistics of the batch."
        )
        remedy = "Put it in eval: e in the app, or --mode eval."
    return subject.failed(evidence, cause, remedy)


def _excuse(model: nn.Module, declared: bool) -> tuple[str, str]:
    """(why rows that depend on each other are no fault of this model, what to do); empty where there is no excuse."""
    for path, module in model.named_modules():
        if ".quantized.dynamic." in f"{type(module).__module__}.":
            return f"{named(path, module)} takes one quantisation scale from the whole batch, by its design", ""
        if not declared and getattr(module, "batch_first", None) is False:
            words = f"{named(path, module)} has batch_first=False: dimension 0 may be time, and no batch was declared"
            return words, "Declare which dimension is the batch: --input 'x=float32[16,batch:2..8,5]'."
    return "", ""


def _scaling_axes(whole: Flat, resized: Flat) -> dict[str, int]:
    """Path → dimension, for leaves with exactly one dimension that another batch size changes."""
    others = dict(resized.leaves)
    axes = {}
    for path, leaf in whole.leaves:
        other = others.get(path)
        if other is None or other.dim() != leaf.dim() or leaf.layout is not torch.strided or leaf.is_quantized:
            continue
        scaling = [axis for axis in range(leaf.dim()) if leaf.shape[axis] != other.shape[axis]]
        if len(scaling) == 1:
            axes[path] = scaling[0]
    return axes


def _with_row(own: Any, strangers: Any, sizes: list[tuple[int, ...]], row: int) -> Any:
    """`strangers` with row `row` of `own`; what has no single batch dimension is taken from `own` as it is."""
    others = iter(list(zip(tensors_in(strangers), sizes)))  # noqa: B905 (samples of one example)

    def one(tensor: torch.Tensor) -> torch.Tensor:
        other, size = next(others)
        scaling = [axis for axis in range(tensor.dim()) if tensor.shape[axis] != size[axis]]
        if len(scaling) != 1:
            return tensor
        mixed = other.clone()
        mixed.select(scaling[0], row).copy_(tensor.select(scaling[0], row))
        return mixed

    return map_tensors(own, one)


def _rows(whole: Flat, axes: dict[str, int], answers: list[Flat], rows: list[int]) -> Flat:
    """Row `rows[i]` of answer i, for every leaf of `axes`, stacked."""
    leaves = []
    for path, axis in axes.items():
        held = [dict(answer.leaves)[path].select(axis, row) for answer, row in zip(answers, rows)]  # noqa: B905
        leaves.append((path, torch.stack(held)))
    return Flat("", leaves)
