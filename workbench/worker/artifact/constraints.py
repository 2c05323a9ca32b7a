"""What the model's code makes of sizes that were to be free: torch.export's suggestions and the lines behind them.

Reads its errors and the guards of its shape environment; it exports nothing. One `Found` a restricted dimension, from
which the worklist's rows are made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch.export import Dim

from workbench.protocol.artifacts import Constraint
from workbench.protocol.spec import InputSpec
from workbench.worker.artifact.export_errors import Guard, Guards

Axes = dict[int, str]
"""Axis of one tensor → name of its dynamic dimension."""

Range = tuple[int, "int | None"]
"""Smallest and largest size; None: no limit."""

ENDLESS = 2**62
"""torch writes an open end as a huge number in some versions."""

_FIX = re.compile(r"^\s+(\w+) = (.+?)\s*$")
_DIM = re.compile(r"Dim\('\w+'(?:, min=(?P<low>\d+))?(?:, max=(?P<high>\d+))?\)")
_LINEAR = re.compile(r"(?:(?P<times>\d+)\*)?(?P<base>[^\W\d]\w*)(?: (?P<sign>[+-]) (?P<plus>\d+))?")
_MULTIPLE = re.compile(r"(?P<times>\d+)\*k")
_VIOLATED = re.compile(r"Constraints violated \(([^)]*)\)")
_SIZE = re.compile(r"L\['(\w+)'\](.*)\.size\(\)\[(\d+)\]")


@dataclass(frozen=True)
class Found:
    """One restricted dimension, before it is put into words."""

    name: str
    became: str
    """"4", "2..64", "2*k" or another dimension's name."""
    free: Any
    """What to export with in its place: a `Dim`, an expression of one, or None for a constant."""
    guard: Guard | None


def restricted(
    problem: BaseException, dims: Mapping[str, Any], limits: Mapping[str, Range], axes: Mapping[str, Axes], seen: Guards
) -> list[Found]:
    """What the error says about each dimension in `dims` (name → what it was exported with, None for a constant).

    A dimension that it names without a suggestion may be whatever torch finds out; if it was, it is a constant.
    """
    lines = str(problem).partition("Suggested fixes:")[2].splitlines()
    fixes = {match[1]: match[2] for match in map(_FIX.match, lines) if match}
    roots = {name: dim for name, dim in dims.items() if dim is not None}
    for name, written in fixes.items():
        if match := _DIM.fullmatch(written):
            roots[name] = _narrowed(name, match, limits.get(name, (0, None)))
    named = [one.strip() for group in _VIOLATED.findall(str(problem)) for one in group.split(",")]
    found = []
    for name in dict.fromkeys(one for one in (*fixes, *named) if one in dims):
        became, free = _suggestion(fixes.get(name, ""), roots, limits)
        if free is not None and str(free) == str(dims[name]) and free == dims[name]:
            became, free = "", None  # the same once more leads nowhere
        if not became and not is_hint(dims[name]):
            free = hint(limits[name])
        found.append(Found(name, became, free, guard_of(name, became, axes, seen)))
    return found


def _suggestion(written: str, roots: Mapping[str, Any], limits: Mapping[str, Range]) -> tuple[str, Any]:
    if written.isdigit():
        return written, None
    if _DIM.fullmatch(written):
        dim = roots[written.split("'")[1]]
        return range_words(dim.min, dim.max if dim.max < ENDLESS else None), dim
    match = _LINEAR.fullmatch(written)
    if match is None or match["base"] not in roots or is_hint(roots[match["base"]]):
        return "", None
    base, free = match["base"], roots[match["base"]]
    free = int(match["times"]) * free if match["times"] else free
    if match["plus"]:
        free = free + int(match["plus"]) if match["sign"] == "+" else free - int(match["plus"])
    return (written if base in limits else written.replace(base, "k")), free


def _narrowed(name: str, match: re.Match[str], limits: Range) -> Any:
    low = max(int(match["low"] or 0), limits[0])
    highs = [int(match["high"])] if match["high"] else []
    highs += [limits[1]] if limits[1] is not None else []
    return dim_of(name, low, min(highs) if highs else None)


def dim_of(name: str, low: int, high: int | None) -> Any:
    return Dim(name, min=low) if high is None else Dim(name, min=low, max=high)


def hint(limits: Range) -> Any:
    """As free as torch finds it to be, within `limits`."""
    low, high = limits
    return Dim.AUTO(min=low) if high is None else Dim.AUTO(min=low, max=high)


def is_hint(dim: Any) -> bool:
    """Whether torch itself is to find out how free a dimension is."""
    return type(dim).__name__ == "_DimHint"


def range_words(low: int, high: int | None) -> str:
    """ "1..64", "2..∞"."""
    return f"{low}..{'∞' if high is None else high}"


# Guards


def guard_of(name: str, became: str, axes: Mapping[str, Axes], seen: Guards) -> Guard | None:
    """The condition on this dimension that says most, sizes by their names; None when no line of the user's asked."""
    known = _symbols(axes, seen)
    own = [symbol for symbol, dimension in known.items() if dimension == name]
    about = [one for one in seen.found if any(_holds(symbol, one.expression) for symbol in own)]
    exact = [one for one in about if one.expression in {f"Eq({symbol}, {became})" for symbol in own}]
    equal = [one for one in about if one.expression.startswith("Eq(")]
    bound = [one for one in about if "<" in one.expression or ">" in one.expression]
    order = (bound, equal, about) if ".." in became else (exact, equal, bound, about)
    best = next((some[0] for some in order if some), None)
    return replace(best, expression=_with_names(best.expression, known)) if best is not None else None


def _symbols(axes: Mapping[str, Axes], seen: Guards) -> dict[str, str]:
    """Symbol of torch's shape environment → name of the dimension that it stands for."""
    known = {}
    for symbol, source in seen.sources.items():
        match = _SIZE.fullmatch(source)
        name = axes.get(f"{match[1]}{match[2]}", {}).get(int(match[3]), "") if match else ""
        if name:
            known[symbol] = name
    return known


def _with_names(expression: str, known: Mapping[str, str]) -> str:
    """`expression` with the names of dimensions in place of torch's symbols."""
    return re.sub(r"\b[a-z]+\d+\b", lambda match: known.get(match[0], match[0]), expression)


def _holds(symbol: str, expression: str) -> bool:
    return re.search(rf"\b{symbol}\b", expression) is not None


# Rows


def row(
    found: Found, places: tuple[str, ...], limits: Range, values: str, spec: InputSpec | None, failed: str
) -> Constraint:
    """A row of the worklist. `spec`: of a declared input that has this dimension; `failed`: torch's own words, for
    a dimension without a line of its own."""
    guard = found.guard or Guard(failed, "", "")
    return Constraint(
        found.name,
        places,
        range_words(*limits),
        found.became,
        guard.expression,
        guard.place,
        guard.source,
        values,
        _remedy(found, spec, limits),
    )


def _remedy(found: Found, spec: InputSpec | None, limits: Range) -> str:
    """What to do in the code, and what to declare where the code is meant."""
    became = found.became
    low, ranged, high = became.partition("..")
    if became.isdigit() and (times := only_multiples(found.name, found.guard)):
        written = _declared(spec, found.name, int(became), int(became), "")
        one = f"declare the one size, --input '{written}', and pad" if written else "pad"
        return f"The line serves multiples of {times} only, of which torch keeps {became}: {one} {found.name} to it."
    if became.isdigit():
        code = f"Let the line read the size instead of fixing it, or export once for each size of {found.name}"
        written = _declared(spec, found.name, int(became), int(became), "")
    elif ranged:
        code = "Write both sides with torch.where or torch.cond"
        written = _declared(spec, found.name, int(low), int(high), "") if high.isdigit() else ""
    elif match := _MULTIPLE.fullmatch(became):
        return _multiples(found.name, int(match["times"]), limits, spec)
    elif "*" in became or " " in became:
        return f"Pad to a size of the form {became}, or mend the line."
    else:
        code = f"Let the line serve sizes that differ from {became}"
        written = _declared(spec, found.name, 0, 0, became)
    return f"{code}; or declare what it serves: --input '{written}'." if written else f"{code}."


def _multiples(name: str, times: int, limits: Range, spec: InputSpec | None) -> str:
    """What to do where multiples of a number are served. torch makes a constant of a size of 1 (also of one that is
    computed), so that the second multiple is the first that is sure to be served."""
    low = max(2 * times, -(-limits[0] // times) * times)
    high = limits[1] // times * times if limits[1] is not None else 0
    written = _declared(spec, name, low, high, "") if high > low else ""
    known = f"It serves multiples of {times}, from {low} on for sure"
    declare = f": declare that, --input '{written}'," if written and (low, high) != limits else ":"
    return f"{known}{declare} pad {name} to one of them, or mend the line."


def only_multiples(name: str, guard: Guard | None) -> int:
    """The number whose multiples alone satisfy a line that divides this size and multiplies again; 0 for another line.

    "Eq(5*t*batch, 20*batch*((t//4)))" holds for a t that 4 divides, whatever the batch is.
    """
    expression = guard.expression if guard is not None else ""
    halves = re.fullmatch(r"Eq\((.+), (.+)\)", expression)
    divided = re.findall(rf"\(+{re.escape(name)}//(\d+)\)+", expression)
    if halves is None or len(set(divided)) != 1:
        return 0
    sides = [side for side in map(_factors, halves.groups()) if side is not None]
    if len(sides) != 2:
        return 0
    (number, names), (other, others) = sorted(sides, key=lambda side: any("//" in one for one in side[1]))
    times, quotient = int(divided[0]), f"{name}//{divided[0]}"
    whole = sorted(name if one == quotient else one for one in others)
    return times if whole == sorted(names) and other == times * number else 0


def _factors(product: str) -> tuple[int, list[str]] | None:
    """(number, names and quotients) of a product as torch writes it; None for anything else."""
    number, names = 1, []
    for part in product.split("*"):
        one = re.sub(r"^\(+(\w+//\d+)\)+$", r"\1", part.strip())
        if not re.fullmatch(r"\w+(//\d+)?", one):
            return None
        if one.isdigit():
            number *= int(one)
        else:
            names.append(one)
    return number, names


def _declared(spec: InputSpec | None, name: str, low: int, high: int, other: str) -> str:
    """The spec with what holds for the dimension; empty where it was not declared."""
    if spec is None or all(dim.name != name for dim in spec.dynamic):
        return ""
    sizes = {}
    dims = []
    for dim in spec.dynamic:
        if dim.name != name:
            dims.append(dim)
        elif other:
            dims.append(replace(dim, name=other))
        elif high > low:
            dims.append(replace(dim, minimum=low, maximum=high))
        else:
            sizes[dim.axis] = low
    return replace(spec.resized(sizes), dynamic=tuple(dims)).text
