"""What the style names of lines look like under a theme: colour and face, laid over a widget's own ground.

The style sheet could say this with component classes; but every pane would have its own copy of each, made at the
start and made again whenever the focus moves, and that cost more than all other work of a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.style import Style
from textual.color import Color


class Look(NamedTuple):
    """One style name."""

    variable: str = ""
    """Of the theme, for the text; empty: as the widget has it."""
    bold: bool = False
    reverse: bool = False


LINES = {
    "dim": Look("foreground-muted"),
    "good": Look("text-success"),
    "warn": Look("text-warning", bold=True),
    "bad": Look("text-error", bold=True),
    "accent": Look("text-primary"),
    "strong": Look(bold=True),
}
"""Inside panes."""

BARS = {
    **LINES,
    "warn": Look("text-warning"),
    "accent": Look("text-accent", bold=True),
    "chosen": Look(bold=True, reverse=True),
}
"""In the lines around them."""

CURSOR_SHARE = 0.25
"""Share of the theme's first colour in the ground of a cursor without the focus."""


def text_style(look: Look, variables: Mapping[str, str], ground: Color) -> Style:
    """A look on a ground; a terminal of sixteen colours has no muted one, and shows it dim."""
    faces = Style(bold=look.bold or None, reverse=look.reverse or None)
    if not look.variable:
        return faces
    text = variables[look.variable]
    if text.startswith("ansi_default"):  # with a share of it, which only style sheets can read
        return faces + Style(color="default", dim=True)
    colour = Color.parse(text)
    return faces + Style(color=(colour if colour.ansi is not None else ground + colour).rich_color)


def cursor_style(focused: bool, variables: Mapping[str, str], ground: Color) -> Style:
    """What is laid over the line at the cursor: with the focus all of its colours, without it only another ground."""
    block = Color.parse(variables["block-cursor-background"])
    if block.ansi is not None:
        return Style(color="default", bgcolor="default", reverse=True) if focused else Style(underline=True)
    if not focused:
        return Style(bgcolor=ground.blend(Color.parse(variables["primary"]), CURSOR_SHARE).rich_color)
    text = block + block.get_contrast_text(0.87)
    return Style(color=text.rich_color, bgcolor=block.rich_color, bold=True)
