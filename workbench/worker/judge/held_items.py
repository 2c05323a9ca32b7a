"""The items of the user's containers: listed, compared by identity, and put back in place.

Each container is read and filled by its own type's methods, past those of a subclass.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

CONTAINERS = (OrderedDict, dict, list, set, deque)
"""The order matters: each is read and filled by its own methods, past those of a subclass."""


def base_of(container: Any) -> Any:
    return next(kind for kind in CONTAINERS if isinstance(container, kind))


def items_of(container: Any) -> list[Any]:
    kind = base_of(container)
    return list(kind.items(container) if isinstance(container, dict) else kind.__iter__(container))


def is_same(container: Any, before: list[Any]) -> bool:
    """Whether a container holds the very items that it had."""
    now = items_of(container)
    if isinstance(container, dict):
        return len(now) == len(before) and all(a[0] is b[0] and a[1] is b[1] for a, b in zip(now, before))  # noqa: B905
    return len(now) == len(before) and all(a is b for a, b in zip(now, before))  # noqa: B905


def refill(container: Any, before: list[Any]) -> None:
    """Give a container the very items that it had, in place."""
    if is_same(container, before):
        return
    kind = base_of(container)
    kind.clear(container)
    if isinstance(container, dict):
        for key, value in before:
            kind.__setitem__(container, key, value)
    elif isinstance(container, set):
        kind.update(container, before)
    else:
        kind.extend(container, before)
