"""Numbers in names that begin elsewhere or leave gaps: layers 0 to 2 of a file that are layers 1 to 3 of a model.

A number tells an order. So all that stand at one place move together and keep their order, also those whose names
happen to be there as they are; one alone is never moved past the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from workbench.worker.bench.renaming import NUMBER, Rule

Shapes = Mapping[str, tuple[int, ...] | None]


@dataclass
class _Family:
    """The names that differ in the number behind one beginning."""

    file: dict[int, list[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Number → (name in the file, what stands before the number, what behind it)."""
    model: set[int] = field(default_factory=set)


def renumbered(
    now: Mapping[str, str], file: Shapes, model: Shapes, names: Mapping[str, str]
) -> tuple[Rule | None, str]:
    """The change of numbers by which more names fit than do, and which other would do as well, in words, or empty.

    now: name in the file → what the rules before made of it. names: those of them that fit.

    Where a change fits as many as fit without it, there is no rule, and a doubt.
    """
    best: tuple[int, Rule, str] | None = None
    doubt = ""
    for head, family in _families(now, model, names).items():
        fit = sum(name in names for held in family.file.values() for name, _, _ in held)
        counted = sorted(
            ((_count(family, dict(numbers), file, model), numbers) for numbers in _candidates(family)),
            key=lambda one: -one[0],
        )
        if not counted or counted[0][0] < max(fit, 1):
            continue
        count, numbers = counted[0]
        rule = Rule("numbers", head, "", count, numbers)
        if count == fit:
            doubt = doubt or f"the names under '{head}' fit as well as they are as they do when {rule.words}"
        elif best is None or count - fit > best[0]:
            best = count - fit, rule, _rival(family, rule, counted, file)
    return (best[1], best[2] or doubt) if best else (None, doubt)


def _rival(family: _Family, rule: Rule, counted: list[tuple[int, tuple[tuple[int, int], ...]]], file: Shapes) -> str:
    if len(counted) > 1 and counted[1][0] == counted[0][0]:
        other = Rule("numbers", rule.old, "", rule.count, counted[1][1])
        return f"{other.words} would do as well"
    if rule.shift:
        return ""
    made = [frozenset((rest, file[name]) for name, _, rest in held) for held in family.file.values()]
    alike = len(set(made)) < len(made)
    return f"several numbers under '{rule.old}' hold the same shapes: their order was kept" if alike else ""


def _families(now: Mapping[str, str], model: Shapes, names: Mapping[str, str]) -> dict[str, _Family]:
    """Beginning, with # for its numbers → family, of those in which a name of the file goes nowhere."""
    families: dict[str, _Family] = {}
    for name in now:
        if name not in names:
            for head, *_ in _numbers(now[name]):
                if head not in families:
                    families[head] = _Family()
    if not families:
        return {}
    for name in model:
        for head, number, *_ in _numbers(name):
            if (family := families.get(head)) is not None:
                family.model.add(number)
    families = {head: family for head, family in families.items() if family.model}
    for name, current in now.items():
        for head, number, begin, end in _numbers(current):
            if (family := families.get(head)) is not None:
                family.file[number].append((name, current[:begin], current[end:]))
    return families


def _numbers(name: str) -> Iterator[tuple[str, int, int, int]]:
    """(what stands before, with # for its numbers; number; where it begins and ends) for each number of a name that is
    written without zeros."""
    head, last = "", 0
    for found in NUMBER.finditer(name):
        begin, end = found.span()
        head += name[last:begin]
        if end - begin < 10 and (name[begin] != "0" or end - begin == 1):
            yield head, int(name[begin:end]), begin, end
        head, last = f"{head}#", end


def _candidates(family: _Family) -> list[tuple[tuple[int, int], ...]]:
    """The changes of all numbers that keep their order: both ways of moving them together, and one for one."""
    old, new = sorted(family.file), sorted(family.model)
    steps = {new[0] - old[0], new[-1] - old[-1]} - {0}
    found = [tuple((number, number + step) for number in old) for step in sorted(steps, key=abs)]
    in_order = tuple(zip(old, new)) if len(old) == len(new) and old != new else ()  # noqa: B905 (of one length)
    return [*found, in_order] if in_order and in_order not in found else found


def _count(family: _Family, numbers: Mapping[int, int], file: Shapes, model: Shapes) -> int:
    """Names of the family that fit with their numbers changed."""
    count = 0
    for number, held in family.file.items():
        for name, head, rest in held:
            other = f"{head}{numbers[number]}{rest}"
            count += other in model and (file[name] is None or model[other] is None or file[name] == model[other])
    return count
