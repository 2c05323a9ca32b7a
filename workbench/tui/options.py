"""How the app is to behave: what the command line said and what the terminal can do. No Textual here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.protocol.model import ModeChange

MINIMUM = (80, 24)
"""Columns and rows below which the app asks for a larger terminal."""

LIVE_SECONDS = 0.1
"""Shortest time between two repaints of live values."""
SLOW_SECONDS = 0.5
"""The same on a slow link."""


@dataclass(frozen=True)
class AppOptions:
    """What the command line decides about the app."""

    demo: bool = False
    """Walk through the story."""
    autoplay: bool = False
    """The demo presses the keys by itself, and the app ends when it is through."""
    theme: str = ""
    """"dark", "light" or "ansi" (the terminal's own 16 colours); empty: whatever suits the terminal."""
    slow_link: bool = False
    """Repaint twice a second at most."""
    unicode: bool = True
    """The terminal can draw lines, blocks and braille; without it everything is ASCII."""
    minimum: tuple[int, int] = MINIMUM
    """Columns and rows that the app needs."""
    modules: tuple[ModeChange, ...] = ()
    """Changes for single modules, made in this order once the model of the command line is open."""
    tolerance: float = 0.0
    """Above 0: the yardstick of --tolerance, used once the model is open."""
    python: str = ""
    """Interpreter of the workers; empty: this one."""

    @property
    def repaint_seconds(self) -> float:
        """Shortest time between two repaints of live values."""
        return SLOW_SECONDS if self.slow_link else LIVE_SECONDS


def speaks_unicode(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal's locale is UTF-8: the first that is set of LC_ALL, LC_CTYPE and LANG decides.

    Without any of them, as in bare containers, Python itself assumes UTF-8, and so do terminals of today.
    The Linux console (TERM=linux) has neither braille nor quadrants in its font.
    """
    if environment.get("TERM") == "linux":
        return False
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environment.get(name, "")
        if value:
            return value.lower().replace("-", "").endswith("utf8")
    return True


def suited_theme(wish: str, environment: Mapping[str, str] = os.environ) -> str:
    """ "dark", "light" or "ansi": the wish, or what the environment says about the terminal.

    COLORFGBG is what rxvt, Konsole and others set: "15;0" is light text on a dark ground. A terminal that announces
    neither true colour nor 256 colours gets its own sixteen.
    """
    if wish:
        return wish
    term, depth = environment.get("TERM", ""), environment.get("COLORTERM", "").lower()
    if depth not in ("truecolor", "24bit") and "256" not in term and "direct" not in term:
        return "ansi"
    ground = environment.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if ground in ("7", "15") else "dark"
