"""A cell of the mode matrix beside the baseline: how its answer differs, and why, as far as that is known.

By the design's verdict, which is `verdict.py`'s. It runs the model only to see which operator draws random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.protocol.matrix import Cell, MatrixCell
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff, Yardstick
from workbench.worker.bench import modes as switches
from workbench.worker.bench.words import some
from workbench.worker.judge.cells import Ground, Seen
from workbench.worker.judge.checks_places import FirstOperator, named
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.store import same_bits
from workbench.worker.judge.verdict import judge_all, verdict_eps


@dataclass(frozen=True)
class Base:
    """What cells are compared with."""

    cell: Cell
    seen: Seen
    name: str
    yardstick: Yardstick


def facts(one: MatrixCell, seen: Seen, ground_of: Callable[[str], Ground], base: Base, slow: bool) -> dict[str, Any]:
    """What a look says, as fields of `MatrixCell`."""
    cell, ground = one.cell, ground_of(one.cell.cast)
    known: dict[str, Any] = {
        "saved_bytes": seen.saved_bytes, "peak_bytes": seen.peak_bytes, "mutated": seen.mutated,
    }  # fmt: skip
    if cell.compiled:
        known |= {
            "compile_seconds": seen.compile_seconds, "cached": seen.counts.cached, "graphs": seen.counts.graphs,
            "breaks": seen.counts.breaks,
        }  # fmt: skip
    if seen.varies:
        return known | {"words": RANDOM, "cause": why_random(ground, cell, seen, slow)}
    if base.seen.varies:
        why = why_random(ground_of(base.cell.cast), base.cell, base.seen, slow)
        return known | {"words": RANDOM, "cause": f"{base.name}: {why}"}
    if cell == base.cell:
        return known
    found = difference(base.seen, seen, one.dtype, base.yardstick)
    return known | {
        "mark": found.mark, "max_abs": found.max_abs, "noise_multiple": found.noise_multiple, "top1": found.top1,
        "words": found.words, "cause": "" if found.mark == IDENTICAL else why_different(ground, cell, base.cell),
    }  # fmt: skip


RANDOM = "random: not comparable"


@dataclass(frozen=True)
class Difference:
    """A cell's answer beside the baseline's."""

    mark: str
    max_abs: float = 0.0
    noise_multiple: float = 0.0
    top1: float = -1.0
    words: str = ""


def difference(baseline: Seen, seen: Seen, dtype: str, yardstick: Yardstick) -> Difference:
    """By the design's verdict. An answer in another floating dtype (`dtype`) is compared in the baseline's own."""
    if baseline.too_large or seen.too_large:
        return Difference(INCOMPARABLE, words="the answer is too large to keep a copy of")
    if same_bits(baseline.flat, seen.flat):
        return Difference(IDENTICAL)
    kinds = {path: leaf.dtype for path, leaf in baseline.flat.leaves}
    leaves = [(path, _like(leaf, kinds.get(path))) for path, leaf in seen.flat.leaves]
    structure, diffs = compare(baseline.flat, Flat(seen.flat.structure, leaves, seen.flat.opaque))
    left_out = [f"{leaf.path} ({leaf.reason})" for leaf in diffs if leaf.mark == INCOMPARABLE]
    kept = [leaf for leaf in diffs if leaf.mark != INCOMPARABLE]
    mark, diffs = judge_all(structure, kept or diffs, yardstick)
    cast = any(leaf.dtype != other.dtype for (_, leaf), (_, other) in zip(leaves, seen.flat.leaves))  # noqa: B905
    words = f"structure: {structure}" if structure else next((leaf.reason for leaf in diffs if leaf.reason), "")
    if cast and mark == BEYOND and not structure:
        words = _own_tolerance(diffs, dtype) or words
    if kept and left_out:
        words = "; ".join(part for part in (words, f"not compared: {some(left_out, 2)}") if part)
    tops = [leaf.top1 for leaf in diffs if leaf.top1 >= 0]
    return Difference(
        mark,
        max((leaf.max_abs for leaf in diffs), default=0.0),
        max((leaf.noise_multiple for leaf in diffs), default=0.0),
        min(tops, default=-1.0),
        words,
    )


def _like(leaf: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    if dtype is None or not (leaf.is_floating_point() and dtype.is_floating_point):
        return leaf
    return leaf.to(dtype)


def _own_tolerance(diffs: tuple[LeafDiff, ...], dtype: str) -> str:
    """Whether the difference is what the coarser dtype's own rounding makes of it; of a leaf whose difference is none
    of rounding, what it is."""
    for leaf in diffs:
        if leaf.mark == BEYOND and (leaf.reason or not verdict_eps(leaf.dtype)):
            return f"{leaf.path}: {leaf.reason or f'{leaf.mismatched} of {leaf.elements} whole numbers differ'}"
    coarse = [replace(leaf, dtype=dtype, mark="") if leaf.mark == BEYOND else leaf for leaf in diffs]
    mark, _ = judge_all("", coarse, Yardstick("tolerance"))
    return f"within {dtype}'s own tolerance" if mark != BEYOND else f"beyond {dtype}'s own tolerance, too"


def why_random(ground: Ground, cell: Cell, seen: Seen, slow: bool) -> str:
    """Which modules or operators make its answer random, as far as that can be seen; one forward, unless `slow`."""
    moved = seen.moved
    ground.enter(cell)
    paths = dict(ground.model.named_modules())
    active = [named(path, paths[path]) for path, kind in Parts(ground.model).active() if kind == "dropout"]
    words = []
    if active and "torch" in moved:
        words.append(f"{some(active, 2)} in train mode")
    if not slow and "torch" in moved and not active:
        watch = FirstOperator(lambda func, *_: torch.Tag.nondeterministic_seeded in func.tags)
        with untouched_model(ground.model, ground.args, ground.kwargs), switches.grad_context(cell.grad), watch:
            ground.model(*ground.args, **ground.kwargs)
        if watch.words:
            words.append(f"it draws in {watch.words}")
    others = [name for name in moved if name != "torch"]
    if others:
        words.append(f"it draws from {' and '.join(others)}")
    if not words:
        kept = f": {some(list(seen.mutated), 2)} moves" if seen.mutated else ", though all that it holds was put back"
        words.append("it draws random numbers" if moved else f"its answer is another from run to run{kept}")
    return "; ".join(words)


def why_different(ground: Ground, cell: Cell, baseline: Cell) -> str:
    """Why the answer is another, from what is known without a replay; empty where nothing is."""
    if cell.training and not baseline.training:
        ground.enter(cell)
        paths = dict(ground.model.named_modules())
        active = [named(path, paths[path]) for path, kind in Parts(ground.model).active() if kind != "dropout"]
        if active:
            return f"{some(active, 2)} uses the batch's own statistics in train mode"
        return "train mode"
    if cell.cast != baseline.cast:
        return f"{cell.cast} rounds"
    if cell.compiled != baseline.compiled:
        return "compiled kernels round otherwise"
    return f"other kernels under {cell.grad}" if cell.grad != baseline.grad else ""
