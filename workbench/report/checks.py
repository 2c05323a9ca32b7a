"""Reports of `workbench check` for other programs and for people: JUnit XML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.policy import Policy
from workbench.protocol.proven import check_verdict

from .objects import check_counts, findings, voting

NOTHING = Policy()

_WORDS = {"pass": "pass", "fail": "**FAIL**", "skip": "skipped", "error": "**error**"}


def junit(target: str, rows: Sequence[CheckRow], policy: Policy = NOTHING) -> str:
    """One test case a check, as JUnit XML; what it found besides stands in its system-out."""
    votes = voting(rows)
    suite = ElementTree.Element(
        "testsuite",
        name=f"workbench check {target}",
        tests=str(len(votes)),
        failures=str(sum(row.status == "fail" for row in votes)),
        errors=str(sum(row.status == "error" for row in votes)),
        skipped=str(sum(row.status == "skip" for row in votes)),
        time=f"{sum(row.seconds for row in rows):.3f}",
    )
    if policy.declared:
        properties = ElementTree.SubElement(suite, "properties")
        for words in policy.declared:
            ElementTree.SubElement(properties, "property", name="declared", value=words)
    for row in votes:
        case = ElementTree.SubElement(suite, "testcase", classname=target, name=row.id, time=f"{row.seconds:.3f}")
        if row.status != "pass":
            tag = {"fail": "failure", "error": "error", "skip": "skipped"}[row.status]
            child = ElementTree.SubElement(case, tag, message=row.cause or row.evidence)
            child.text = "\n".join(part for part in (row.evidence, row.cause, row.remedy) if part)
        _system_out(case, [row], row.evidence if row.status == "pass" else "")
    _system_out(suite, [row for row in rows if not row.status])
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def markdown(target: str, rows: Sequence[CheckRow], policy: Policy = NOTHING) -> str:
    """A table, one row a check."""
    lines = [f"# workbench check {_cell(target)}", "", f"Verdict: **{check_verdict(rows)}**: {check_counts(rows)}", ""]
    if policy.declared:
        lines += [f"Declared in {_cell(policy.source)}: {_cell('; '.join(policy.declared))}", ""]
    lines += ["| check | status | evidence | cause | remedy |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.id} | {_WORDS[row.status]} | {_cell(row.evidence)} | {_cell(row.cause)} | {_cell(row.remedy)} |"
        for row in voting(rows)
    ]
    if found := findings(rows):
        lines += ["", "Worth knowing, without a vote:", ""]
        lines += [f"- `{check}` {_cell(' '.join((one.words, one.remedy)).rstrip())}" for check, one in found]
    return "\n".join(lines) + "\n"


def _system_out(parent: ElementTree.Element, rows: Sequence[CheckRow], evidence: str = "") -> None:
    lines = [evidence] if evidence else []
    lines += [f"{one.id}: {' '.join((one.words, one.remedy)).rstrip()}" for _, one in findings(rows)]
    if lines:
        ElementTree.SubElement(parent, "system-out").text = "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
