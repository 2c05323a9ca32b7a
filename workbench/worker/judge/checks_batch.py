"""Owns the check that a row does not depend on the other rows of its batch, and what excuses a model whose rows do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.runs import BEYOND, IDENTICAL
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled
from workbench.worker.judge.batch_excuse import excuse
from workbench.worker.judge.batch_words import batch_declared, remedy_at
from workbench.worker.judge.checks_again import already, anew, differs_already, kept_words, left_behind, only_later
from workbench.worker.judge.checks_places import named
from workbench.worker.judge.checks_run import Subject, worst_words
from workbench.worker.judge.mixing import Step, first_meeting
from workbench.worker.judge.pieces import is_plain_tensor
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.taken import Answer

ROWS = 8
"""Rows of a batch that are asked again in other company."""
COMPANIES = 4
"""So often each is asked, each time among other rows, as long as that is cheap: a threshold is not always crossed."""
LARGE = 1 << 18
"""Elements of an answer above which no further company is asked for: all answers are kept."""
CHEAP = 0.1
"""Share of the budget after which no further company is asked for."""


def check_batch_rows(subject: Subject) -> CheckRow:
    """A row's answer does not depend on the other rows of its batch."""
    bench, example = subject.bench, subject.example
    if subject.policy.batch_coupled:
        subject.excuse("batch_coupled, so rows may depend on each other")
        return subject.skipped("Not asked.")
    batch = example.batch if example.batch >= 2 else 4
    limits = example.batch_range
    if not example.batch or (limits and limits[1] < 2):
        return subject.skipped("The inputs have no batch dimension of two rows or more.")
    batch = min(batch, limits[1]) if limits else batch
    seed = bench.recipe.seed
    other_size = batch - 1 if limits and batch == limits[1] else batch + 1
    args, kwargs = example.sample(seed, batch)
    for number in range(2):
        subject.need(6 - number, of=6)
        subject.forward()  # what does not run, or not twice, is an error, and no matter of batches
    try:
        whole = subject.answer(args, kwargs, seed=seed)
        again = subject.compared(whole, subject.answer(args, kwargs, seed=seed))
        other_args, other_kwargs = example.sample(seed, other_size)
        resized = subject.answer(other_args, other_kwargs, seed=seed)
    except Cancelled:
        raise
    except Exception as problem:  # noqa: BLE001 (the user's forward; another batch size is not what is asked here)
        if words := only_later(subject, *example.sample(seed, other_size), other_size):
            return subject.skipped(words)
        reason = f"It does not run with batches of {batch} and {other_size}: {first_line(problem)}."
        return subject.skipped(
            reason, f"Declare the sizes that it takes, as in {batch_declared(example, limits=(2, batch))}."
        )
    if again.differs and not again.nothing:
        return subject.skipped(already(subject, "The same rows asked twice differ already"))
    axes = scaling_axes(whole, resized, batch, other_size)
    if not axes:
        return subject.skipped("No output has exactly one dimension that is as large as the batch and grows with it.")
    _moved_dimension(subject, axes, ((args, kwargs), (other_args, other_kwargs)))
    sizes = [tuple(tensor.shape) for tensor in tensors_in((other_args, other_kwargs))]
    asked = _asked_again(subject, _Company((args, kwargs), whole), batch, sizes)
    if any(one.answer.structure != whole.structure for one in asked):
        return subject.skipped(already(subject, "The tree of outputs is another from run to run"))
    axes = {path: axis for path, axis in axes.items() if all(one.alike(path, whole) for one in asked)}
    if not axes:
        return subject.skipped("The shape of its output depends on values: rows cannot be laid beside each other.")
    return _judged(subject, axes, asked, (batch, other_size), (other_args, other_kwargs))


@dataclass(frozen=True)
class _Company:
    """A batch and its answer."""

    given: Any
    """args, kwargs."""
    answer: Answer


@dataclass(frozen=True)
class _Asked:
    """One row of a batch, asked again among strangers."""

    row: int
    base: _Company
    mixed: Any
    """args, kwargs: strangers, with the row of `base`."""
    answer: Answer

    def alike(self, path: str, whole: Answer) -> bool:
        """Whether a leaf has the shape that it has in `whole`: a model may pad to the longest of its batch."""
        return all(dict(one.leaves)[path].shape == dict(whole.leaves)[path].shape
                   for one in (self.answer, self.base.answer))  # fmt: skip


def _asked_again(subject: Subject, first: _Company, batch: int, sizes: list[tuple[int, ...]]) -> list[_Asked]:
    """Each row of `first` among strangers, then rows of other batches as long as that is cheap."""
    example, seed = subject.example, subject.bench.recipe.seed
    rows = list(range(batch)) if batch <= ROWS else sorted({round(i * (batch - 1) / (ROWS - 1)) for i in range(ROWS)})
    large = sum(leaf.numel() for _, leaf in first.answer.leaves) > LARGE
    base, asked = first, []
    for number in subject.times(COMPANIES * len(rows), least=2):
        row, company = rows[number % len(rows)], number // len(rows)
        if company and (large or subject.spent > CHEAP):
            break
        if company and row == rows[0]:
            given = example.sample(seed + 2 * company, batch)
            base = _Company(given, subject.answer(given[0], given[1], seed=seed))
        mixed = _with_row(base.given, example.sample(seed + 2 * company + 1, batch), sizes, row)
        asked.append(_Asked(row, base, mixed, subject.answer(mixed[0], mixed[1], seed=seed)))
    return asked


def _judged(
    subject: Subject, axes: dict[str, int], asked: list[_Asked], sizes: tuple[int, int], resized: Any
) -> CheckRow:
    """The row of what was asked; `sizes`: of the batch and of `resized`, (args, kwargs) of another size."""
    rows = [one.row for one in asked]
    found = subject.compared(
        _rows(axes, [one.base.answer for one in asked], rows), _rows(axes, [one.answer for one in asked], rows)
    )
    start = f"{len(set(rows))} of {sizes[0]} rows asked again among other rows"
    thinned = asked[0].base.answer.thinned
    if found.mark == IDENTICAL:
        return subject.passed(f"{start}: identical bits.{thinned}")
    worst = max(found.leaves, key=lambda leaf: (leaf.mark == BEYOND, leaf.noise_multiple))
    one = asked[worst.worst_index[0] if worst.worst_index else -1]  # the rows lie along dimension 0 there
    worst = dataclasses.replace(worst, worst_index=(one.row, *worst.worst_index[1:]))
    words = worst_words((worst,), subject.yardstick)
    if not found.differs:
        return subject.passed(f"{start}: within the noise ({words}).{thinned}")
    reason, remedy = excuse(subject)
    if reason:
        subject.found("rows_meet", f"{reason}: {start}, and they differ by {words}.", remedy)
        return subject.skipped(f"{reason} ({start}: {words}).", remedy)
    left = left_behind(subject)
    if by_itself := differs_already(subject):
        return subject.skipped(by_itself)
    pair, drawn = anew(subject, [one.base.given, one.mixed], subject.bench.recipe.seed)
    if drawn:
        return subject.skipped(f"{drawn}, so rows cannot be told apart: see the check randomness.")
    alone = subject.compared(_rows(axes, pair[:1], [one.row]), _rows(axes, pair[1:], [one.row]))
    if not alone.differs:
        return subject.skipped(f"{start}: {words}. {kept_words(left)}")
    meeting = _meeting(subject, (one.base.given, one.mixed, resized), sizes, one.row)
    return _mixed(subject, f"{start}: {words}.", meeting)


def _moved_dimension(subject: Subject, axes: dict[str, int], inputs: tuple[Any, Any]) -> None:
    """Tell where an output has its batch along another dimension than every input has; torch's recurrent states do."""
    pairs = zip(*map(tensors_in, inputs))  # noqa: B905 (samples of one example)
    given = {axis for one, other in pairs for axis in range(one.dim()) if one.shape[axis] != other.shape[axis]}
    moved = [f"{path} along dimension {axis}" for path, axis in axes.items() if axis not in given]
    if moved and given and not any(isinstance(one, nn.RNNBase) for one in subject.bench.model.modules()):
        words = f"The inputs have their batch along dimension {', '.join(map(str, sorted(given)))}"
        subject.found("batch_dimension", f"{words}, and the model answers {some(moved, 4)}.", "Mind a stray transpose.")


def _meeting(subject: Subject, inputs: tuple[Any, Any, Any], sizes: tuple[int, int], row: int) -> Step | None:
    """Where the rows meet; None when a forward with every operator watched does not show it."""

    def forward(given: Any) -> None:
        subject.forward(given[0], given[1], seed=subject.bench.recipe.seed)

    try:
        return first_meeting(subject.bench.model, subject.snapshot.restore, forward, inputs, sizes, row)
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 (what cannot be followed operator by operator keeps its verdict, without a line)
        return None


def _mixed(subject: Subject, evidence: str, meeting: Step | None) -> CheckRow:
    """The row of a model whose answers depend on the other rows; `meeting`: where they meet."""
    model = subject.bench.model
    statistics = [path for path, kind in Parts(model).active() if kind == "batch statistics"]
    cause = f"The rows meet in {meeting.words}." if meeting else "Something in the forward mixes the rows of a batch."
    remedy = remedy_at(meeting.name if meeting else "")
    if statistics:
        modules = dict(model.named_modules())
        cause = (
            f"In train mode: {some([named(path, modules[path]) for path in statistics], 4)}: statistics of the batch."
        )
        remedy = "Put it in eval: e in the app, or --mode eval."
    return subject.failed(evidence, cause, remedy)


def scaling_axes(whole: Answer, resized: Answer, batch: int, other_batch: int) -> dict[str, int]:
    """Path → dimension, for leaves with exactly one dimension that another batch changes, and that is the batch.

    By the shapes that the model answered with; where rows themselves were left out of a vast one there is none.
    """
    whole, resized = whole.dense(), resized.dense()
    others = dict(resized.leaves)
    axes = {}
    for path, leaf in whole.leaves:
        other = others.get(path)
        if other is None or not (is_plain_tensor(leaf) and is_plain_tensor(other)) or other.dim() != leaf.dim():
            continue
        shape, second = whole.shape_of(path, leaf), resized.shape_of(path, other)
        scaling = [axis for axis in range(leaf.dim()) if shape[axis] != second[axis]]
        if len(scaling) != 1 or (shape[scaling[0]], second[scaling[0]]) != (batch, other_batch):
            continue
        if whole.steps_of(path, leaf)[scaling[0]] == resized.steps_of(path, other)[scaling[0]] == 1:
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


def _rows(axes: dict[str, int], answers: list[Answer], rows: list[int]) -> Answer:
    """Row `rows[i]` of answer i, for every leaf of `axes`, stacked."""
    leaves, held_by = [], [dict(answer.dense().leaves) for answer in answers]
    for path, axis in axes.items():
        held = [one[path].select(axis, row) for one, row in zip(held_by, rows)]  # noqa: B905
        leaves.append((path, torch.stack(held)))
    return Answer("", leaves)
