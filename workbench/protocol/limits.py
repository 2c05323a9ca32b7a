"""Limits that both ends of a conversation must agree on. Numbers only."""

from __future__ import annotations

LINE_LIMIT = 256 << 20
"""Longest line of the protocol, bytes: a module tree of 100,000 modules needs about 10 MB, one of a million fits."""

ENDING_SECONDS = 6.0
"""The longest that a supervisor takes from the end of its stdin to its own, its last words included. Who waits for it
waits longer than that: killed earlier, it leaves workers and staging directories behind."""
