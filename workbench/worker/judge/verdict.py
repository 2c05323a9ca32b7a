"""Owns the verdict: when a measured difference is within the noise, and every constant that decides it.

Carried into a bundle's verify.py: standard library and torch only. Pure: records in, records out; it never
touches a tensor. The rule for floating leaves: an error is within the noise when its RMS is at most
3 times eager's own plus 4 eps, AND its largest element at most 10 times eager's own largest plus 16 eps, all
relative to the RMS of the output. Both are needed: the first alone hides one bad element, the second alone
alarms on scalars. That rule is for errors pooled over many inputs; where one input alone is judged, few elements and
an input that is harder than the usual one are allowed for (`CASE_FACTOR`, `few_elements`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE, LeafDiff, LeafNoise, Yardstick

RMS_FACTOR, RMS_EPS = 3.0, 4.0
LARGEST_FACTOR, LARGEST_EPS = 10.0, 16.0
"""Calibrated on the healthy models of tests/corpus: eager against the same mathematics through other kernels. The
factors stand for the spread of rounding between kernels, the multiples of eps for outputs that eager happens to get
nearly exact: with 8 and 32 a net whose own error is under one eps could hide 15 times that."""

NARROW_RMS_EPS, NARROW_LARGEST_EPS = 1.5, 6.0
"""The same for float16 and below: there the last rounding is most of the error, and kernels approximate in float32. 4
eps of bfloat16 would be 3 % of the output, which torch.testing's own tolerance refuses."""

CHAIN_EPS, CHAIN_LARGEST = 8.0, 3.0
"""What compiled code may be off besides, in eps: the RMS, and how many times that the largest element. Inductor's C++
sums up to 4096 numbers one after the other (torch/_inductor/codegen/cpp.py, `chunk_size`), where torch's own kernels
sum in pairs. The rounding of n like numbers in a row has an RMS of at most √n/6 eps (half a unit of each partial sum,
uniform), 10.7 for 4096; measured were 5.3 to 6.6 after a mean over 4096 pixels, where eager had 0.7 to 0.9. What has a
multiple of 10 without it is refused with it, however small eager's own error is."""

CASE_FACTOR = 2.0
"""Times the RMS of the worst measured input up to which the RMS of one input is noise: two runs that are each as far
off as the worst was stand √2 of it apart, and in models that amplify rounding inputs differ tenfold."""

FEW_Z = 3.72
"""Standard normal quantile of 1 in 10,000: so often may one case of few elements stand out by chance alone."""

LIMIT = RMS_FACTOR
"""The `noise_multiple` up to which a difference is noise under a float64 yardstick; under the others it is 1."""

TOLERANCES = {
    "float16": 1e-3 + 1e-5,
    "bfloat16": 1.6e-2 + 1e-5,
    "float32": 1.3e-6 + 1e-5,
    "float64": 1e-7 + 1e-7,
    "complex32": 1e-3 + 1e-5,
    "complex64": 1.3e-6 + 1e-5,
    "complex128": 1e-7 + 1e-7,
}
"""rtol + atol of torch.testing.assert_close by dtype (torch/testing/_comparison.py, `_DTYPE_PRECISIONS`). Both are
taken relative to the output's own scale, for an absolute tolerance is wrong for outputs of 1e-5 and of 1e12 alike."""

_VERDICT_ORDER = (IDENTICAL, NOISE, INCOMPARABLE, BEYOND)

CaseError = tuple[float, float]
"""Error of one case's leaf, relative to the RMS of its float64 output: (RMS, largest)."""


def tolerance_for(dtype: str) -> float:
    """The tolerance for a dtype without "torch.", relative to the output's scale; eps where torch.testing has none."""
    if dtype in TOLERANCES:
        return TOLERANCES[dtype]
    return verdict_eps(dtype)


def verdict_eps(dtype: str) -> float:
    """Machine epsilon of a floating or complex dtype without "torch."; 0 for integers and booleans."""
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype) or not (kind.is_floating_point or kind.is_complex):
        return 0.0
    return float(torch.finfo(kind).eps)


def judge(diff: LeafDiff, yardstick: Yardstick) -> LeafDiff:
    """Set mark and noise_multiple of a measured difference; may be asked again with another yardstick.

    What values cannot mend stays as compare marked it: another shape or dtype, NaN at other places, nothing to compare.
    Integer and boolean leaves are exact. A leaf that a float64 yardstick does not know, or knows in another dtype, is
    judged by tolerance.
    """
    if diff.mark == INCOMPARABLE or (diff.mark == BEYOND and diff.reason):
        return diff
    if diff.mismatched == 0:
        return replace(diff, mark=IDENTICAL, noise_multiple=0.0, reason="")
    eps = verdict_eps(diff.dtype)
    reason = ""
    if eps == 0.0:
        return replace(diff, mark=BEYOND, noise_multiple=math.inf)
    if yardstick.kind == "given":
        limit, multiple = 1.0, _verdict_quotient(diff.noise_largest, yardstick.tolerance)
    elif _verdict_measured(diff, yardstick):
        noise = yardstick.leaves[diff.path]
        # one scalar near zero has a large relative error without any fault: beside its usual size it is small
        share = diff.scale / noise.scale if 0.0 < diff.scale < noise.scale else 1.0
        rms, largest = diff.noise_rms * share, diff.noise_largest * share
        limit, multiple = LIMIT, noise_multiple(rms, largest, noise, diff.elements)
    else:
        limit, multiple = 1.0, _verdict_by_tolerance(diff)
        if yardstick.kind == "float64":
            reason = f"no float64 noise for this leaf in {diff.dtype}: judged by torch.testing's tolerance"
    if multiple <= limit:
        return replace(diff, mark=NOISE, noise_multiple=multiple, reason=reason)
    return replace(diff, mark=BEYOND, noise_multiple=multiple, reason="")


def yardstick_used(leaves: Iterable[LeafDiff], yardstick: Yardstick) -> Yardstick:
    """The yardstick that `judge` really uses for `leaves`: a float64 one that says nothing about any of them, measured
    in another dtype perhaps, is "tolerance"; where it says nothing about some of them its reason names those."""
    inexact = [leaf for leaf in leaves if verdict_eps(leaf.dtype) > 0.0]
    unknown = [leaf for leaf in inexact if not _verdict_measured(leaf, yardstick)]
    if yardstick.kind != "float64" or not unknown:
        return yardstick
    dtypes = ", ".join(dict.fromkeys(leaf.dtype for leaf in unknown))
    if len(unknown) == len(inexact):
        return Yardstick("tolerance", reason=f"the float64 noise was not measured for these leaves in {dtypes}")
    words = f"judged by tolerance, for their noise was not measured in {dtypes}: "
    words += ", ".join(leaf.path for leaf in unknown[:3]) + (" and others" if len(unknown) > 3 else "")
    return replace(yardstick, reason="; ".join(part for part in (yardstick.reason, words) if part))


def few_elements(elements: int) -> float:
    """How much further than the pooled RMS that of one case of so few elements may stand: 2.8 for one, 1 from 44 on.

    The RMS of n normal errors has the distribution of √(χ²/n), whose quantile is Wilson and Hilferty's (PNAS 17, 1931,
    684): (1 − 2/9n + z √(2/9n))³. The difference of two such errors is √2 larger, which `RMS_FACTOR` holds already.
    """
    part = 2.0 / (9.0 * elements)
    return max(1.0, math.sqrt((1.0 - part + FEW_Z * math.sqrt(part)) ** 3 / 2.0))


def noise_multiple(rms: float, largest: float, noise: LeafNoise, elements: int = 0) -> float:
    """The larger of both criteria on the scale where 3 is the limit; errors relative to the RMS of the output.

    `elements`: of the one case that is judged; 0: the errors are pooled over many cases, as the noise is.
    """
    allowed = RMS_FACTOR * noise.rms
    if elements:
        allowed = max(allowed * few_elements(elements), CASE_FACTOR * noise.worst)
    narrow = noise.eps > 2.0**-20
    by_rms = _verdict_quotient(rms, allowed + ((NARROW_RMS_EPS if narrow else RMS_EPS) + noise.chain) * noise.eps)
    floor = ((NARROW_LARGEST_EPS if narrow else LARGEST_EPS) + CHAIN_LARGEST * noise.chain) * noise.eps
    by_largest = _verdict_quotient(largest, LARGEST_FACTOR * noise.largest + floor)
    return LIMIT * max(by_rms, by_largest)


def pool(errors: Iterable[CaseError], eps: float) -> LeafNoise:
    """One leaf's errors over many cases: RMS of the RMSs, the worst of them, largest of the largest. Cases that are not
    finite (their float64 output has no scale) are left out; `cases` counts the rest."""
    kept = [(rms, largest) for rms, largest in errors if math.isfinite(rms) and math.isfinite(largest)]
    if not kept:
        return LeafNoise(0.0, 0.0, eps, 0)
    top = max(rms for rms, _ in kept) or 1.0  # squares of tiny errors must not vanish
    mean = math.fsum((rms / top) ** 2 for rms, _ in kept) / len(kept)
    worst = max(rms for rms, _ in kept)
    return LeafNoise(top * math.sqrt(mean), max(largest for _, largest in kept), eps, len(kept), worst=worst)


def for_compiled(yardstick: Yardstick) -> Yardstick:
    """The yardstick for compiled code, which sums in longer rows (`CHAIN_EPS`); half precision is summed in float32,
    where that is nothing."""
    if yardstick.kind != "float64":
        return yardstick
    leaves = {
        path: replace(noise, chain=0.0 if noise.eps > 2.0**-20 else CHAIN_EPS)
        for path, noise in yardstick.leaves.items()
    }
    words = f"compiled code sums in longer rows: {CHAIN_EPS:g} eps more"
    return replace(yardstick, leaves=leaves, reason="; ".join(one for one in (yardstick.reason, words) if one))


def pooled(
    eager: Sequence[CaseError], artifact: Sequence[CaseError], eps: float, chain: float = 0.0
) -> tuple[str, float]:
    """Mark and noise multiple (limit 3) of an artifact's leaf over all cases, against eager's own errors, case by case.
    `chain`: as in `LeafNoise`.

    `NOISE` or `BEYOND`; the caller knows whether the bits agree. Cases in which eager itself has no finite error are
    left out on both sides; when none is left there is nothing to compare with: `INCOMPARABLE`.
    """
    pairs = [pair for pair in zip(eager, artifact) if math.isfinite(pair[0][0]) and math.isfinite(pair[0][1])]  # noqa: B905
    if len(eager) != len(artifact) or not pairs:
        return INCOMPARABLE, 0.0
    if any(not (math.isfinite(rms) and math.isfinite(largest)) for _, (rms, largest) in pairs):
        return BEYOND, math.inf
    ours = pool([error for _, error in pairs], eps)
    own = replace(pool([error for error, _ in pairs], eps), chain=chain)
    multiple = noise_multiple(ours.rms, ours.largest, own)
    return (NOISE if multiple <= LIMIT else BEYOND), multiple


def judge_all(structure: str, leaves: Sequence[LeafDiff], yardstick: Yardstick) -> tuple[str, tuple[LeafDiff, ...]]:
    """Judge every leaf; the mark of the whole is the worst, or `BEYOND` when the trees differ, or `INCOMPARABLE`
    when there is no leaf at all. `structure` is what compare said about the trees."""
    judged = tuple(judge(leaf, yardstick) for leaf in leaves)
    if structure:
        return BEYOND, judged
    return worst_mark(leaf.mark for leaf in judged), judged


def worst_mark(marks: Iterable[str]) -> str:
    """`BEYOND`, then `INCOMPARABLE`, `NOISE`, `IDENTICAL`; `INCOMPARABLE` when there are none: nothing is no pass."""
    found = [mark if mark in _VERDICT_ORDER else INCOMPARABLE for mark in marks]
    return max(found, key=_VERDICT_ORDER.index) if found else INCOMPARABLE


def _verdict_measured(diff: LeafDiff, yardstick: Yardstick) -> bool:
    """Whether the yardstick holds float64 noise of this leaf, measured in the leaf's own dtype."""
    noise = yardstick.leaves.get(diff.path) if yardstick.kind == "float64" else None
    return noise is not None and noise.eps == verdict_eps(diff.dtype)


def _verdict_by_tolerance(diff: LeafDiff) -> float:
    """RMS error relative to the RMS of the reference, largest relative to its largest element: 1 is the limit.

    The largest error is put beside the largest element because torch.testing's rtol grows with the element: half a unit
    in the last place of one outlying logit is no fault.
    """
    tolerance = tolerance_for(diff.dtype)
    by_rms = _verdict_quotient(diff.noise_rms, tolerance)
    by_largest = _verdict_quotient(diff.max_abs, tolerance * max(diff.peak, diff.scale))
    return max(by_rms, by_largest)


def _verdict_quotient(value: float, limit: float) -> float:
    if value == 0.0:
        return 0.0
    if math.isnan(value) or math.isnan(limit) or limit <= 0.0:
        return math.inf
    return value / limit if math.isfinite(value) else math.inf
