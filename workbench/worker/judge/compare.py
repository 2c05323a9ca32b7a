"""Owns the measurement of a difference: two outputs in, one `LeafDiff` a leaf out.

Carried into a bundle's verify.py: standard library and torch only. It measures and never judges: marks are
final only where values cannot change them (same bits, another shape, another dtype, NaN at other places,
nothing to compare); every other difference is `BEYOND` with an empty reason until verdict.py judges it.

Policies
- Structure, dtype and shape come before values. Values are promoted to float64 before they are subtracted;
  integers are subtracted exactly, also beyond 2**53.
- NaN at the same place on both sides is the same, whatever its payload. The same infinity is the same.
  Where one side is NaN or infinite and the other is not the same, |Δ| is infinite, and the leaf is beyond.
- −0.0 against 0.0: the bits differ, so the element counts as mismatched and the leaf is not identical; |Δ| and
  ULP are 0, so it is within any noise.
- |Δ| of complex numbers is the modulus; ULP is the larger of both components.
- Of sparse tensors the stored values are compared, at every place that one side stores; of quantised ones the integers,
  exactly, once scale and zero point agree; of nested ones the components.
- One pass over chunks; expanded and permuted tensors are never made contiguous as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff
from workbench.worker.judge.aligning import Aligned, align, align_obstacle
from workbench.worker.judge.chunks import (
    chunk_blocks,
    chunk_cell,
    chunk_device,
    chunk_dot,
    chunk_matrix,
    chunk_number,
    chunk_plus,
    chunk_reader,
    chunk_real,
    chunk_rescaled,
    chunk_root,
    chunk_size,
    chunk_top,
)
from workbench.worker.judge.leaves import Flat, structure_difference
from workbench.worker.judge.pieces import is_plain_tensor
from workbench.worker.judge.totals import TOTALS_CLASSES, Totals

COMPARE_LARGE = 1 << 22
"""Elements from which a leaf is looked at in bands."""

COMPARE_BANDS = 4

COMPARE_CLASH = "NaN or infinity at "
"""How the reason of a leaf begins whose NaN or infinities stand at other places, or have another sign."""


def compare(a: Flat, b: Flat) -> tuple[str, tuple[LeafDiff, ...]]:
    """Measure `b` against the reference `a`: what differs in the trees (empty: nothing), and every leaf by path."""
    leaves_a, leaves_b = dict(a.leaves), dict(b.leaves)
    numbers = a.numbers & b.numbers
    diffs = []
    for path in [*leaves_a, *(path for path in leaves_b if path not in leaves_a)]:
        if path not in leaves_b:
            diffs.append(LeafDiff(path, BEYOND, "missing in the other output", noise_multiple=math.inf))
        elif path not in leaves_a:
            diffs.append(LeafDiff(path, BEYOND, "not in the reference", noise_multiple=math.inf))
        else:
            diff = compare_leaf(path, leaves_a[path], leaves_b[path])
            if path in numbers:
                diff = _compare_number(diff, leaves_a[path], leaves_b[path], a.number_dtype)
            diffs.append(diff)
    for path, reason in dict((*a.opaque, *b.opaque)).items():
        diffs.append(LeafDiff(path, INCOMPARABLE, reason))
    return structure_difference(a.structure, b.structure), tuple(diffs)


def compare_leaf(path: str, a: torch.Tensor, b: torch.Tensor) -> LeafDiff:
    """Measure tensor `b` against the reference `a`: any dtype, shape, layout and device. Never raises."""
    try:
        with torch.no_grad():
            return _compare_tensors(path, a.detach(), b.detach())
    except (RuntimeError, NotImplementedError, TypeError) as problem:
        # a tensor subclass, or a dtype that lacks a kernel, may refuse any operation; refusing is no pass
        return LeafDiff(path, INCOMPARABLE, f"torch cannot compare these: {str(problem).splitlines()[0][:200]}")


def relative_error(value: torch.Tensor, exact: torch.Tensor, eager: torch.Tensor) -> tuple[float, float]:
    """Error of one case's leaf against its float64 twin `exact`, relative to the RMS of `exact`: (RMS, largest).

    All three have one shape, and every place counts. Where `eager` is NaN or infinite, `value` has no error when it is
    the same, and an infinite one otherwise; where `exact` alone is, eager's own value stands for it. An `exact` that
    is zero everywhere has no scale: the error is 0 when `value` is zero too, else infinite.
    """
    errors, scale, largest, kept = (0.0, 0), (0.0, 0), 0.0, 0
    if not exact.numel():
        return 0.0, 0.0
    with torch.no_grad():
        rows, columns = chunk_matrix(tuple(exact.shape))
        device = chunk_device(value, exact)
        sides = [chunk_reader(t.detach(), columns, device) for t in (value, exact, eager)]
        for block in chunk_blocks(rows, columns, chunk_cell(rows, columns), 2 if exact.is_complex() else 1):
            v, e, r = (chunk_real(side(*block)) for side in sides)
            keep = torch.isfinite(r)
            e = torch.where(torch.isfinite(e), e, r)
            same = (v == r) | (torch.isnan(v) & torch.isnan(r))
            delta = chunk_size(torch.where(keep, v - e, torch.where(same, 0.0, math.inf)))
            largest = max(largest, chunk_top(torch.nan_to_num(delta, nan=math.inf, posinf=math.inf)))
            if largest == math.inf:
                return math.inf, math.inf
            kept += int(keep.sum())
            delta, up = chunk_rescaled(delta)
            errors = chunk_plus(errors, (chunk_dot(delta, delta), 2 * up))
            e, up = chunk_rescaled(torch.where(keep, e, 0.0))
            scale = chunk_plus(scale, (chunk_dot(e, e), 2 * up))
    rms = chunk_root(scale, kept)
    if largest == 0.0:
        return 0.0, 0.0
    return (chunk_root(errors, kept) / rms, largest / rms) if rms > 0.0 else (math.inf, math.inf)


def _compare_tensors(path: str, a: torch.Tensor, b: torch.Tensor) -> LeafDiff:
    dtype = str(a.dtype).removeprefix("torch.")
    if not (is_plain_tensor(a) and is_plain_tensor(b)):  # some of these have no shape to ask for
        return _compare_aligned(path, a, b, dtype)
    shape = tuple(a.shape)
    if a.dtype != b.dtype:
        reason = f"dtype {dtype} against {str(b.dtype).removeprefix('torch.')}"
        return LeafDiff(path, BEYOND, reason, dtype, shape, a.numel(), noise_multiple=math.inf)
    if a.shape != b.shape:
        reason = f"shape {list(shape)} against {list(b.shape)}"
        return LeafDiff(path, BEYOND, reason, dtype, shape, a.numel(), noise_multiple=math.inf)
    if a.numel() == 0:
        return LeafDiff(path, IDENTICAL, "", dtype, shape, decades=(0,) * 21)
    rows, columns = chunk_matrix(shape)
    device = chunk_device(a, b)
    read_a, read_b = chunk_reader(a, columns, device), chunk_reader(b, columns, device)

    def look(blocks: list[tuple[int, int, int, int]]) -> Totals:
        seen = Totals(a, rows, columns, device)
        with torch.no_grad():  # grad mode belongs to a thread
            for block in blocks:
                seen.add(read_a(*block), read_b(*block), block)
        return seen

    blocks = list(chunk_blocks(rows, columns, chunk_cell(rows, columns), 2 if a.is_complex() else 1))
    bands = _compare_bands(blocks, a.numel(), whole_rows=a.ndim > 1 or columns <= TOTALS_CLASSES)
    totals, *others = _compare_map(look, bands)
    for other in others:
        totals.take(other)
    return _compare_record(totals, LeafDiff(path, BEYOND, "", dtype, shape, a.numel()), a, b)


def _compare_number(diff: LeafDiff, a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype) -> LeafDiff:
    """A number of Python's has as many digits as what it was computed in, which is `dtype`."""
    near = compare_leaf(diff.path, a.real.to(dtype), b.real.to(dtype))
    name = str(dtype).removeprefix("torch.")
    return replace(diff, dtype=name, max_ulp=near.max_ulp, p99_ulp=near.p99_ulp)


def _compare_bands(
    blocks: list[tuple[int, int, int, int]], elements: int, whole_rows: bool
) -> list[list[tuple[int, int, int, int]]]:
    """Runs of blocks of about one size: several for a large leaf, however many threads there are, so that sums are made
    in one order everywhere. `whole_rows`: the largest element of each row is looked for."""
    if elements < COMPARE_LARGE:
        return [blocks]
    rows = [place for place, block in enumerate(blocks) if block[2] == 0 or not whole_rows]
    cuts = sorted({rows[len(rows) * band // COMPARE_BANDS] for band in range(COMPARE_BANDS)})
    return [blocks[start:stop] for start, stop in zip(cuts, [*cuts[1:], len(blocks)])]  # noqa: B905


def _compare_map(look: Callable[[Any], Totals], bands: list[Any]) -> list[Totals]:
    """Every band in a thread of its own as far as torch's number of threads allows."""
    threads = min(len(bands), torch.get_num_threads())
    if threads < 2:
        return [look(band) for band in bands]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(look, bands))


def _compare_aligned(path: str, a: torch.Tensor, b: torch.Tensor, dtype: str) -> LeafDiff:
    """Sparse, quantised and nested tensors by what they store; `elements` counts that."""
    obstacle = align_obstacle(a) or align_obstacle(b)
    if obstacle:
        return LeafDiff(path, INCOMPARABLE, obstacle, dtype)
    shape = (a.size(0),) if a.is_nested else tuple(a.shape)
    words, both = f"dtype {dtype} against {str(b.dtype).removeprefix('torch.')}", Aligned()
    if a.dtype == b.dtype:
        both = align(a, b)
        words = both.words
    if words:
        return LeafDiff(path, BEYOND, words, dtype, shape, noise_multiple=math.inf)
    diff = _compare_tensors(path, both.a, both.b)
    place = both.place(diff.worst_index) if diff.worst_index else ()
    return replace(diff, dtype=dtype, shape=shape, worst_index=place, top1=-1.0, top5=-1.0)


def _compare_record(totals: Totals, diff: LeafDiff, a: torch.Tensor, b: torch.Tensor) -> LeafDiff:
    """The finished measurement of one leaf."""
    count, same = diff.elements, totals.mismatched == 0
    top1, top5 = totals.ranks.shares
    rmse, scale = chunk_root(totals.squares, count), chunk_root(totals.scale, totals.kept)
    index: tuple[int, ...] = ()
    texts = ("", "")
    if not same and totals.worst is not None:
        index = _compare_index(totals.worst, diff.shape)
        texts = (_compare_text(a[index]), _compare_text(b[index]))
    reason = _compare_reason(totals, rmse, scale)
    return replace(
        diff,
        mark=IDENTICAL if same else BEYOND,
        reason=reason,
        noise_multiple=math.inf if reason else 0.0,
        mismatched=totals.mismatched,
        max_abs=totals.max_abs,
        mean_abs=chunk_number((totals.distance[0] / count, totals.distance[1])),
        max_rel=totals.max_rel,
        rmse=rmse,
        scale=scale,
        noise_rms=_compare_ratio(rmse, scale),
        noise_largest=_compare_ratio(totals.max_abs, scale),
        mean_rel=totals.relative / totals.related if totals.related else 0.0,
        max_ulp=totals.max_ulp,
        p99_ulp=totals.p99_ulp,
        allclose=totals.close and not (totals.clashes or totals.nan_a or totals.nan_b),
        cosine=1.0 if same else _compare_cosine(totals),
        snr_db=math.inf if rmse == 0.0 else (20 * math.log10(scale / rmse) if scale / rmse > 0.0 else -math.inf),
        top1=top1,
        top5=top5,
        worst_index=index,
        worst_a=texts[0],
        worst_b=texts[1],
        nan_a=totals.nan_a,
        nan_b=totals.nan_b,
        inf_a=totals.inf_a,
        inf_b=totals.inf_b,
        decades=totals.decades,
        heat=() if same else tuple(map(tuple, totals.heat.tolist())),
        heat_rows=totals.rows,
        heat_columns=totals.columns,
        peak=totals.peak,
    )


def _compare_reason(totals: Totals, rmse: float, scale: float) -> str:
    """Why the leaf is beyond whatever the yardstick; empty when that is the yardstick's question."""
    if not totals.clashes:
        lost = totals.floating and scale == 0.0 and rmse > 0.0
        return "the reference is zero everywhere: no error is small beside it" if lost else ""
    places = f"{totals.clashes} place{'s' if totals.clashes > 1 else ''}"
    found = f"{totals.nan_a} NaN and {totals.inf_a} infinite in the reference, {totals.nan_b} and {totals.inf_b} here"
    return f"{COMPARE_CLASH}{places} where the other side has another value ({found})"


def _compare_ratio(part: float, scale: float) -> float:
    if part == 0.0:
        return 0.0
    return part / scale if scale > 0.0 else math.inf


def _compare_cosine(totals: Totals) -> float:
    """Over elements finite on both sides; 1 when both are zero there, 0 when one is."""
    one, other = totals.norm_a, totals.norm_b
    if one[0] == 0.0 or other[0] == 0.0:
        return 1.0 if one[0] == other[0] else 0.0
    length = math.sqrt(one[0]) * math.sqrt(other[0])
    cosine = chunk_number((totals.inner[0] / length, totals.inner[1] - (one[1] + other[1]) // 2))
    return max(-1.0, min(1.0, cosine))


def _compare_index(place: tuple[int, int], shape: tuple[int, ...]) -> tuple[int, ...]:
    row, column = place
    index = [column] if shape else []
    for size in reversed(shape[:-1]):
        row, rest = divmod(row, size)
        index.append(rest)
    return tuple(reversed(index))


def _compare_text(value: torch.Tensor) -> str:
    """One element at the full precision of its dtype: the shortest digits that read back as the same number."""
    if value.is_complex():
        parts = torch.view_as_real(value.resolve_conj())
        imaginary = _compare_text(parts[1])
        return f"{_compare_text(parts[0])}{'' if imaginary[0] in '+-' else '+'}{imaginary}j"
    number = value.item()
    if not value.is_floating_point() or not math.isfinite(number):
        return str(number)
    for digits in range(1, 17):
        text = f"{number:.{digits}g}"
        if torch.tensor(float(text), dtype=torch.float64, device="cpu").to(value.dtype).item() == number:
            return text
    return repr(number)
