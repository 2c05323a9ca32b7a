"""Where in the user's code Python's and numpy's global generators are drawn from: lines show it, operators do not."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from workbench.worker.judge.lines import first_change


def first_draw(name: str, forward: Callable[[], Any]) -> str:
    """file.py:line of the user's that moves the global generator of `name` ("random" or "numpy") first, in one run of
    `forward`; empty where none was seen. Raises what the forward raises."""
    return first_change(_STATES[name], forward)


def _numpy() -> Any:
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is None:
        return None
    _, key, position, *rest = numpy_random.get_state()
    return bytes(key), position, rest


_STATES: dict[str, Callable[[], Any]] = {"random": random.getstate, "numpy": _numpy}
