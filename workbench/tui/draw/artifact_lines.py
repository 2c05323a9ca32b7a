"""Artifacts as lines: one for each kind, and the checks of one proof as a table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.protocol.artifacts import KINDS, CheckRow, Constraint, ExportResult, Proof, Speed, VerifyResult
from workbench.protocol.proven import PROVEN, UNCOMPARED, compared
from workbench.protocol.runs import SIGNS
from workbench.report import numbers
from workbench.report.marks import measured_in
from workbench.tui.draw.spans import MARK_STYLES, Line, fit, packed, wrapped

if TYPE_CHECKING:
    from workbench.protocol.failures import Failure
    from workbench.protocol.messages import Progress

NAME = 9
"""Cells of a kind and of a check's id, as far as they are columns."""

STATUS = {"pass": ("✓", "good"), "fail": ("✗", "bad"), "skip": ("-", "dim"), "error": ("!", "warn")}
"""Sign and style of a check."""


@dataclass(frozen=True)
class ArtifactRow:
    """One kind of artifact, or one verified path, and how far it has come."""

    kind: str
    state: str = "none"
    """"none", "waiting", "running", "made", "verified" or "failed"."""
    progress: Progress | None = None
    result: ExportResult | None = None
    verified: VerifyResult | None = None
    failure: Failure | None = None
    behind: str = ""
    """The kind that it waits for."""

    @property
    def proof(self) -> Proof | None:
        """The verdict, where there is one."""
        if self.result is not None:
            return self.result.proof
        return self.verified.proof if self.verified is not None else None


def artifact_line(row: ArtifactRow, seconds: float) -> Line:
    """One row; `seconds` is how long it has been running."""
    known = row.kind in KINDS
    name, path = fit(row.kind if known else "verify", NAME), "" if known else f"  {row.kind}"
    return tuple(span for span in (*_state(row, name, seconds), (path, "dim")) if span[0])


def _state(row: ArtifactRow, name: str, seconds: float) -> Line:
    if row.state == "running":
        progress = row.progress
        phase = progress.phase if progress else "starting"
        share = f"  {progress.done / progress.total:.0%}" if progress and progress.total > 0 else ""
        return ((f"◌ {name}", "accent"), (numbers.clock(seconds), "strong"), (f"  {phase}", ""), (share, "dim"))
    if row.state == "waiting":
        return ((f"… {name}", "accent"), (f"waits for {row.behind} · X takes it out", "dim"))
    if row.failure is not None:
        where = f"  {row.failure.where}" if row.failure.where else ""
        return (("✗ ", "bad"), (name, "strong"), (row.failure.message, "bad"), (where, "dim"))
    proof = row.proof
    if proof is None:
        return ((f"  {name}", ""), ("not made yet", "dim"))
    if proof.verdict != "pass":
        return (("✗ ", "bad"), (name, "strong"), (_reason(proof), "bad"))
    style = MARK_STYLES.get(proof.mark, "warn") if compared(proof) else "warn"
    words = f"{PROVEN} {proof.cases} cases" if compared(proof) else UNCOMPARED
    if proof.mark == "noise":
        words += f", {numbers.multiple(proof.noise_multiple)} {measured_in(proof.yardstick).removeprefix('the ')}"
    made = row.result.made if row.result is not None else None
    speed = f"  {speed_words(made.speed)}" if made is not None and made.speed is not None else ""
    weight = (
        f"  {numbers.size(made.bytes)}, loads in {numbers.duration(proof.load_seconds)}" if made is not None else ""
    )
    sign = SIGNS.get(proof.mark, "?")
    return ((f"{sign} ", style), (name, "strong"), (words, style), (speed, ""), (weight, "dim"))


def _reason(proof: Proof) -> str:
    """Why a proof does not hold: the first check that says so, cause before evidence."""
    for check in proof.checks:
        if check.status in ("fail", "error"):
            return f"{check.id}: {check.cause or check.evidence}"
    return f"verdict {proof.verdict}"


def speed_words(speed: Speed) -> str:
    """ "1.3× faster (A/A 0.98-1.03)"; inside the control's own spread it is "same speed"."""
    control = f"(A/A {speed.control_low:.2f}–{speed.control_high:.2f})"
    if numbers.no_difference(speed) or speed.ratio <= 0:
        return f"same speed {control}"
    faster = speed.ratio > 1
    factor = speed.ratio if faster else 1 / speed.ratio
    digits = 1 if factor >= 1.1 else 2
    return f"{factor:.{digits}f}× {'faster' if faster else 'slower'} {control}"


def detail_lines(row: ArtifactRow, width: int) -> list[Line]:
    """Everything about one artifact: where it lies, its speed, its checks and findings."""
    if row.failure is not None:
        return _failure_lines(row.failure, width)
    proof = row.proof
    if proof is None:
        return []
    lines: list[Line] = []
    if row.result is not None:
        lines += _made_lines(row.result, width)
    elif row.verified is not None:
        lines += wrapped(f"{row.verified.path} ({row.verified.kind})", width)
    clean = "in a clean process" if proof.clean else "NOT in a clean process"
    lines += packed(
        [
            ((f"judged {clean}", "" if proof.clean else "warn"),),
            ((f"python {proof.python}, torch {proof.torch}", "dim"),),
            ((f"yardstick {proof.yardstick}", "dim"),),
            ((f"loads in {numbers.duration(proof.load_seconds)}", "dim"),),
        ],
        width,
    )
    for check in proof.checks:
        lines += check_lines(check, width)
    for finding in (*proof.findings, *(row.result.made.findings if row.result is not None else ())):
        lines += wrapped(f"· {finding.id}: {finding.words}", width, "dim", indent="  ")
    return lines


def check_lines(check: CheckRow, width: int) -> list[Line]:
    """A check in one line, and below it why it failed and what to do."""
    sign, style = STATUS.get(check.status, ("?", "warn"))
    head: Line = ((f"{sign} ", style), (fit(check.id, 14), ""), (f"{check.status:<6}", style), (check.evidence, ""))
    lines: list[Line] = [head]
    if check.cause:
        lines += [((f"    {text_line[0][0]}", "bad"),) for text_line in wrapped(check.cause, width - 4)]
    if check.remedy:
        lines += [((f"    {text_line[0][0]}", "good"),) for text_line in wrapped(f"→ {check.remedy}", width - 4)]
    return lines


def _made_lines(result: ExportResult, width: int) -> list[Line]:
    made = result.made
    place = "published as" if result.published else "refused; kept for looking at in"
    lines = packed(
        [
            ((f"{place} ", "good" if result.published else "bad"), (result.path, "strong")),
            ((f"{made.file}, {numbers.size(made.bytes)}", ""),),
            ((f"sha256 {made.sha256[:12]}…", "dim"),),
            ((f"took {numbers.duration(result.seconds)}", "dim"),),
        ],
        width,
    )
    if made.speed is not None:
        speed = made.speed
        lines += packed(
            [
                ((speed_words(speed), "strong"),),
                ((f"{numbers.duration(speed.artifact)} against eager {numbers.duration(speed.eager)}", ""),),
                ((f"ratio {speed.low:.2f}–{speed.high:.2f} over {speed.rounds} rounds", "dim"),),
                ((f"batch {speed.batch}, {speed.threads} threads", "dim"),),
            ],
            width,
        )
    for label, dimensions in (("dynamic", made.dynamic), ("static", made.static)):
        for dimension in dimensions:
            lines += wrapped(f"{label} {dimension}", width, "" if label == "dynamic" else "warn", indent="  ")
    for row in made.worklist:
        lines += constraint_lines(row, width)
    return lines


def constraint_lines(row: Constraint, width: int) -> list[Line]:
    """A dimension that was to be free: what became of it, by which line, and what to do."""
    head = f"todo: {', '.join(row.places)} = {row.name} was to be {row.wanted} and is {row.became}"
    lines = wrapped(head, width, "warn", indent="  ")
    if row.where:
        lines += wrapped(f"  {row.where}: {row.line}", width, "", indent="  ")
    if row.expression:
        lines += wrapped(f"  asks {row.expression} where {row.values}", width, "dim", indent="  ")
    return lines + wrapped(f"  → {row.remedy}", width, "good", indent="  ")


def _failure_lines(failure: Failure, width: int) -> list[Line]:
    lines = wrapped(failure.message, width, "bad", indent="  ")
    if failure.where:
        lines.append((("at ", "dim"), (failure.where, "")))
    if failure.remedy:
        lines += wrapped(f"→ {failure.remedy}", width, "good", indent="  ")
    return lines
