"""Owns the check that every size of batch runs, and that the rows of a small batch are those of a large one."""

from __future__ import annotations

from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.model import INFERRED
from workbench.protocol.runs import IDENTICAL
from workbench.worker.bench.failing import first_line, users_place
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled
from workbench.worker.judge import memory
from workbench.worker.judge.batch_excuse import excuse
from workbench.worker.judge.batch_words import batch_declared, remedy_at
from workbench.worker.judge.checks_again import anew, differs_already, kept_words, left_behind, only_later
from workbench.worker.judge.checks_batch import scaling_axes
from workbench.worker.judge.checks_places import FirstOperator
from workbench.worker.judge.checks_run import Comparison, Subject
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.sizing import Kept, first_sized
from workbench.worker.judge.taken import Answer, on_one_grid

SIZES = (1, 2, 3, 5)
"""Batches that are tried beside the example's where no range was declared."""
ROOM = 4
"""The largest batch is left out when it would take more than a fourth of the free memory for its inputs alone."""
SQUEEZE_REMEDY = "Name the dimension that is to go: squeeze(-1), not squeeze()."
TIES = {"float16": 0.1, "bfloat16": 0.1}
"""Share of elements of an integer output that may differ between sizes of batch while all floating ones agree, by the
model's dtype: an arg-max flips on near ties, and in half precision ties are common."""
TIES_WIDE = 0.01
"""The same for wider dtypes."""


def check_batch_sizes(subject: Subject) -> CheckRow:
    """Every size of batch that was declared runs, and the rows of a small batch are those of a large one."""
    example = subject.example
    limits = example.batch_range
    declared = limits is not None and any(
        one.source != INFERRED and any(spec.dynamic for _, spec in one.specs) for one in example.arguments
    )
    if not example.batch:
        return subject.skipped("The inputs have no dimension that could be the batch.")
    for number in range(2):
        subject.need(6 - number, of=6)
        subject.forward()  # what does not run, or not twice, is an error, and no matter of sizes
    sizes = _sizes(limits if declared else None, example.batch)
    if declared:
        sizes = _affordable(subject, sizes)
    answers: dict[int, Answer] = {}
    refused: dict[int, str] = {}
    whole = example.sample(subject.bench.recipe.seed, max(sizes))
    shapes = [tuple(tensor.shape) for tensor in tensors_in(example.sample(subject.bench.recipe.seed, max(sizes) + 1))]
    if not declared and (words := _risky(subject, whole, shapes)):
        return subject.skipped(words, f"Declare the sizes that it takes, as in {batch_declared(example)}.")
    for number in subject.times(len(sizes), least=min(3, len(sizes))):
        size = sizes[number]
        args, kwargs = _cut(whole, shapes, size)
        try:
            answers[size] = subject.answer(args, kwargs, seed=subject.bench.recipe.seed)
        except Cancelled:
            raise
        except Exception as problem:  # noqa: BLE001 (the user's forward; whether it takes this size is the question)
            place = users_place(problem).rpartition("/")[2]
            refused[size] = first_line(problem) + (f" at {place}" if place else "")
    for size in list(refused)[:1]:
        args, kwargs = _cut(whole, shapes, size)
        if words := only_later(subject, args, kwargs, size):
            return subject.skipped(words, "See the check hidden_state.")
    if refused:
        return _refusing(subject, declared, answers, refused)
    parts = {size: _cut(whole, shapes, size) for size in answers}
    return _sizes_agree(subject, declared, answers, parts)


def _risky(subject: Subject, whole: Any, shapes: list[tuple[int, ...]]) -> str:
    """Why no size is guessed; empty where one may be. An integer input that keeps its shape may point into one that
    shrinks, and on a GPU an index outside of a tensor ends the process."""
    device = torch.device(subject.bench.modes.device or "cpu").type
    fixed = [
        tensor
        for tensor, other in zip(tensors_in(whole), shapes, strict=True)
        if tuple(tensor.shape) == other and not (tensor.is_floating_point() or tensor.is_complex())
    ]
    if device == "cpu" or not fixed:
        return ""
    return f"No sizes were declared, and none is guessed on {device}: an integer input may point into what shrinks."


def _sizes(limits: tuple[int, int] | None, typical: int) -> list[int]:
    """Sizes to try, the largest last: of the declared range its ends, the example's and a prime; else small ones."""
    if limits is None:
        return sorted({*SIZES, typical})
    low, high = max(1, limits[0]), limits[1]
    primes = [number for number in range(min(high, 97), low, -1) if all(number % part for part in range(2, number))]
    prime = next((number for number in primes if number not in (typical, high) and number > 1), low)
    return sorted({low, min(max(typical, low), high), prime, high})


def _affordable(subject: Subject, sizes: list[int]) -> list[int]:
    """Without the largest where it would fill the machine, or take longer than the check may; that is a finding."""
    example = subject.example
    one = sum(bytes_of(tensor) for tensor in tensors_in((subject.args, subject.kwargs))) / max(1, example.batch)
    available, _ = memory.available()
    kept = [
        size
        for size in sizes
        if size <= example.batch
        or ((not available or one * size * ROOM < available)
            and subject.last * size / max(1, example.batch) < subject.budget / 2)
    ]  # fmt: skip
    if left_out := [size for size in sizes if size not in kept]:
        words = f"Not run, for want of time or memory: batches of {', '.join(map(str, left_out))}."
        subject.found("batch_sizes", words, "Give it more time: --timeout.")
    return kept


def _refusing(subject: Subject, declared: bool, answers: dict[int, Answer], refused: dict[int, str]) -> CheckRow:
    """The row of a model that does not take every size."""
    size, words = next(iter(refused.items()))
    listed = ", ".join(map(str, refused))
    if declared:
        low, high = subject.example.batch_range or (0, 0)
        evidence = f"Declared to take {low}..{high}, and raises with batches of {listed}. With {size}: {words}."
        return subject.failed(
            evidence, "", f"Mend it, or declare the sizes that it takes: {batch_declared(subject.example)}."
        )
    taken = ", ".join(map(str, answers)) or f"{subject.example.batch} only"
    subject.found(
        "fixed_batch",
        f"It takes batches of {taken} and refuses {listed} ({words}); no range was declared.",
        f"If it should take others, declare which, as in {batch_declared(subject.example)}.",
    )
    reason = (
        f"Its batch is fixed, or dimension 0 is no batch: it refuses {listed} ({words}), and no range was declared."
    )
    return subject.skipped(reason, f"Declare the sizes that it should take, as in {batch_declared(subject.example)}.")


def _sizes_agree(subject: Subject, declared: bool, answers: dict[int, Answer], parts: dict[int, Any]) -> CheckRow:
    """Whether each smaller batch has the first rows of the largest."""
    largest = max(answers)
    others = [size for size in answers if size != largest]
    start = f"Batches of {', '.join(map(str, sorted(answers)))} run"
    if subject.policy.batch_coupled:
        subject.excuse("batch_coupled, so rows are not compared across sizes")
        return subject.passed(f"{start}.")
    if not others:
        return subject.passed(f"{start}, the only size declared.")
    axes = scaling_axes(answers[largest], answers[max(others)], largest, max(others))
    if not axes:
        return subject.passed(f"{start}; no output has exactly one dimension of their size, so rows are not compared.")
    marks = set()
    worst = ""
    varying: dict[str, None] = {}
    if 1 in others and (lost := _without_rows(axes, answers[1])):
        words = f"{start}, and a batch of 1 is answered without its dimension: {lost}."
        place = _squeezed(subject, parts[1])
        cause = f"Taken away by {place}." if place else "A squeeze() without a dimension takes away a batch of 1."
        if declared:
            return subject.failed(words, cause, SQUEEZE_REMEDY)
        subject.found("lost_dimension", f"{words} {cause}", SQUEEZE_REMEDY)
        others.remove(1)
    for size in others:
        if answers[size].structure != answers[largest].structure:
            words = f"{start}, and the tree of outputs is another with {size} than with {largest}."
            return subject.skipped(f"{words} See the check repeatable.")
        if any(dict(answers[size].leaves)[path].shape[axis] != size for path, axis in axes.items()):
            words = f"{start}, and a batch of {size} is answered with another number of rows."
            return subject.skipped(f"{words} See the check hidden_state.")
        longer = _otherwise_sized(axes, answers[largest], answers[size])
        varying.update(dict.fromkeys(longer))
        shared = {path: axis for path, axis in axes.items() if path not in longer}
        if not shared:
            continue
        found = subject.compared(*_first(shared, answers[largest], answers[size], size))
        if found.differs and _near_ties(subject, found, size):
            continue
        marks.add(found.mark)
        worst = found.words if found.mark != IDENTICAL else worst
        if found.differs:
            reason, remedy = excuse(subject)
            words = f"{start}, and the first {counted(size, 'row')} of {largest} differ when asked as a batch of {size}"
            if reason:
                return subject.skipped(f"{reason} ({words}: {found.words}).", remedy)
            left = left_behind(subject)
            if again := differs_already(subject):
                return subject.skipped(f"{again} ({words}.)")
            pair, _ = anew(subject, [parts[largest], parts[size]], subject.bench.recipe.seed)
            alone = subject.compared(*_first(shared, pair[0], pair[1], size))
            if not alone.differs:
                return subject.skipped(f"{words}: {found.words}. {kept_words(left)}")
            cause, remedy = _cause(subject, (parts[largest], parts[size]), (largest, size))
            return subject.failed(f"{words}: {found.words}.", cause, remedy)
    apart = f" Not compared: {some(list(varying), 4)}, whose other dimensions depend on the rows." if varying else ""
    if not marks and varying:
        return subject.skipped(f"{start}.{apart}")
    bits = "identical bits" if marks <= {IDENTICAL} else f"within the noise ({worst})"
    return subject.passed(f"{start}, and their rows agree: {bits}.{apart}{answers[largest].thinned}")


def _otherwise_sized(axes: dict[str, int], large: Answer, small: Answer) -> list[str]:
    """Paths of outputs whose other dimensions depend on the rows that are asked, as of those padded to the longest."""
    found = []
    for path, axis in axes.items():
        one, other = (list(answer.shape_of(path, dict(answer.leaves)[path])) for answer in (large, small))
        del one[axis], other[axis]
        found += [path] if one != other else []
    return found


def _without_rows(axes: dict[str, int], single: Answer) -> str:
    """Which leaves of the answer to a batch of 1 have fewer dimensions than there must be, in words; or empty."""
    leaves = dict(single.leaves)
    lost = [path for path, axis in axes.items() if path in leaves and leaves[path].dim() <= axis]
    return some([f"{path} has shape {list(leaves[path].shape)}" for path in lost], 3)


def _squeezed(subject: Subject, given: Any) -> str:
    """The operator that takes a dimension of 1 at the first place away, and its line; empty where none is seen."""

    def squeezes(func: Any, operands: Any, named: Any, output: Any) -> bool:
        if not str(func).startswith("aten.squeeze") or not isinstance(output, torch.Tensor):
            return False
        return bool(operands[0].shape[:1] == (1,) and output.dim() < operands[0].dim() and output.shape[:1] != (1,))

    with FirstOperator(squeezes) as watch:
        subject.forward(given[0], given[1], seed=subject.bench.recipe.seed)
    words: str = watch.words
    return words


def _cause(subject: Subject, inputs: tuple[Any, Any], sizes: tuple[int, int]) -> tuple[str, str]:
    """Why rows depend on the size of their batch, and what to do; `inputs`: the batch, and its first rows alone."""
    statistics = [path for path, kind in Parts(subject.bench.model).active() if kind == "batch statistics"]
    if statistics:
        cause = f"In train mode: {some(statistics, 4)}: statistics of the batch."
        return cause, "Put it in eval: e in the app, or --mode eval."
    place = _place(subject, inputs, sizes)
    words = (
        f"The size comes in at {place.words}" if place else "Something in the forward depends on the size of the batch"
    )
    return f"{words}.", f"Look for a division by size(0), too. {remedy_at(place.name)}" if place else remedy_at("")


def _place(subject: Subject, inputs: tuple[Any, Any], sizes: tuple[int, int]) -> Kept | None:
    """Where the size comes in; None when two forwards with every operator kept do not show it."""
    if not subject.room_for(8):
        return None

    def forward(given: Any) -> None:
        subject.forward(given[0], given[1], seed=subject.bench.recipe.seed)

    try:
        return first_sized(subject.bench.model, subject.snapshot.restore, forward, inputs, sizes)
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 (what cannot be followed operator by operator keeps its verdict, without a line)
        return None


def _near_ties(subject: Subject, found: Comparison, size: int) -> bool:
    """Whether only integer leaves differ, and in so few elements that an arg-max on a near tie explains it."""
    dtype = Parts(subject.bench.model).dtype()
    limit = TIES.get(dtype, TIES_WIDE)
    beyond = [leaf for leaf in found.leaves if leaf.mark not in (IDENTICAL, "noise")]
    if (
        found.structure
        or not beyond
        or any(not leaf.dtype.startswith(("int", "uint")) or leaf.reason for leaf in beyond)
    ):
        return False
    least = 1 if dtype in TIES else 0
    if any(leaf.mismatched > max(least, limit * leaf.elements) for leaf in beyond):
        return False
    listed = some([f"{leaf.path}: {leaf.mismatched} of {leaf.elements}" for leaf in beyond], 3)
    remedy = f"""If it is an arg-max, say so: discrete = {{ "{beyond[0].path}" = 0.99 }}."""
    subject.found(
        "near_ties", f"Integers differ between a batch of {size} and a larger one, in few places: {listed}.", remedy
    )
    return True


def _cut(whole: Any, shapes: list[tuple[int, ...]], size: int) -> Any:
    """The first `size` rows of a sample, whose next larger one has `shapes`."""
    others = iter(shapes)

    def one(tensor: torch.Tensor) -> torch.Tensor:
        shape = next(others)
        scaling = [axis for axis in range(tensor.dim()) if tensor.shape[axis] != shape[axis]]
        return tensor.narrow(scaling[0], 0, size) if len(scaling) == 1 else tensor

    return map_tensors(whole, one)


def _first(axes: dict[str, int], largest: Answer, small: Answer, size: int) -> tuple[Answer, Answer]:
    """The first `size` rows of every leaf of `axes`, in both answers at the same places."""

    def rows(answer: Answer) -> Answer:
        held = dict(answer.dense().leaves)
        return Answer("", [(path, held[path].narrow(axis, 0, size)) for path, axis in axes.items()])

    one, other = on_one_grid(largest, small)
    return rows(one), rows(other)
