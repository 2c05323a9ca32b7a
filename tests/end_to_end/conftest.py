"""Fixtures for tests in a real terminal: programs that end with the test, and a home directory of their own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .terminal import ROOT, Terminal

Open = Callable[..., Terminal]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory that no test shares, so that no trust and no history outlives a test."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def open_terminal(home: Path) -> Iterator[Open]:
    """`open_terminal(command, rows=…, columns=…, env=…, …)`: see `Terminal`; all of them end with the test."""
    own = {"HOME": str(home), "PYTHONPATH": str(ROOT)}
    own |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    with contextlib.ExitStack() as stack:

        def start(command: list[str], env: dict[str, str] | None = None, **options: Any) -> Terminal:
            return stack.enter_context(Terminal(command, env={**own, **(env or {})}, **options))

        yield start


@pytest.fixture
def workbench(open_terminal: Open) -> Open:
    """`workbench("sample_models/story.py:Net", rows=24, columns=80)`: the command in a terminal, from the checkout."""

    def start(*arguments: str, **options: Any) -> Terminal:
        return open_terminal([sys.executable, "-m", "workbench", *arguments], **options)

    return start
