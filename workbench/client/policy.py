"""The policy of a model, read from the files beside it: budgets, domain, and exceptions that somebody declared.

Whoever sends a model may write these files, so a policy can loosen what is asked of that model, which every report
says, and can execute or trust nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.policy import Budgets, Policy

from .settings import beside

KEYS = ("budgets", "domain", "stochastic", "batch_coupled", "mutates", "discrete")
"""What a policy may say, at the top level or in the table `check`; a hyphen does for an underscore."""

BUDGETS = tuple(one.name for one in dataclasses.fields(Budgets))


def policy_for(target: str, directory: str = "") -> Policy:
    """What is declared beside the model that `target` names; the empty policy where nothing is.

    Raises `WorkbenchError("usage")` for a value or a name that is not known.
    """
    given: dict[str, Any] = {}
    source = ""
    for settings in beside(target, directory):
        table = settings.content.get("check", {})
        both = {**_own(settings.content), **_own(table if isinstance(table, dict) else {})}
        for key, value in both.items():
            made = _READERS[key](value, key, settings.path)
            given[key] = {**given[key], **made} if isinstance(made, dict) and key in given else made
            source = str(settings.path)
    budgets = Budgets(**given.pop("budgets", {}))
    return Policy(budgets=budgets, source=source, **given)


LARGEST = 1e300
"""No limit is larger, and an integer of any number of figures can be compared with it."""


def unknown_name(name: str, known: Iterable[str], what: str, where: str) -> WorkbenchError:
    """The failure for a name that nobody knows, with the nearest that somebody does."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    remedy = f"Did you mean {near[0]}?" if near else f"There {'are' if len(known) > 1 else 'is'} {', '.join(known)}."
    return error("usage", f"{where} names {what} {name}, and there is none.", where, remedy)


def is_key(name: str) -> bool:
    """Whether a name in a file belongs to the policy."""
    return name.replace("-", "_") in KEYS


def _own(table: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in table.items() if is_key(name)}


def _budgets(value: Any, key: str, path: Path) -> dict[str, float]:
    found = {}
    for name, limit in _table(value, key, path).items():
        plain = name.replace("-", "_")
        if plain not in BUDGETS:
            raise unknown_name(name, BUDGETS, "the budget", str(path))
        if not _is_number(limit) or not 0 < limit < math.inf:
            raise _wrong(path, f"{key}.{name}", "a number above 0", limit)
        found[plain] = float(limit)
    return found


def _domain(value: Any, key: str, path: Path) -> dict[str, tuple[float, float]]:
    found = {}
    for name, limits in _table(value, key, path).items():
        pair: list[Any] = limits if isinstance(limits, list) and len(limits) == 2 else [math.nan, math.nan]
        if not all(_is_number(one) and math.isfinite(one) for one in pair) or pair[0] > pair[1]:
            raise _wrong(path, f"{key}.{name}", "[smallest, largest]", limits)
        found[name] = (float(pair[0]), float(pair[1]))
    return found


def _discrete(value: Any, key: str, path: Path) -> dict[str, float]:
    found = {}
    for name, share in _table(value, key, path).items():
        if not _is_number(share) or not 0 < share <= 1:
            raise _wrong(path, f"{key}.{name}", "the share that must agree, above 0 to 1", share)
        found[name] = float(share)
    return found


def _mutates(value: Any, key: str, path: Path) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name and name.isprintable() for name in names):
        raise _wrong(path, key, 'a list of names, like ["cache", "*.count"]', value)
    return tuple(names)


def _flag(value: Any, key: str, path: Path) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, key, "true or false", value)
    return value


def _table(value: Any, key: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, key, "a table", value)
    strange = next((name for name in value if not name.isprintable()), None)
    if strange is not None:  # it would go into reports and onto a terminal
        raise _wrong(path, key, "names that can be printed", strange)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _wrong(path: Path, key: str, wanted: str, value: Any) -> WorkbenchError:
    return error("usage", f"{path}: {key} wants {wanted}, not {value!r}.", str(path))


_READERS: dict[str, Callable[[Any, str, Path], Any]] = {
    "budgets": _budgets,
    "domain": _domain,
    "stochastic": _flag,
    "batch_coupled": _flag,
    "mutates": _mutates,
    "discrete": _discrete,
}
