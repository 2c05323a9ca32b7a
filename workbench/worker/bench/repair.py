"""Which name of a file is which name of a model, when they do not fit: prefixes and renames, scored by name and shape.

Pure: two tables of names and shapes in, a map and its reasons out. It proposes; nothing is applied here, and what is
not explained by one rule for many names is left unmatched.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.worker.bench.words import counted, some

Shapes = Mapping[str, tuple[int, ...] | None]
"""Name → shape; None for what is no tensor, which fits by its name alone."""

ROUNDS = 6
"""Rules that are looked for, one after the other: encoders and heads may be wrapped differently."""

KNOWN = {
    "module.": "DataParallel and DistributedDataParallel put it there",
    "_orig_mod.": "torch.compile put it there",
    "model.": "a wrapping class put it there",
    "ema_model.": "an averaged copy was kept under it",
}
"""Prefixes and who writes them (torch/nn/parallel/data_parallel.py, torch/_dynamo/eval_frame.py)."""


ALIASES = {("gamma", "weight"), ("beta", "bias")}
"""Parts that mean the same: TensorFlow's names of a normalisation's parameters, and torch's."""


@dataclass(frozen=True)
class Rule:
    """One change of names: the prefix `old` becomes `new`, or the part `old` between two dots does."""

    kind: str
    """"prefix" or "part"."""
    old: str
    new: str
    count: int
    """Names that fit by it."""

    @property
    def words(self) -> str:
        """ "removing 'module._orig_mod.' (torch.compile put it there)"."""
        if self.kind == "part":
            return f"renaming '{self.old}' to '{self.new}'"
        if self.old and self.new:
            return f"writing '{self.new}' for '{self.old}' at the beginning"
        reason = next((words for name, words in KNOWN.items() if (self.old or self.new).endswith(name)), "")
        told = f" ({reason})" if reason else ""
        return f"removing '{self.old}'{told}" if self.old else f"putting '{self.new}' before them{told}"

    def apply(self, name: str) -> str:
        """The other name; the same where the rule does not touch it."""
        if self.kind == "prefix":
            return self.new + name[len(self.old) :] if name.startswith(self.old) else name
        return ".".join(self.new if part == self.old else part for part in name.split("."))


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
    tied: int = 0
    """Names of the model that come from another one that they are tied to."""

    @property
    def after(self) -> int:
        """Names of the model that fit with it."""
        return len(self.names) + self.tied

    @property
    def helps(self) -> bool:
        """Whether more fits with it than without."""
        return self.after > self.before

    @property
    def safe(self) -> bool:
        """Whether it may be applied unasked: everything fits, in one way only."""
        return not self.random and not self.doubt

    @property
    def words(self) -> str:
        """ "0 of 161 → 161 of 161 after removing 'module._orig_mod.'; all shapes agree"."""
        how = " and ".join(rule.words for rule in self.rules)
        after = f" after {how}" if how else ""
        shapes = "all shapes agree" if not self.shapes else f"{len(self.shapes)} of another shape ({self.shapes[0]})"
        told = f"{self.before} of {self.total} → {self.after} of {self.total}{after}; {shapes}"
        if self.random:
            told += f"; {some(self.random)} would stay random"
        if self.unused:
            told += f"; {counted(len(self.unused), 'name')} of the file {'is' if len(self.unused) == 1 else 'are'} left"
            told += f" over ({some(self.unused)})"
        return told

    @property
    def code(self) -> str:
        """Python that does the same to a state_dict called `state`."""
        lines = []
        if any(_renamed(name, self.rules) != other for name, other in self.names.items()):
            names = {name: other for name, other in self.names.items() if name != other}
            return f"names = {names!r}\nstate = {{names.get(key, key): value for key, value in state.items()}}"
        for rule in self.rules:
            if rule.kind == "part":
                new = f'".".join({rule.new!r} if part == {rule.old!r} else part for part in key.split("."))'
            elif rule.old:
                new = f"{rule.new!r} + key.removeprefix({rule.old!r}) if key.startswith({rule.old!r}) else key"
                if not rule.new:
                    new = f"key.removeprefix({rule.old!r})"
            else:
                new = f"{rule.new!r} + key"
            lines.append(f"state = {{{new}: value for key, value in state.items()}}")
        if self.unused:
            lines.append("state = {key: value for key, value in state.items() if key in model.state_dict()}")
        return "\n".join(lines)

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
    before, rules, doubt = len(names), [], ""
    now = {name: name for name in file if name not in names}
    for _ in range(ROUNDS):
        taken = set(names.values())
        left = {other: file[name] for name, other in now.items()}
        open_ = {name: shape for name, shape in model.items() if name not in taken}
        found, rival = _better(_prefix(left, open_), _part(left, open_))
        if found is None:
            break
        rules.append(found)
        doubt = doubt or rival
        now = {name: found.apply(other) for name, other in now.items()}
        for name, other in list(now.items()):
            if other in open_ and other not in taken and _fits(file[name], open_[other]):
                names[name] = other
                taken.add(other)
                del now[name]
    taken = set(names.values())
    tied = {name for group in ties if taken.intersection(group) for name in group} - taken
    taken |= tied
    random = tuple(name for name in model if name not in taken)
    renamed = {other: file[name] for name, other in now.items()}
    shapes = tuple(
        f"{name} {_text(renamed[name])} in the file, {_text(model[name])} in the model"
        for name in random
        if name in renamed and not _fits(renamed[name], model[name])
    )
    unused = tuple(name for name in file if name not in names)
    return Repair(tuple(rules), names, before, len(model), random, unused, shapes, doubt, len(tied))


Found = tuple[Rule | None, str]
"""A rule, and which other would do as well, in words."""


def _better(one: Found, other: Found) -> Found:
    """Of a change of prefix and a rename of parts the one that explains more; a plain prefix where both do the same."""
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    plain = not (one[0].old and one[0].new)
    return one if one[0].count > other[0].count or (one[0].count == other[0].count and plain) else other


def _renamed(name: str, rules: Sequence[Rule]) -> str:
    for rule in rules:
        name = rule.apply(name)
    return name


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
                if (old or new) and not (old and new and _last(old) == _last(new)) and _fits(shape, model[new + rest]):
                    votes[old, new] += 1
    if not votes:
        return None, ""
    order = {pair: place for place, pair in enumerate(votes)}
    (old, new), count = min(votes.items(), key=lambda one: (-one[1], bool(one[0][0] and one[0][1]), order[one[0]]))
    if old and new and count < 2 and len(model) > 1:
        return None, ""  # one name alone under two other prefixes is chance
    rivals = [pair for pair, other in votes.items() if other == count and pair[1] == new and pair[0] != old]
    rivals = [pair for pair in rivals if not (pair[0].endswith(old) or old.endswith(pair[0]))]
    doubt = f"the names under '{rivals[0][0]}' of the file fit as well as those under '{old}'" if rivals else ""
    return Rule("prefix", old, new, count), doubt


def _last(prefix: str) -> str:
    """The last part of a prefix: where both have the same, a shorter change says the same."""
    return prefix.rstrip(".").rpartition(".")[2]


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
                if new != part and not (part.isdigit() and new.isdigit()) and _fits(shape, model[other]):
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
