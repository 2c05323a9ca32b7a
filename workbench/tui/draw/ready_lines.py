"""The checks of the model on the bench as lines: one for each id, and everything about the chosen one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.proven import check_verdict
from workbench.report import numbers
from workbench.report.objects import check_counts
from workbench.tui.draw.artifact_lines import STATUS
from workbench.tui.draw.spans import Line, fit, packed, wrapped

NAME = 18
"""Cells of an id and the gap behind it."""

VERDICTS = {"pass": ("✓ ready to serve", "good"), "fail": ("✗ not ready", "bad"), "error": ("! not answered", "warn")}
"""Words and style of what the checks came to."""

INVITATION = "h asks whether the model on the bench is ready to serve: every check, on the model as it is."


@dataclass(frozen=True)
class Asked:
    """The modes that the checks were asked under, and whether they are still the same."""

    training: str = ""
    """ "train", "eval" or "mix"; empty: nothing was asked yet."""
    grad: str = ""
    stale: bool = False
    """The modes are others now, or the model is."""

    @property
    def words(self) -> str:
        """What to press so that it stands as it would serve."""
        keys = ["e for eval"] if self.training != "eval" else []
        keys = [*keys, "g for no_grad"] if self.grad == "grad" else keys
        return f"press {' and '.join(keys)} to ask it as it would serve" if keys else ""


def head_lines(
    rows: Sequence[CheckRow], running: str, total: int, seconds: float, asked: Asked, ended: str, width: int
) -> list[Line]:
    """What it came to, or how far it is. `running`: the id that is asked now; `ended`: why it ended early."""
    if running:
        clock, done = numbers.clock(seconds), f"{len(rows)} of {total}"
        return [(("◌ ", "accent"), (clock, "strong"), (f"  {running}  {done}", ""), ("  esc cancels", "dim"))]
    if not rows:
        return wrapped(ended or INVITATION, width, "dim")
    words, style = VERDICTS[check_verdict(rows)]
    if ended:
        words, style = f"! {ended}", "warn"
    next_key = "the modes are others now; h asks again" if asked.stale else asked.words
    return packed(
        [((words, style),), ((check_counts(rows), ""),), ((f"{asked.training} {asked.grad}", "dim"),),
         ((next_key, "warn"),)], width,
    )  # fmt: skip


def check_line(name: str, row: CheckRow | None, running: bool, seconds: float) -> Line:
    """One id: not asked yet, being asked, or answered."""
    label = fit(name, NAME)
    if row is None:
        return (
            (("◌ ", "accent"), (label, ""), (numbers.clock(seconds), "strong")) if running else ((f"  {label}", "dim"),)
        )
    if not row.status:
        words = row.findings[0].words if row.findings else row.evidence
        return (("· ", "warn"), (label, ""), (words, "dim"))
    sign, style = STATUS[row.status]
    more: Line = ((f" · {len(row.findings)} noted", "warn"),) if row.findings else ()
    plain = "" if row.status in ("fail", "error") else "dim"
    return ((f"{sign} ", style), (label, "strong" if plain == "" else ""), (f"{row.status:<6}", style), *more,
            (f" {row.evidence}" if more else row.evidence, plain))  # fmt: skip


def detail_lines(row: CheckRow, width: int) -> list[Line]:
    """Everything about one check."""
    lines: list[Line] = []
    for label, text, style in (("", row.evidence, ""), ("cause ", row.cause, "bad"), ("→ ", row.remedy, "good")):
        if text:
            lines += wrapped(label + text, width, style, indent="  ")
    for finding in row.findings:
        lines += wrapped(f"· {finding.words}", width, "warn", indent="  ")
        if finding.remedy:
            lines += wrapped(f"→ {finding.remedy}", width, "good", indent="  ")
    return lines
