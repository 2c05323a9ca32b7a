"""A comparison of two models as lines: verdict, where they part, both sides, cause, every output at its worst. Pure."""

from __future__ import annotations

from workbench.protocol.compare import Compared
from workbench.protocol.runs import INCOMPARABLE, SIGNS
from workbench.report.compared import side_line, verdict_line, yardstick_line
from workbench.tui.draw.diff_lines import leaf_lines
from workbench.tui.draw.spans import MARK_STYLES, Line, wrapped


def compared_lines(found: Compared, width: int, unicode: bool) -> list[Line]:
    """The whole of it; lines are at most `width` cells wide, but for names that are longer."""
    sign, style = SIGNS.get(found.mark, "?"), MARK_STYLES.get(found.mark, "warn")
    lines = wrapped(f"{sign} {verdict_line(found)}", width, style)
    if found.mark != INCOMPARABLE:
        lines += wrapped(yardstick_line(found), width, "dim")
    if found.errors is not None:
        lines += wrapped(f"{found.errors.words} F shows every module call.", width, "strong")
    elif found.errors_left_out:
        lines += wrapped(f"Where they part was left out: {found.errors_left_out}", width, "dim")
    for letter, side in (("A", found.a), ("B", found.b)):
        lines += wrapped(f"{letter} {side_line(side)}", width, indent="  ")
    if found.cause:
        lines += wrapped(found.cause, width, "warn")
    if found.remedy:
        lines += wrapped(f"→ {found.remedy}", width, "good", indent="  ")
    for words in (*found.differences, *found.notes):
        if words not in found.cause:
            lines += wrapped(words, width, "dim")
    for leaf in found.leaves:
        lines.append(())
        lines += leaf_lines(leaf.worst, width, unicode, found.yardstick)
        if leaf.worst.mismatched:
            same = f"{leaf.identical} of {leaf.cases} cases identical"
            lines += wrapped(f"worst in {leaf.where}; {same}", width, "dim", indent="  ")
    return lines
