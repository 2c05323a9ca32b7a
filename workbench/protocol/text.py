"""The one cleaner for foreign strings.

A string that came from a file, a model, a log or an error text may carry terminal
escape codes, bidirectional overrides or zero-width characters. Nothing of that kind
may reach a terminal or a markup parser; it is made visible instead of being dropped,
so that two different names never look the same. Stdlib only; both sides use it.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen and other invisible characters
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"  # zero-width, bidi, separators
    "\ufe00-\ufe0f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # variants, shorthand, music, tags
    "\ud800-\udfff]"  # lone surrogates cannot be encoded
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clean(text: str) -> str:
    """Return `text` with every character that could steer a terminal escaped visibly.

    Newline and tab stay: texts of several lines are legitimate. A carriage return
    that ends a line is dropped, any other is escaped.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))


def escaped_json(text: str) -> str:
    """JSON with every character that could steer a terminal as JSON's own escape: the same value for a program."""
    return _UNSAFE.sub(_json_escape, text)


def _json_escape(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")  # JSON writes what lies above U+FFFF as two of them
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def clean_line(text: str) -> str:
    """`clean`, and newlines and tabs escaped too: for names and other one-line texts."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, the cut marked with an ellipsis."""
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"
