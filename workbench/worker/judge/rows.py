"""One row of the run list: what is known about a run or a repeat, and its record for the face.

Owns the row's numbers and how an output is judged against the reference. It never runs the model and never decides
when to look; `firing.py` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from workbench.protocol.model import Modes
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, CudaUse, RunRow, Yardstick
from workbench.worker.judge.compare import compare
from workbench.worker.judge.latency import Times
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.replay import Record
from workbench.worker.judge.store import same_bits
from workbench.worker.judge.verdict import judge_all, worst_mark, yardstick_used

DEFAULT_YARDSTICK = Yardstick("tolerance", reason="the float64 yardstick has not been measured yet")

FIRST_CALL = 5.0
"""Times the median beyond which the first call is worth a word."""


@dataclass(frozen=True)
class Judged:
    """One output against the reference, all leaves together."""

    mark: str = ""
    max_abs: float = 0.0
    noise_multiple: float = 0.0
    mismatched: int = 0
    elements: int = 0
    note: str = ""
    yardstick: str = ""
    """What `noise_multiple` counts; see `RunRow.yardstick`."""

    @property
    def differs(self) -> bool:
        return self.mark not in ("", IDENTICAL)

    def worse_than(self, other: Judged) -> bool:
        """True when this is the one to show and to keep."""
        if self.mark != other.mark:
            return bool(self.mark) and (not other.mark or worst_mark([self.mark, other.mark]) == self.mark)
        return (self.noise_multiple, self.max_abs) > (other.noise_multiple, other.max_abs)


def judge_output(reference: Flat, output: Flat, yardstick: Yardstick) -> Judged:
    """Compare and judge one output; the common case of identical bits costs 10 µs."""
    if same_bits(reference, output):
        return Judged(IDENTICAL, elements=sum(tensor.numel() for _, tensor in output.leaves))
    structure, leaves = compare(reference, output)
    mark, leaves = judge_all(structure, leaves, yardstick)
    worst = max(leaves, key=lambda leaf: (leaf.mark == BEYOND, leaf.noise_multiple), default=None)
    reasons = [f"{leaf.path}: {leaf.reason}" for leaf in leaves if leaf.reason]
    return Judged(
        mark,
        max((leaf.max_abs for leaf in leaves), default=0.0),
        math.inf if structure else worst.noise_multiple if worst is not None else 0.0,
        sum(leaf.mismatched for leaf in leaves),
        sum(leaf.elements for leaf in leaves),
        f"structure: {structure}" if structure else (reasons[0] if reasons else ""),
        yardstick_used([worst], yardstick).kind if worst is not None and not structure else "",
    )


def not_comparable(judged: Judged) -> Judged:
    """What was judged of two runs whose inputs differ: the figures stay, and no verdict is built on them."""
    return replace(judged, mark=INCOMPARABLE) if judged.differs else judged


def judge_digests(reference: bytes, output: bytes, size: str) -> Judged:
    """What can be said of outputs too large to keep: the same bits, or not."""
    if reference == output:
        return Judged(IDENTICAL)
    return Judged(INCOMPARABLE, note=f"output of {size} is not copied: only its digest was compared, and it differs")


@dataclass(eq=False)
class Row:
    """A run or a repeat, growing."""

    number: int
    modes: Modes
    dtype: str
    record: Record
    """What the kept output started from."""
    times: Times = field(default_factory=Times)
    seconds: float = 0.0
    """Wall time of all forwards together."""
    running: bool = True
    reference: bool = False
    against: int = 0
    same_as: int = 0
    """The run just before, when it gave the same bits and is not the reference."""
    judged: Judged = field(default_factory=Judged)
    """The worst of those compared."""
    pinned: bool = False
    """Its output and its record are kept."""
    differing: int = 0
    compared: int = 0
    moved: tuple[str, ...] = ()
    """Generators that the kept run drew from."""
    cause: str = ""
    saved_bytes: int = 0
    output_bytes: int = 0
    digest: bytes = b""
    """Of an output too large to keep; empty otherwise."""
    rss: int = 0
    growth: float = 0.0
    cuda: CudaUse | None = None
    notes: list[str] = field(default_factory=list)
    """What is worth knowing, each once."""

    def note(self, text: str) -> None:
        if text and text not in self.notes:
            self.notes.append(text)

    def report(self, live: bool = False) -> RunRow:
        """The record as it is now; with `live` from a part of the times, which is quicker."""
        latency = self.times.spread(self.seconds, live)
        notes = list(self.notes)
        first = self.times.first / 1e9
        if latency.count >= 10 and first > FIRST_CALL * latency.median > 0:
            notes.insert(0, f"first call {first / latency.median:.0f}x the median")
        if self.judged.note:
            notes.append(self.judged.note)
        return RunRow(
            self.number,
            latency.count,
            self.running,
            self.modes.training_word,
            self.modes.grad,
            self.modes.rng,
            self.dtype,
            self.modes.device,
            latency,
            self.reference,
            self.against,
            self.judged.mark,
            self.judged.max_abs,
            self.judged.noise_multiple,
            self.judged.mismatched,
            self.judged.elements,
            self.differing,
            self.compared,
            self.cause if self.judged.differs else "",
            self.saved_bytes,
            self.output_bytes,
            self.rss,
            self.growth,
            self.cuda,
            "; ".join(notes),
            self.same_as,
            self.pinned,
            self.judged.yardstick,
        )
