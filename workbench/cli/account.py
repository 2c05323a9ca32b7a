"""The memory account on stdout."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from workbench.protocol.memory import Counterfactual, Leak, MemoryAccount
from workbench.protocol.text import clean_line
from workbench.report import memory as words
from workbench.report.numbers import size

BAR = 24
"""Cells of a bar that stands for everything."""


def show_account(out: Console, account: MemoryAccount, leak: Leak | None, other: Counterfactual | None) -> None:
    """What memory is used for, as a table with bars; what each module saves; and the same runs otherwise."""
    for device in account.devices:
        out.print(words.heading(device))
        _table(out, [(part.name, part.bytes, part.words) for part in device.parts], device.total)
    out.print(words.saved_heading(account))
    if account.saved:
        _table(out, words.listed(account.saved), account.saved_bytes)
    if other is not None:
        out.print(clean_line(other.words), style="bold")
    left = words.left_words(account, leak)
    if left:
        out.print(left, style="bold red" if leak is not None and leak.full else "dim")


def _table(out: Console, lines: list[tuple[str, int, str]], total: int) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    for name, count, about in lines:
        table.add_row(f"  {clean_line(name)}", size(count), bar(count, total, BAR), about)
    out.print(table)


def bar(count: int, total: int, cells: int) -> str:
    """A bar as long as the share; nothing for what is negative."""
    return "█" * max(0, min(cells, round(cells * count / total))) if total > 0 else ""
