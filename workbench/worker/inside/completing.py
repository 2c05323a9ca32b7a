"""How a typed line could go on: names, attributes, and module paths inside `act['…']`.

It looks names up and lists attributes; it calls nothing, but properties of the user's own classes run when they are
asked for.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.protocol.inside import Completions

MOST = 200
"""Words that are offered."""

_DOTTED = re.compile(r"[A-Za-z_][\w.]*$")
_ACT = re.compile(r"""\bact\[\s*['"]([^'"]*)$""")


def completions(line: str, names: Mapping[str, Any], paths: Iterable[str] = ()) -> Completions:
    """Words that the end of `line` begins, from `names`; `paths` for `act['…`."""
    inside = _ACT.search(line)
    if inside is not None:
        begun = inside[1]
        return Completions(len(line) - len(begun), _sorted(path for path in paths if path.startswith(begun)))
    dotted = _DOTTED.search(line)
    if dotted is None:
        return Completions(len(line), ())
    holder, dot, begun = dotted[0].rpartition(".")
    start = len(line) - len(begun)
    if not dot:
        known = {*names, *vars(builtins), *keyword.kwlist}
        return Completions(start, _sorted(_begins(known, begun)))
    try:
        thing = _looked_up(holder, names)
        found = [*dir(thing)]
    except Exception:  # noqa: BLE001 (a property, or a __dir__, of the user's own may raise anything)
        return Completions(start, ())
    return Completions(start, _sorted(_begins(found, begun)))


def _looked_up(holder: str, names: Mapping[str, Any]) -> Any:
    first, *rest = holder.split(".")
    thing = names[first] if first in names else getattr(builtins, first)
    for name in rest:
        thing = getattr(thing, name)
    return thing


def _begins(words: Iterable[Any], begun: str) -> Iterable[str]:
    hidden = begun.startswith("_")
    return (word for word in words if isinstance(word, str) and word.startswith(begun) and (hidden or word[:1] != "_"))


def _sorted(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(words))[:MOST])
