"""Small helpers for sentences: what was meant, lists, sizes. No torch, no decisions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def closest(wrong: str, known: Iterable[str]) -> str:
    """ "Did you mean 'body.drop'?", or empty when nothing is near."""
    near = difflib.get_close_matches(wrong, list(known), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def some(names: Sequence[str], limit: int = 3) -> str:
    """The first `limit` names and how many there are besides."""
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"


def counted(number: int, noun: str) -> str:
    """ "1 tensor", "2 tensors"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def with_article(noun: str) -> str:
    """ "an int", "a dict"."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def shape_text(shape: Iterable[int]) -> str:
    """ "[4,10]", as input specs write it."""
    return f"[{','.join(str(size) for size in shape)}]"
