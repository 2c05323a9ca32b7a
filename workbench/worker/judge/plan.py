"""Which cases two sides are compared on: seeds, batch sizes, scales, signs. Pure; no tensor is made here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

CASES = 16
"""At least so many where memory allows: the verdict pools over them."""

FEWEST = 4
"""Even for enormous inputs."""

BUDGET = 64 << 20
"""Bytes of all cases together: what a bundle may bring along."""

SEED_OFFSET = 1000
"""Cases have other seeds than the example."""

NORMAL, NEGATIVE, POSITIVE, ZEROS, GIVEN = "normal", "negative", "positive", "zeros", "given"
NAN = "nan"
"""One element of every floating input without a declared range is NaN; no plan has it by itself."""

_SHAPED = (
    ("typical", 1.0, NORMAL),
    (1, 1.0, NORMAL),
    (2, 1.0, NORMAL),
    (3, 1.0, NORMAL),
    (5, 1.0, NORMAL),
    (7, 1.0, NORMAL),
    ("large", 1.0, NORMAL),
    ("low", 1.0, NORMAL),
    ("high", 1.0, NORMAL),
    ("typical", 0.01, NORMAL),
    ("typical", 10.0, NORMAL),
    ("typical", 100.0, NORMAL),
    ("typical", 1.0, NEGATIVE),
    ("typical", 1.0, POSITIVE),
    ("typical", 1.0, ZEROS),
    (3, 10.0, NEGATIVE),
    (2, 0.01, POSITIVE),
    (1, 100.0, NORMAL),
    ("typical", 1.0, NORMAL),
)
"""(batch, scale, kind): sizes that a contract breaks at, scales and signs that a baked branch hides behind."""


@dataclass(frozen=True)
class Case:
    """One input to make."""

    seed: int
    batch: int
    """Rows; 0: the example's own sizes."""
    scale: float
    kind: str
    extreme: str = ""
    """"low" or "high": other dynamic dimensions are at that end of their range."""
    sizes: tuple[tuple[str, int], ...] = ()
    """Sizes of other dynamic dimensions by name; those that are not named are as in the example."""


def batch_limits(
    batch: int, declared: tuple[int, int] | None, accepts: Callable[[int], str]
) -> tuple[int, int | None, str]:
    """(smallest, largest or None, why it is not free) number of rows that cases may have.

    `accepts`: empty when the model answers so many rows, otherwise what it raised.
    """
    if not batch:
        return 0, 0, "no input has a batch dimension"
    if declared is not None:
        return declared[0], declared[1], "" if declared[1] > declared[0] else "one size was declared"
    refused = accepts(batch + 1)
    if refused:
        return batch, batch, f"eager refuses {batch + 1} rows: {refused}"
    low = 1 if not accepts(1) else min(2, batch)
    return low, None, ""


def plan(
    seed: int, batch: int, low: int, high: int | None, row_bytes: int, case_bytes: int, given: tuple[int, ...] = (),
    budget: int = BUDGET, fewest: int = FEWEST,
) -> list[Case]:  # fmt: skip
    """The cases for a batch that may be `low`..`high` (None: no limit) and typically is `batch`.

    row_bytes: golden bytes of one row of a case; case_bytes: of one case whatever its batch. `given`: seeds
    of real samples, each of which is a case as it is. Never more than `budget` bytes, unless `fewest` cases need them.
    """
    typical = min(max(batch, low), high) if high is not None else max(batch, low)
    fitting = _largest_fitting(typical, low, row_bytes, case_bytes, budget)
    typical = min(typical, fitting)
    large = max(17, 2 * typical + 1)
    sizes = {
        "typical": typical,
        "large": min(large, fitting, high if high is not None else large),
        "low": low or 1,
        "high": min(high, fitting) if high is not None else typical,
    }
    cases: list[Case] = []
    cases += [Case(real, batch, 1.0, GIVEN) for real in given]
    for wanted, scale, kind in _SHAPED:
        rows = sizes[wanted] if isinstance(wanted, str) else wanted
        rows = min(max(rows, low), fitting)
        rows = rows if high is None else min(rows, high)
        extreme = wanted if isinstance(wanted, str) and wanted in ("low", "high") else ""
        cases.append(Case(seed + SEED_OFFSET + len(cases), rows if batch else 0, scale, kind, extreme))
    return _bounded(cases, row_bytes, case_bytes, budget, fewest)


def _largest_fitting(typical: int, low: int, row_bytes: int, case_bytes: int, budget: int) -> int:
    """The most rows of a single case: one may take a quarter of the budget, but the smallest batch must go."""
    if not row_bytes:
        return 1 << 30
    return max((budget // 4 - case_bytes) // row_bytes, low, 1)


def _bounded(cases: list[Case], row_bytes: int, case_bytes: int, budget: int, fewest: int) -> list[Case]:
    """Shrink batches, largest first, then drop cases from the end, until all of it fits the budget."""

    def cost(one: Case) -> int:
        return case_bytes + row_bytes * max(one.batch, 1)

    smallest = min((one.batch for one in cases if one.batch), default=0)
    for limit in (16, 8, 4, 2):
        if sum(map(cost, cases)) <= budget:
            return cases
        rows = max(limit, smallest)
        cases = [one if one.batch <= rows or one.kind == GIVEN else _with_batch(one, rows) for one in cases]
    while len(cases) > fewest and sum(map(cost, cases)) > budget:
        cases.pop()
    return cases


def _with_batch(case: Case, batch: int) -> Case:
    return replace(case, batch=batch)
