"""Which name of a file is which name of a model, when they do not fit: prefixes and renames, scored by name and shape.

Pure: two tables of names and shapes in, a map and its reasons out. It proposes; nothing is applied here, and what is
not explained by one rule for many names is left unmatched.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.worker.bench.renaming import Rule, form
from workbench.worker.bench.renumbering import renumbered
from workbench.worker.bench.words import counted, some

Shapes = Mapping[str, tuple[int, ...] | None]
"""Name → shape; None for what is no tensor, which fits by its name alone."""

ROUNDS = 8
"""Rules that are looked for, one after the other: encoders and heads may be wrapped differently."""

ALIASES = {("gamma", "weight"), ("beta", "bias")}
"""Parts that mean the same: TensorFlow's names of a normalisation's parameters, and torch's."""


@dataclass(frozen=True)
class Repair:
    """A proposed map and how far it goes."""

    rules: tuple[Rule, ...]
    names: dict[str, str]
    """Name in the file → name in the model, for everything that fits in name and shape."""
    before: int
    """Names of the model that fitted as the file is."""
    total: int
    """Names that the model has."""
    random: tuple[str, ...]
    """Names of the model that nothing fits: they would stay as constructed."""
    unused: tuple[str, ...]
    """Names of the file that go nowhere."""
    shapes: tuple[str, ...] = ()
    """Of `random`: "head.weight [10,8] in the file, [5,8] in the model"."""
    doubt: str = ""
    """Why another map would do as well; empty when there is one alone."""
    tied: tuple[str, ...] = ()
    """Names of the model that come from another one that they are tied to."""

    misfits: frozenset[str] = frozenset()
    """Names of the file that `shapes` tells of."""

    @property
    def after(self) -> int:
        """Names of the model that fit with it."""
        return len(self.names) + len(self.tied)

    @property
    def helps(self) -> bool:
        """Whether it makes more fit, or lets a file be taken of which most fits as it is: with a head of another size,
        or with names too many."""
        return self.after > self.before or (self.after >= self.total / 2 and bool(self.random or self.unused))

    @property
    def safe(self) -> bool:
        """Whether it may be applied unasked: everything fits by it, in one way only."""
        return self.after > self.before and not self.random and not self.doubt

    @property
    def words(self) -> str:
        """ "0 of 161 → 161 of 161 after removing 'module._orig_mod.'; all shapes agree"."""
        how = " and ".join(rule.words for rule in self.rules)
        shapes = "all shapes agree" if not self.shapes else f"{len(self.shapes)} of another shape ({self.shapes[0]})"
        after = f"{self.before} of {self.total} → {self.after} of {self.total}{f' after {how}' if how else ''}"
        if not self.after:
            return f"0 of {self.total} names fit, and no change of names was found by which one would"
        told = f"{after if self.after > self.before else f'{self.after} of {self.total} fit as they are'}; {shapes}"
        if self.random:
            told += f"; {some(self.random)} would stay random"
        over = [name for name in self.unused if name not in self.misfits]
        if over:
            told += f"; {counted(len(over), 'name')} of the file {'is' if len(over) == 1 else 'are'} left"
            told += f" over ({some(over)})"
        return told

    @property
    def code(self) -> str:
        """Python after which a state_dict called `state` loads strictly into the `model`."""
        lines = self._by_rule() or self._by_name()
        if self.random or self.tied:
            lines.append("state = {**model.state_dict(), **state}  # what the file lacks stays as it is")
        return "\n".join(lines)

    def _by_rule(self) -> list[str]:
        """A line a rule; none where rules for all names do not do what was found for each."""
        every = [*self.names, *self.unused]
        state = {name: name for name in every}
        for rule in self.rules:
            state = {rule.apply(key): name for key, name in state.items()}
            if len(state) < len(every) or not rule.code:
                return []
        where = {name: key for key, name in state.items()}
        model = {*self.names.values(), *self.random, *self.tied}
        if any(where[name] != other for name, other in self.names.items()):
            return []
        if not model.isdisjoint(where[name] for name in self.unused):
            return []
        lines = ["import re"] if any(rule.kind == "numbers" for rule in self.rules) else []
        lines += [rule.code for rule in self.rules]
        if self.unused:
            lines.append("state = {key: value for key, value in state.items() if key in model.state_dict()}")
        return lines

    def _by_name(self) -> list[str]:
        """The map itself."""
        return [f"names = {self.names!r}", "state = {new: state[old] for old, new in names.items()}"]

    @property
    def complete(self) -> str:
        """Every name, one a line: where it goes, and what is left."""
        lines = [f"{old} → {new}" for old, new in self.names.items() if old != new]
        lines += [f"{name} would stay random" for name in self.random]
        lines += [f"{name} of the file is left over" for name in self.unused]
        return "\n".join(lines)


def solve(file: Shapes, model: Shapes, ties: Sequence[Sequence[str]] = ()) -> Repair:
    """The map under which most of `model`'s names are found in `file`, in name and shape.

    ties: names of the model that share one parameter; a file need hold one of them only.

    Rules are sought one at a time, the one that explains most names first, and each only for what is still unmatched.
    """
    names = {name: name for name in file if name in model and _fits(file[name], model[name])}
    now = {name: name for name in file}
    before, rules, doubt = len(names), [], ""
    for _ in range(ROUNDS):
        taken = set(names.values())
        left = {now[name]: shape for name, shape in file.items() if name not in names}
        open_ = {name: shape for name, shape in model.items() if name not in taken}
        found, rival = _better(_prefix(left, open_), _part(left, open_))
        if found is None:
            found, rival = renumbered(now, file, model, names)
            doubt = doubt or rival
            if found is None:
                break
            names = {name: new for name, new in names.items() if found.apply(now[name]) == now[name]}
        rules.append(found)
        kept = dict(names)
        for name in file:
            if name not in kept:
                now[name] = found.apply(now[name])
        _take(names, now, file, model)
        moved = {new for name, new in names.items() if name not in kept}
        doubt = doubt or rival or _interchangeable(found, moved, set(kept.values()), model)
    taken = set(names.values())
    tied = {name: None for group in ties if taken.intersection(group) for name in group if name not in taken}
    taken.update(tied)
    random = tuple(name for name in model if name not in taken)
    unused = tuple(name for name in file if name not in names)
    renamed = {now[name]: file[name] for name in unused}
    shapes = tuple(
        f"{name} {_text(renamed[name])} in the file, {_text(model[name])} in the model"
        for name in random
        if name in renamed and not _fits(renamed[name], model[name])
    )
    fresh = set(random)
    misfits = frozenset(name for name in unused if now[name] in fresh)
    return Repair(tuple(rules), names, before, len(model), random, unused, shapes, doubt, tuple(tied), misfits)


def _take(names: dict[str, str], now: Mapping[str, str], file: Shapes, model: Shapes) -> None:
    """Add to `names` what fits by now and is not taken."""
    taken = set(names.values())
    for name, other in now.items():
        if name not in names and other in model and other not in taken and _fits(file[name], model[other]):
            names[name] = other
            taken.add(other)


def _interchangeable(rule: Rule, moved: set[str], kept: set[str], model: Shapes) -> str:
    """Whether names that stayed as they are could have been meant by what `rule` moved beside them; in words, or empty.

    Of the same shape and under the same parent: more of them than were moved, or one whose name differs in one letter
    (q, k → k, v), which may be the next of a row.
    """
    old, new = rule.old.rstrip("."), rule.new.rstrip(".")
    if rule.kind == "numbers" or not old or not new or (old, new) in ALIASES:
        return ""
    place = new.count(".") if rule.kind == "prefix" else -1
    beside: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in kept:
        parts = name.split(".")
        for at in range(len(parts)) if place < 0 else [place]:
            beside[(*parts[:at], "", *parts[at + 1 :])].append(name)
    siblings = []
    for name in moved:
        parts = name.split(".")
        for at in [at for at, part in enumerate(parts) if part == new] if place < 0 else [place]:
            found = beside.get((*parts[:at], "", *parts[at + 1 :]), ())
            siblings += [(one.split(".")[at], parts[at]) for one in found if model[one] == model[name]]
    near = [one for one, part in siblings if _next(one, part)]
    if not near and len(siblings) <= len(moved):
        return ""
    return f"'{(near or [siblings[0][0]])[0]}', which is there by its name, may be meant by '{new}' as well as '{old}'"


def _next(one: str, other: str) -> bool:
    """Whether two names differ in one letter alone."""
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other)) == 1  # noqa: B905 (of one length)


Found = tuple[Rule | None, str]
"""A rule, and which other would do as well, in words."""


def _better(one: Found, other: Found) -> Found:
    """Of a change of prefix and a rename of parts the one that explains more; a plain prefix where both do the same."""
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    plain = not (one[0].old and one[0].new)
    return one if one[0].count > other[0].count or (one[0].count == other[0].count and plain) else other


def _fits(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> bool:
    return one is None or other is None or one == other


def _text(shape: tuple[int, ...] | None) -> str:
    return f"[{','.join(map(str, shape))}]" if shape is not None else "(no tensor)"


def _prefix(file: Shapes, model: Shapes) -> Found:
    """The change of prefix that makes most names fit, and which other would do as well (in words, or empty)."""
    ends: dict[str, list[str]] = defaultdict(list)
    for name in model:
        for start in _starts(name):
            ends[name[start:]].append(name[:start])
    votes: Counter[tuple[str, str]] = Counter()
    for name, shape in file.items():
        for start in _starts(name):
            old, rest = name[:start], name[start:]
            if len(ends.get(rest, ())) > 64:
                continue  # a name that ends everywhere says nothing about where it begins
            for new in ends.get(rest, ()):
                if (old or new) and not (old and new and _same(old, new)) and _fits(shape, model[new + rest]):
                    votes[old, new] += 1
    if not votes:
        return None, ""
    order = {pair: place for place, pair in enumerate(votes)}
    (old, new), count = min(
        votes.items(), key=lambda one: (-one[1], bool(one[0][0] and one[0][1]), _numbered(*one[0]), order[one[0]])
    )
    if old and new and count < 2 and len(model) > 1:
        return None, ""  # one name alone under two other prefixes is chance
    rivals = [pair for pair, other in votes.items() if other == count and pair[1] == new and pair[0] != old]
    rivals = [pair for pair in rivals if not (pair[0].endswith(old) or old.endswith(pair[0]))]
    doubt = f"the names under '{rivals[0][0]}' of the file fit as well as those under '{old}'" if rivals else ""
    return Rule("prefix", old, new, count), doubt


def _same(old: str, new: str) -> bool:
    """Whether a change of prefix is none, or not the shortest: the last part is one, or numbers alone differ (those
    move together, see `renumbered`)."""
    return old.rstrip(".").rpartition(".")[2] == new.rstrip(".").rpartition(".")[2] or form(old) == form(new)


def _numbered(old: str, new: str) -> bool:
    """Whether a change of prefix moves one number of many."""
    return bool(old and new) and form(old) != old and form(new) != new


def _starts(name: str) -> list[int]:
    """Where the rest of a name may begin: at its beginning, and behind each dot."""
    return [0, *(place + 1 for place, letter in enumerate(name) if letter == ".")]


def _part(file: Shapes, model: Shapes) -> Found:
    """The rename of one part between dots that makes most names fit; numbers are no names."""
    by_rest: dict[tuple[int, tuple[str, ...]], list[str]] = defaultdict(list)
    for name in model:
        parts = name.split(".")
        for place, part in enumerate(parts):
            by_rest[place, (*parts[:place], "", *parts[place + 1 :])].append(part)
    votes: Counter[tuple[str, str]] = Counter()
    for name, shape in file.items():
        parts = name.split(".")
        for place, part in enumerate(parts):
            for new in by_rest.get((place, (*parts[:place], "", *parts[place + 1 :])), ()):
                other = ".".join((*parts[:place], new, *parts[place + 1 :]))
                if form(new) != form(part) and _fits(shape, model[other]):
                    votes[part, new] += 1
    if not votes:
        return None, ""
    best = max(votes.values())
    pairs = sorted((pair for pair, count in votes.items() if count == best), key=_unlike)
    old, new = pairs[0]
    same = [pair for pair in pairs[1:] if (pair[0] == old) != (pair[1] == new)]
    doubt = (
        f"'{same[0][0]}' may be '{same[0][1]}' as well as '{old}' '{new}'" if same and (old, new) not in ALIASES else ""
    )
    return Rule("part", old, new, best), doubt


def _unlike(pair: tuple[str, str]) -> float:
    """How little two parts have in common; 0 for those that are known to mean the same."""
    return 0.0 if pair in ALIASES else 1.0 - difflib.SequenceMatcher(None, *pair).ratio() / 2
