"""The memory account as lines: parts with bars, what each module saves, and the same runs otherwise. Pure."""

from __future__ import annotations

from workbench.protocol.memory import Counterfactual, Leak, MemoryAccount
from workbench.report import memory as words
from workbench.report.numbers import size
from workbench.tui.draw.spans import Line, fit, wrapped

NAME = 28
"""Cells of a part's name."""
NUMBER = 8
MOST_BAR = 40


def account_lines(
    account: MemoryAccount | None, leak: Leak | None, other: Counterfactual | None, waiting: str, width: int
) -> list[Line]:
    """Everything that is known; `waiting` says what is still being measured."""
    lines: list[Line] = []
    if account is not None:
        for device in account.devices:
            lines.append(((words.heading(device), "strong"),))
            parts = [(part.name, part.bytes, part.words) for part in device.parts]
            lines += _table(parts, device.total, width)
            lines.append(())
        lines += wrapped(words.saved_heading(account), width, "strong")
        lines += _table(words.listed(account.saved), account.saved_bytes, width)
        lines.append(())
    if other is not None:
        lines += wrapped(other.words, width, "accent")
    if waiting:
        lines += wrapped(waiting, width, "dim")
    if account is not None and (left := words.left_words(account, leak)):
        lines += wrapped(left, width, "bad" if leak is not None and leak.full else "dim")
    return lines


def _table(parts: list[tuple[str, int, str]], total: int, width: int) -> list[Line]:
    name = min(NAME, max(12, width - NUMBER - 12))
    room = max(0, min(MOST_BAR, (width - name - NUMBER - 3) // 2))
    made: list[Line] = []
    for label, count, about in parts:
        bar = "█" * max(0, min(room, round(room * count / total))) if total > 0 else ""
        line = (
            (f"{fit(label, name)} ", ""), (f"{fit(size(count), NUMBER, right=True)} ", "strong"),
            (f"{fit(bar, room)} ", "accent"), (about, "dim"),
        )  # fmt: skip
        made.append(line)
    return made
