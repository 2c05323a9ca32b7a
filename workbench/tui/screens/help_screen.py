"""Help: every key by group, and how to read the signs. Made from the registry of actions."""

from __future__ import annotations

from workbench.tui.actions import ACTIONS, GROUPS

from .text_card import TextCard, Told

SIGNS = (
    ("=", "the same bits"),
    ("≈", "within the noise that eager itself has against float64; within the tolerance where that is not known"),
    ("✗", "beyond it"),
    ("?", "not comparable; never a pass"),
)


def help_card() -> TextCard:
    """The help screen."""
    paragraphs: list[tuple[str, str] | Told] = []
    for group in GROUPS:
        paragraphs.append(("strong gap", group))
        lines = []
        for action in ACTIONS:
            if action.group == group:
                lines.append(f"  {action.keys[0] if action.keys else 'ctrl+p':8}{action.help}")
        paragraphs.append(Told("", "\n".join(lines), 10))
    paragraphs.append(("strong gap", "Signs"))
    paragraphs.append(("", "\n".join(f"  {sign:8}{meaning}" for sign, meaning in SIGNS)))
    moving = "  tab     Next pane.  Arrows move in it, enter opens.  The mouse works too.\n  ctrl+c  Cancels what runs."
    paragraphs += [("strong gap", "Moving"), ("", moving + " When nothing runs it leaves.")]
    return TextCard("Keys", paragraphs)
