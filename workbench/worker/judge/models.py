"""Two models, or one under two settings, on the very same inputs: B judged by A.

Owns the order: A is built, asked and let go of, then B, so that one model and its float64 copy are in memory at a
time, and two files of one name never meet. Only when the mark is beyond are both built again, where they fit, to see
where they part (`parting.py`). Marks are `verdict.py`'s, pooling is `cases.py`'s.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

import torch

from workbench.protocol.compare import Compare, Compared, LeafCompared, SideInfo
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import ModeChange
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE, Yardstick
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.failing import first_line
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.answers import LARGE, REPEATS, Answers, where
from workbench.worker.judge.cases import LeafVerdict, Measured, judge_leaves, measured
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.metrics import Metrics
from workbench.worker.judge.parting import Parting, WorstCase, part
from workbench.worker.judge.plan import Case
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.standing import (
    OTHER_SOURCES,
    Call,
    Portrait,
    Standing,
    differences,
    fingerprints,
    naming,
    stand,
)
from workbench.worker.judge.steady import NOTHING, unsteady
from workbench.worker.judge.store import output_bytes
from workbench.worker.judge.verdict import pool, verdict_eps, worst_mark


def compare_models(request: Compare, job: Job) -> Compared:
    """Ask A, then B, and judge. Raises `WorkbenchError` for a side that does not load or does not run on A's inputs."""
    began = time.monotonic()
    first = stand("A", request.a, job)
    work = _Comparison(request, job, first)
    try:
        work.ask_a(first)
        if not work.obstacle.words:
            shared = first if work.shared else None
            del first
            work.ask_b(shared)
            del shared
        return work.result(began)
    finally:
        work.close()


class _Comparison:
    """One comparison in progress."""

    def __init__(self, request: Compare, job: Job, first: Standing) -> None:
        self._request, self._job = request, job
        self.obstacle = NOTHING
        """Why the answers are not comparable at all, and what mends it."""
        self._answers = Answers(first, job, "--tolerance" if request.tolerance else "")
        self._results: list[Measured] = []
        self._metrics = Metrics(request.metrics)
        self._infos: list[SideInfo] = []
        self._portraits: list[Portrait] = []
        a, b = request.a, request.b
        self._one_model = a.recipe == b.recipe and a.state == b.state
        self.shared = self._one_model and _placed(a.changes) == _placed(b.changes)
        """B is A's very model: no cast or move lies between them that would have rounded its parameters."""

    def ask_a(self, side: Standing) -> None:
        """A's answers to every case that it takes, and the float64 ones."""
        tensors = {} if self._one_model else fingerprints(side.model, self._job)
        self._answers.collect()
        self.obstacle = self._answers.obstacle
        self._remember(side, tensors)

    def ask_b(self, shared: Standing | None) -> None:
        """B's answers to the same inputs, measured against A's one by one. `shared`: A, whose model is B's too."""
        side = self._stand(shared)
        tensors = {} if self._one_model else fingerprints(side.model, self._job)
        casts = self._infos[0].modes.dtype != side.modes.dtype
        kept: list[tuple[Call, int, Flat]] = []
        with untouched_model(side.model):
            for place, case in enumerate(self._answers.cases):
                self._job.progress("B answers", place, len(self._answers.cases))
                inputs = side.given(self._answers.inputs(place), case.seed)
                answer = self._answer_of_b(side, inputs, case, place)
                if answer is None:
                    continue
                self.obstacle = unsteady(side, [(inputs, case.seed, answer)], self._job, luck=True)
                if self.obstacle.words:
                    break
                self._measure(place, case, answer, casts)
                if len(kept) < REPEATS and output_bytes(answer) < LARGE:
                    kept.append((inputs, case.seed, answer))
        if not self.obstacle.words:
            self.obstacle = unsteady(side, kept, self._job)
        self._remember(side, tensors)

    def close(self) -> None:
        """Let go of A's answers."""
        self._answers.close()

    def _stand(self, shared: Standing | None) -> Standing:
        if shared is not None:
            return Standing("B", self._request.b, shared.built, self._answers.example.copy(), self._job)
        gc.collect()
        return stand("B", self._request.b, self._job, self._answers.example)

    def _remember(self, side: Standing, tensors: dict[str, bytes]) -> None:
        self._infos.append(side.info)
        self._portraits.append(side.portrait(tensors))

    def _answer_of_b(self, side: Standing, inputs: Call, case: Case, place: int) -> Flat | None:
        """None when it raised on inputs that A takes; when it does so on the first, they do not fit at all."""
        began = time.monotonic()
        try:
            flat = side.answer(inputs, case.seed)
        except (Cancelled, KeyboardInterrupt):
            raise
        except Exception as problem:
            if place == 0:
                with naming("B"):
                    raise WorkbenchError(explain(problem, side.model, *inputs)) from problem
            self._results.append(Measured(place, case.batch, raised=first_line(problem)))
            return None
        side.seconds = side.seconds or time.monotonic() - began
        return flat

    def _measure(self, place: int, case: Case, answer: Flat, casts: bool) -> None:
        eager = self._answers.eager(place)
        leaves = [(path, leaf.detach().cpu()) for path, leaf in answer.leaves]
        if casts:  # the dtype is what was asked for: values are judged as those that would stand in A's place
            wanted = {path: leaf.dtype for path, leaf in eager.leaves}
            leaves = [(path, _cast(leaf, wanted.get(path))) for path, leaf in leaves]
        answer = Flat(answer.structure, leaves, answer.opaque)
        self._metrics.observe(place, eager, answer)
        self._results.append(measured(Measured(place, case.batch), eager, answer, self._answers.exact(place)))

    # the verdict

    def result(self, began: float) -> Compared:
        """Everything together; `began`: when, by the monotonic clock."""
        yardstick = self._yardstick()
        leaves = judge_leaves(self._results, yardstick)
        mark, cause = self._mark(leaves)
        known = differences(*self._portraits) if len(self._portraits) == 2 else []
        parting = self._parting(mark, leaves)
        if mark == BEYOND and not cause:
            acting = [words for words in known if not words.startswith(OTHER_SOURCES)]
            seen = parting.table.words if parting.table is not None and parting.table.starts >= 0 else ""
            cause = (
                " ".join(acting)
                or seen
                or " ".join(known)
                or ("Nothing is known in which they differ: the same model in the same modes does not answer the same.")
            )
        rows = self._metrics.rows()
        held = mark in (IDENTICAL, NOISE) and all(row.status in ("pass", "skip") for row in rows)
        infos = (self._infos * 2)[:2] if len(self._infos) == 1 else self._infos
        return Compared(
            "pass" if held else "fail", mark, infos[0], infos[1],
            tuple(self._compared(leaf) for leaf in leaves), len(self._results),
            max((leaf.multiple for leaf in leaves), default=0.0), yardstick.kind, yardstick.reason, tuple(known),
            cause, self.obstacle.remedy, tuple(self._answers.notes), time.monotonic() - began,
            parting.table, parting.left_out, rows, self._metrics.findings(),
        )  # fmt: skip

    def _mark(self, leaves: list[LeafVerdict]) -> tuple[str, str]:
        """The mark of the whole, and the cause where it is seen in the answers themselves."""
        if self.obstacle.words:
            return INCOMPARABLE, self.obstacle.words
        for one in self._results:
            if one.raised:
                return BEYOND, f"B raises where A answers ({where(self._answers.cases[one.index])}): {one.raised}"
            if one.structure:
                return BEYOND, f"B answers in another form ({where(self._answers.cases[one.index])}): {one.structure}."
        mark = worst_mark(leaf.mark for leaf in leaves)
        wrong = [one for one in self._results if one.nonfinite]
        if wrong:
            place = where(self._answers.cases[wrong[0].index])
            return mark, f"Not the same values are finite ({place}): {wrong[0].nonfinite}."
        closed = [leaf for leaf in leaves if leaf.mark == INCOMPARABLE]
        if mark == INCOMPARABLE and closed:
            return mark, f"{closed[0].path} cannot be compared: {closed[0].worst.reason}."
        return mark, ""

    def _parting(self, mark: str, leaves: list[LeafVerdict]) -> Parting:
        """Where the two part, on the worst case of the worst leaf; nothing where answers have not one form."""
        beyond = [leaf for leaf in leaves if leaf.mark == BEYOND]
        if mark != BEYOND or not beyond or any(one.structure for one in self._results):
            return Parting()
        place = max(beyond, key=lambda leaf: leaf.multiple).case
        case = self._answers.cases[place]
        worst = WorstCase(self._answers.inputs(place), case.seed, where(case), self._answers.example)
        return part(self._request, self._portraits, worst, self.shared, self._job)

    def _yardstick(self) -> Yardstick:
        if self._request.tolerance:
            return Yardstick("given", tolerance=self._request.tolerance, reason="--tolerance")
        owns: dict[str, list[tuple[float, float]]] = {}
        dtypes = {leaf.path: leaf.dtype for one in self._results for leaf in one.leaves}
        for one in self._results:
            for path, (own, _) in (one.errors or {}).items():
                owns.setdefault(path, []).append(own)
        if self._answers.unreal or not owns:
            return Yardstick("tolerance", reason=self._answers.unreal or "no output leaf has float64 noise")
        return Yardstick("float64", {path: pool(errors, verdict_eps(dtypes[path])) for path, errors in owns.items()})

    def _compared(self, leaf: LeafVerdict) -> LeafCompared:
        found = [one for result in self._results for one in result.leaves if one.path == leaf.path]
        rows = sum(one.heat_rows for one in found if one.top1 >= 0)

        def share(name: str) -> float:
            agreeing = [(getattr(one, name), one.heat_rows) for one in found if getattr(one, name) >= 0]
            return sum(part * count for part, count in agreeing) / rows if agreeing else -1.0

        same = sum(one.mark == IDENTICAL for one in found)
        case = where(self._answers.cases[leaf.case])
        return LeafCompared(leaf.worst, case, leaf.yardstick, len(found), same, share("top1"), share("top5"))


def _placed(changes: Sequence[ModeChange]) -> tuple[str, str]:
    """(dtype, device) after all changes."""
    dtype = device = ""
    for change in changes:
        dtype = dtype if change.dtype is None else change.dtype
        device = device if change.device is None else change.device
    return dtype, device


def _cast(leaf: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    castable = not (leaf.is_mkldnn or leaf.is_quantized) and leaf.is_floating_point()
    return leaf.to(dtype) if dtype is not None and castable and dtype.is_floating_point else leaf
