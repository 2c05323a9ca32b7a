"""How well the verdicts hold: every healthy model and every seeded fault, as a table.

    python -m tests.corpus [--full] [--only NAME]... [--healthy] [--faults] [--json FILE]

Without --full one seed and the first dtype of each model; with it every dtype, several seeds, the models of timm and
transformers, and proofs of artifacts. Exit code 1: a false alarm, or a fault that was missed or blamed wrongly.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.corpus import zoo
from tests.corpus.cases import Fault, Healthy
from tests.corpus.engine import Catch, Verdict, catch, healthy_verdicts
from tests.corpus.faults_table import FAULTS
from tests.corpus.healthy import HEALTHY
from tests.corpus.smallest import PROBED, Smallest, smallest

SEEDS_FULL = 3
"""Of the first dtype with --full; the other dtypes are asked under one seed, each its own."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="every dtype, more seeds, timm and transformers, proofs")
    parser.add_argument("--only", action="append", metavar="NAME", help="this model or fault; may be repeated")
    parser.add_argument("--healthy", action="store_true", help="healthy models alone")
    parser.add_argument("--faults", action="store_true", help="faults alone")
    parser.add_argument("--json", type=Path, help="write every verdict to this file")
    given = parser.parse_args()
    found: list[Verdict] = []
    caught: list[Catch] = []
    least: list[Smallest] = []
    if not given.healthy:
        caught = faults(FAULTS, given.only)
        right, seen = sum(one.right for one in caught), sum(one.caught for one in caught)
        print(f"\n{seen} of {len(caught)} seeded faults caught, {right} of them with the right cause.\n")
    if not given.faults:
        cases: tuple[Healthy, ...] = HEALTHY
        if given.full or given.only:
            cases += () if zoo.missing() else zoo.ZOO
        found = healthy([case for case in cases if not given.only or case.title in given.only], given.full)
        print(summary(found) + (f"\nWithout timm and transformers: {zoo.missing()}." if zoo.missing() else ""))
        probed = [case for case in HEALTHY if case.title in (given.only or PROBED)]
        least = [one for case in probed for dtype in case.dtypes[:2] if (one := smallest(case, dtype)) is not None]
        print("\n" + "\n".join(map(smallest_line, least)))
    if given.json:
        record = {
            "faults": [{**vars(one), "right": one.right} for one in caught],
            "healthy": [{**vars(one), "alarm": one.alarm, "spoken": one.spoken} for one in found],
            "smallest": [vars(one) for one in least],
        }
        given.json.write_text(json.dumps(record, indent=1))
    sys.exit(any(one.alarm for one in found) or not all(one.right for one in caught))


def faults(cases: Sequence[Fault], only: list[str] | None) -> list[Catch]:
    """What was said of each; a line a fault as it goes."""
    found = []
    for case in cases:
        if only and not {case.title, case.title.partition("/")[0]} & set(only):
            continue
        one = catch(case)
        found.append(one)
        words = "caught, cause right" if one.right else f"caught, not said: {one.missing}" if one.caught else "MISSED"
        print(f"{one.fault:34} {words}" + ("" if one.right else f"\n    {one.said}"), flush=True)
    return found


def healthy(cases: Sequence[Healthy], full: bool) -> list[Verdict]:
    """Every verdict on these models; a line a model as it goes."""
    found: list[Verdict] = []
    for case in cases:
        for place, dtype in enumerate(case.dtypes if full else case.dtypes[:1]):
            for seed in range(SEEDS_FULL) if full and not place else [place]:
                began = time.monotonic()
                mine = list(healthy_verdicts(case, dtype, seed, proofs=full and seed == 0))
                found += mine
                print(line(mine, time.monotonic() - began), flush=True)
                for one in mine:
                    if one.alarm:
                        print(f"    ✗ {one.question}: {one.answer} {one.closeness:.2f}: {one.words}", flush=True)
    return found


def smallest_line(one: Smallest) -> str:
    return (
        f"{one.model:10} {one.dtype:9} eager's own error {one.noise:6.2f} eps; smallest fault always seen: "
        f"spread over all elements {one.spread:g} times that, in one element {one.one:g} times its largest"
    )


def line(mine: Sequence[Verdict], seconds: float) -> str:
    spoken = [one for one in mine if one.spoken]
    if not spoken:
        return f"{mine[0].model}: no verdict"
    nearest = max(spoken, key=lambda one: one.closeness)
    alarms = sum(one.alarm for one in mine)
    return (
        f"{nearest.model:22} {nearest.dtype:9} seed {nearest.seed}  {len(spoken):3} verdicts  "
        f"{alarms or 'no'} alarm{'s' * (alarms != 1)}  nearest {nearest.closeness:5.2f} of the limit "
        f"({nearest.question}, {nearest.yardstick})  {seconds:.1f} s"
    )


def summary(found: Sequence[Verdict]) -> str:
    """False alarms of how many, and how far each kind of verdict stood from one."""
    spoken = [one for one in found if one.spoken]
    kinds: dict[str, list[Verdict]] = defaultdict(list)
    for one in spoken:
        kinds[one.question].append(one)
    lines = ["", f"{'verdict':28} {'given':>5} {'alarms':>6}  nearest to alarm (1 is the limit)"]
    for question, mine in kinds.items():
        nearest = max(mine, key=lambda one: one.closeness)
        place = f"{nearest.model} {nearest.dtype}" if nearest.closeness else ""
        alarms = sum(one.alarm for one in mine)
        lines.append(f"{question:28} {len(mine):5} {alarms:6}  {nearest.closeness:5.2f}  {place}")
    alarms = sum(one.alarm for one in spoken)
    silent = len(found) - len(spoken)
    lines.append(f"\n{alarms} false alarms in {len(spoken)} verdicts on healthy models; {silent} more were skipped.")
    return "\n".join(lines)
