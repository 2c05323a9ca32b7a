"""What every check shares: the model run under the bench's modes, within a budget, under what was declared.

It never judges a question itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.model import Modes
from workbench.protocol.outside import Baseline
from workbench.protocol.policy import Policy
from workbench.protocol.runs import BEYOND, INCOMPARABLE, NOISE, LeafDiff, Yardstick
from workbench.protocol.spec import COMPLEX
from workbench.worker.bench.inputs import Argument, Example
from workbench.worker.bench.modes import generators_kept, running
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.bench.words import some
from workbench.worker.job import Job
from workbench.worker.judge import leak
from workbench.worker.judge.checks_time import CALLS, LARGE, LONG, Calls, TooLong
from workbench.worker.judge.compare import compare
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.pace import synchronizer
from workbench.worker.judge.store import output_bytes
from workbench.worker.judge.switches import Switches
from workbench.worker.judge.taken import Answer, taken_apart
from workbench.worker.judge.verdict import judge_all, worst_mark, yardstick_used

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench


@dataclass
class Subject:
    """One check being worked on."""

    id: str
    bench: Bench
    yardstick: Yardstick
    job: Job
    budget: float
    """Seconds."""
    snapshot: Snapshot
    """The model as it was before the check."""
    policy: Policy = field(default_factory=Policy)
    against: Baseline | None = None
    """The last release, where one is asked about."""
    started: float = field(default_factory=time.monotonic)
    findings: list[Finding] = field(default_factory=list)
    excused: dict[str, None] = field(default_factory=dict)
    """What was declared and made a difference here; every row says so."""
    last: float = 0.0
    """Seconds of the last forward."""
    answered: int = 0
    """Forwards of the bench's model that came back."""
    vast: bool = False
    """An answer had leaves of which only a part was kept."""
    size: int = 0
    """Bytes of the last output, where its forward took long."""
    left: dict[str, str] = field(default_factory=dict)
    """Switches of the thread that a forward of the bench's model left otherwise than it found them: name → how."""

    def __post_init__(self) -> None:
        if (known := CALLS.get(self.bench.model)) is not None and known.count > 1:  # the first may have compiled
            self.last, self.size = known.fastest, known.size
        self.example = within(self.bench.example, self.policy.domain)
        self.args, self.kwargs = self.bench.args, self.bench.kwargs
        if self.policy.domain:
            self.args, self.kwargs = self.example.sample(self.bench.recipe.seed)

    def passed(self, evidence: str) -> CheckRow:
        return CheckRow(self.id, "pass", evidence)

    def failed(self, evidence: str, cause: str = "", remedy: str = "") -> CheckRow:
        return CheckRow(self.id, "fail", evidence, cause, remedy)

    def skipped(self, reason: str, remedy: str = "") -> CheckRow:
        return CheckRow(self.id, "skip", reason, remedy=remedy)

    def unanswered(self, left_out: str) -> CheckRow:
        """The row of a model of whose answer nothing can be compared; `left_out`: sentences that say of what."""
        words = f"The model answers with no tensor and no number that can be compared.{left_out}"
        remedy = (
            f"Return what is computed as tensors, alone or in containers or objects; or leave it out: --skip {self.id}."
        )
        return CheckRow(self.id, "error", words, remedy=remedy)

    def found(self, id: str, words: str, remedy: str = "") -> None:
        """Something worth knowing that does not vote."""
        self.findings.append(Finding(id, words, remedy))

    def excuse(self, words: str) -> None:
        """Something was judged otherwise because it was declared."""
        self.excused[words] = None

    @property
    def seed(self) -> int | None:
        """Where every run begins its generators when randomness is no question: declared stochastic; None: as it is."""
        return self.bench.recipe.seed if self.policy.stochastic else None

    def seed_of(self, number: int) -> int:
        """The seed of the `number`th sample of the inputs; 0 is the example's own."""
        return self.bench.recipe.seed + number

    def forward(
        self,
        args: Any = None,
        kwargs: Any = None,
        seed: int | None = None,
        model: nn.Module | None = None,
        modes: Modes | None = None,
        keep_state: bool = False,
    ) -> Any:
        """The output of one forward of the bench's model in its modes, on copies of its inputs, where not told others.

        With `seed` every generator starts there and is put back afterwards. State that was declared to move is put
        back first, unless `keep_state`.
        """
        self.job.raise_if_cancelled()
        if self.policy.mutates and model is None and not keep_state:
            self.snapshot.put_back(self.policy.may_move)
        args = self.args if args is None else args
        kwargs = self.kwargs if kwargs is None else kwargs
        args, kwargs = map_tensors(args, fresh), map_tensors(kwargs, fresh)
        kept = contextlib.nullcontext() if seed is None else generators_kept(seed)
        model = model or self.bench.model
        modes = modes or self.bench.modes
        wait = synchronizer(modes.device) or _done
        with kept, running(modes):
            wait()
            found = Switches(of_thread=True)
            began = time.perf_counter()
            output = model(*args, **kwargs)
            wait()  # an accelerator has only been told to work when the call returns
            self.last = time.perf_counter() - began
            self.left.update(found.moved())
            found.put()
            self.size = output_bytes(flatten(output)) if self.last > LONG else 0
            CALLS[model] = CALLS.get(model, Calls(self.last)).and_one(self.last, self.size)
            self.answered += model is self.bench.model
            return output

    def answer(
        self, args: Any = None, kwargs: Any = None, seed: int | None = None, model: nn.Module | None = None
    ) -> Answer:
        """`forward`, taken apart and copied, thinned where it is vast."""
        answer = taken_apart(self.forward(args, kwargs, seed, model))
        self.vast = self.vast or bool(answer.thinned)
        return answer

    def compared(self, first: Answer, other: Answer) -> Comparison:
        """Judge `other` by `first`; a part that nobody could compare accuses no model, a declared discrete one is
        judged by the share that agrees."""
        structure, leaves = compare(first, other)
        left_out = [f"{leaf.path} ({leaf.reason})" for leaf in leaves if leaf.mark == INCOMPARABLE]
        mark, kept = judge_all(structure, [leaf for leaf in leaves if leaf.mark != INCOMPARABLE], self.yardstick)
        if self.policy.discrete and not structure:
            kept = tuple(self._discrete(leaf) for leaf in kept)
            mark = worst_mark(leaf.mark for leaf in kept)
        words = f" Not compared: {some(left_out, 4)}." if left_out else ""
        return Comparison(structure, mark, kept, words + first.thinned, self.yardstick)

    def _discrete(self, leaf: LeafDiff) -> LeafDiff:
        least = self.policy.discrete.get(leaf.path)
        if least is None or leaf.mark != BEYOND or not leaf.elements or not leaf.mismatched:
            return leaf
        agreement = 1 - leaf.mismatched / leaf.elements
        self.excuse(f"{leaf.path} is discrete, at least {least:.4g} must agree: {agreement:.4g} did")
        return dataclasses.replace(leaf, mark=NOISE, noise_multiple=1.0) if agreement >= least else leaf

    def room_for(self, forwards: int) -> bool:
        """Whether so many more forwards like the last one fit into the budget."""
        return self.spent + forwards * self.last / self.budget <= 1.0 if self.budget else False

    def slow(self, forwards: int) -> CheckRow:
        """The row of a check that does not fit into its budget."""
        size = f", with an output of {leak.size(self.size)}" if self.vast or self.size > LARGE else ""
        reason = f"One forward takes {self.last:.1f} s{size}: {forwards} of them do not fit into {self.budget:g} s."
        return self.skipped(reason, "Give it more time: --timeout.")

    def need(self, forwards: int, of: int = 0) -> None:
        """Raises `TooLong` where so many more forwards, of `of` in all, do not fit into the budget; before the first,
        where an earlier check has seen how long they take."""
        if self.last > LONG and not self.room_for(forwards):
            raise TooLong(of or forwards)

    def times(self, most: int, least: int = 1) -> Iterator[int]:
        """0, 1, … `most` - 1, ending early (never before `least`) when four fifths of the budget are spent or one more
        forward would not fit. Raises `TooLong` where `least` forwards do not."""
        for number in range(most):
            if number >= least and (self.spent > 0.8 or not self.room_for(1)):
                return
            if least > 1 and number < least:
                self.need(least - number, least)
            self.job.progress(f"check {self.id}", number, most)
            yield number

    @property
    def spent(self) -> float:
        """Share of the budget that is spent."""
        return (time.monotonic() - self.started) / self.budget if self.budget else 1.0


def _done() -> None:
    """A CPU has nothing left to wait for."""


def within(example: Example, domain: dict[str, tuple[float, float]]) -> Example:
    """The example with samples drawn from the declared domain of its inputs, those that are given as values apart."""
    if not domain:
        return example

    def narrowed(one: Argument) -> Argument:
        if one.name not in domain or one.spec is None or one.spec.dtype in ("bool", *COMPLEX):
            return one
        low, high = domain[one.name]
        return dataclasses.replace(one, spec=dataclasses.replace(one.spec, low=low, high=high))

    found = example.mapped(narrowed)
    found.place(example.dtype, example.device)
    return found


@dataclass(frozen=True)
class Comparison:
    """Two answers compared, as far as they can be."""

    structure: str
    """What differs in the trees; empty: nothing."""
    mark: str
    leaves: tuple[LeafDiff, ...]
    """Those that can be compared, judged."""
    left_out: str
    """Sentences that name the parts that cannot be (opaque objects, sparse tensors) or were not whole; or empty."""
    yardstick: Yardstick
    """What they were judged with."""

    @property
    def nothing(self) -> bool:
        """There was nothing to compare."""
        return not self.leaves and not self.structure

    @property
    def differs(self) -> bool:
        """Beyond the noise."""
        return self.mark in (BEYOND, INCOMPARABLE)

    @property
    def words(self) -> str:
        """The leaf that stands furthest, in numbers."""
        return self.structure or worst_words(self.leaves, self.yardstick)


def worst_words(leaves: tuple[LeafDiff, ...], yardstick: Yardstick) -> str:
    """The leaf that stands furthest, in numbers, and the yardstick that it was judged with."""
    leaf = max(leaves, key=lambda one: (one.mark == BEYOND, one.mark == INCOMPARABLE, one.noise_multiple))
    if leaf.reason:
        return f"{leaf.path}: {leaf.reason}"
    place = f" at {list(leaf.worst_index)}: {leaf.worst_a} → {leaf.worst_b}" if leaf.worst_a else ""
    return f"{leaf.path} max|Δ| {leaf.max_abs:.3g}{place}, {multiple_words(leaf, yardstick)}"


def multiple_words(leaf: LeafDiff, yardstick: Yardstick) -> str:
    """ "0.4× the noise": how far a leaf stands, in what it was really measured with; eager's own noise where known."""
    return f"{leaf.noise_multiple:.3g}× {_UNITS[yardstick_used([leaf], yardstick).kind]}"


_UNITS = {
    "float64": "the noise",
    "tolerance": "torch.testing's tolerance, for the noise is not known",
    "given": "--tolerance",
}


def fresh(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of an input, for one forward to do with what it likes."""
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
