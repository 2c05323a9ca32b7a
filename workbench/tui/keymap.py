"""The registry's keys as Textual bindings."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from workbench.tui.actions import ACTIONS

_NAMES = {"?": "question_mark", "esc": "escape", ":": "colon"}


def textual_key(key: str) -> str:
    """A key as Textual names it: "?" is "question_mark"."""
    return _NAMES.get(key, key)


def bindings() -> list[BindingType]:
    """One binding a key. They go before a pane's own, so that a letter means the same wherever the focus is."""
    return [
        Binding(textual_key(key), f"do('{action.id}')", action.label, show=False, priority=True, tooltip=action.help)
        for action in ACTIONS
        for key in action.keys
    ]
