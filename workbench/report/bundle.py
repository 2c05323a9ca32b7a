"""A bundle's report.md: what was made, how it was proven, and what is worth knowing. Pure: records in, Markdown out."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.protocol.artifacts import Constraint, Finding, Made, Proof, Speed
from workbench.protocol.proven import proof_words
from workbench.protocol.runs import SIGNS, LeafDiff
from workbench.protocol.text import clean

from .marks import multiple_words
from .numbers import duration, measure, multiple, no_difference, size

_NOT = "NOT proven: it does not answer as the model does"

_STATUS = {"pass": "pass", "fail": "**FAIL**", "skip": "skipped", "error": "**error**"}


def render_report(made: Made, proof: Proof) -> str:
    """Markdown for people; every number in it is also in manifest.json."""
    verdict = _NOT if proof.verdict == "fail" else proof_words(proof)
    parts = [
        [f"# {text(made.file)}: {text(verdict)}"],
        _summary(made, proof),
        _checks(proof),
        _leaves(proof.worst),
        _speed(made.speed),
        _dimensions(made),
        _worklist(made.worklist),
        _findings([*made.findings, *proof.findings]),
        _again(),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _summary(made: Made, proof: Proof) -> list[str]:
    reason = f" ({text(proof.yardstick_reason)})" if proof.yardstick_reason else ""
    where = "the model's source was not importable" if proof.clean else "**the model's source was importable**"
    measured = f", {multiple_words(proof.noise_multiple, proof.yardstick)}, over {proof.cases} cases"
    measured = measured if proof.cases else "; no answer was compared"
    return [
        f"- verdict: {SIGNS.get(proof.mark, '?')} {text(proof.verdict)}{measured}",
        f"- yardstick: {text(proof.yardstick)}{reason}",
        f"- artifact: kind {text(made.kind)}, {size(made.bytes)}, made in {duration(made.seconds)}",
        f"- sha256: `{text(made.sha256)}`",
        f"- judged by Python {text(proof.python)} with torch {text(proof.torch)} in {duration(proof.seconds)}; {where}",
        f"- loads in {duration(proof.load_seconds)}",
    ]


def _checks(proof: Proof) -> list[str]:
    lines = ["## Checks", "", "| check | status | evidence | cause |", "|---|---|---|---|"]
    for row in proof.checks:
        status = _STATUS.get(row.status, text(row.status))
        cause = " ".join(filter(None, (text(row.cause), text(row.remedy))))
        lines.append(f"| {text(row.id)} | {status} | {text(row.evidence)} | {cause} |")
    return lines


def _leaves(worst: Iterable[LeafDiff]) -> list[str]:
    lines = ["## Outputs, each at its worst case", ""]
    lines += ["| output | mark | noise | max abs | max rel | ULP | mismatched | worst element | eager | artifact |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    rows = [_leaf(leaf) for leaf in worst]
    return lines + rows if rows else []


def _leaf(leaf: LeafDiff) -> str:
    shape = ",".join(map(str, leaf.shape))
    index = ",".join(map(str, leaf.worst_index))
    reason = f" {text(leaf.reason)}" if leaf.reason else ""
    cells = [
        f"{text(leaf.path)} {text(leaf.dtype)}[{shape}]",
        SIGNS.get(leaf.mark, "?") + " " + text(leaf.mark) + reason,
        multiple(leaf.noise_multiple),
        measure(leaf.max_abs),
        measure(leaf.max_rel),
        str(leaf.max_ulp),
        f"{leaf.mismatched} of {leaf.elements}",
        f"[{index}]" if leaf.worst_index else "",
        text(leaf.worst_a),
        text(leaf.worst_b),
    ]
    return "| " + " | ".join(cells) + " |"


def _speed(speed: Speed | None) -> list[str]:
    if speed is None:
        return []
    within = " That is within what eager against itself shows, so it proves no difference."
    doubt = within if no_difference(speed) else ""
    return [
        "## Speed",
        "",
        f"{speed.ratio:.2f} times eager's speed (80 % of rounds between {speed.low:.2f} and {speed.high:.2f}): "
        f"{duration(speed.artifact)} a call against {duration(speed.eager)}, batch {speed.batch}, "
        f"{speed.threads} threads, {speed.rounds} shuffled rounds. Eager against itself: {speed.control:.2f} "
        f"({speed.control_low:.2f} to {speed.control_high:.2f}).{doubt}",
    ]


def _dimensions(made: Made) -> list[str]:
    lines = [f"- dynamic: {text(one)}" for one in made.dynamic] + [f"- fixed: {text(one)}" for one in made.static]
    return ["## Dimensions", "", *lines] if lines else []


def _worklist(rows: Iterable[Constraint]) -> list[str]:
    lines = ["## Worklist: sizes that were to be free", ""]
    lines += ["| size | wanted | serves | line | asks | example | what to do |", "|---|---|---|---|---|---|---|"]
    found = []
    for row in rows:
        line = text(f"{row.where}: {row.line}" if row.where else "not known")
        cells = (", ".join(row.places) + f" = {row.name}", row.wanted, row.became)
        rest = (row.expression, row.values, row.remedy)
        found.append("| " + " | ".join([*map(text, cells), line, *map(text, rest)]) + " |")
    return lines + found if found else []


def _findings(findings: Iterable[Finding]) -> list[str]:
    lines = [f"- {text(one.id)}: {text(one.words)} {text(one.remedy)}".rstrip() for one in findings]
    return ["## Worth knowing", "", *lines] if lines else []


def _again() -> list[str]:
    return [
        "## Prove it again",
        "",
        "`python verify.py` in this directory, with Python and torch alone, or `workbench verify` with its path.",
    ]


def text(foreign: str) -> str:
    """A string from a model or an error as one line of a table cell: nothing in it is markup."""
    line = clean(foreign).replace("\n", " ").replace("\t", " ")
    for sign in ("\\", "|", "`", "*", "_", "[", "]"):
        line = line.replace(sign, "\\" + sign)
    return line.replace("<", "&lt;")
