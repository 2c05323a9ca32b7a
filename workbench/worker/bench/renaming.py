"""One change of names, in words, applied, and as a line of Python. No torch, no decisions."""

from __future__ import annotations

import re
from dataclasses import dataclass

KNOWN = {
    "module.": "DataParallel and DistributedDataParallel put it there",
    "_orig_mod.": "torch.compile put it there",
    "model.": "a wrapping class put it there",
    "ema_model.": "an averaged copy was kept under it",
}
"""Prefixes and who writes them (torch/nn/parallel/data_parallel.py, torch/_dynamo/eval_frame.py)."""

NUMBER = re.compile("[0-9]+")


@dataclass(frozen=True)
class Rule:
    """One change of names: a prefix, a part between two dots, or the numbers behind a beginning, become others."""

    kind: str
    """"prefix", "part" or "numbers"."""
    old: str
    """What is changed; of numbers what stands before them, with # for each number in it ("blocks.#.norm")."""
    new: str
    """What it becomes; empty for numbers."""
    count: int
    """Names that fit by it."""
    numbers: tuple[tuple[int, int], ...] = ()
    """(number in the file, number in the model), in their order."""

    @property
    def shift(self) -> int:
        """What is added to every number; 0 where it is not the same for all."""
        steps = {new - old for old, new in self.numbers}
        return steps.pop() if len(steps) == 1 else 0

    @property
    def words(self) -> str:
        """ "removing 'module._orig_mod.' (torch.compile put it there)"."""
        if self.kind == "numbers":
            if self.shift:
                return f"counting '{self.old}' from {self.numbers[0][1]} instead of {self.numbers[0][0]}"
            old, new = (", ".join(str(pair[side]) for pair in self.numbers[:6]) for side in (0, 1))
            more = " …" if len(self.numbers) > 6 else ""
            return f"numbering '{self.old}' {new}{more} instead of {old}{more}"
        if self.kind == "part":
            return f"renaming '{self.old}' to '{self.new}'"
        if self.old and self.new:
            return f"writing '{self.new}' for '{self.old}' at the beginning"
        reason = next((words for name, words in KNOWN.items() if (self.old or self.new).endswith(name)), "")
        told = f" ({reason})" if reason else ""
        return f"removing '{self.old}'{told}" if self.old else f"putting '{self.new}' before them{told}"

    def apply(self, name: str) -> str:
        """The other name; the same where the rule does not touch it."""
        if self.kind == "numbers":
            return self._numbered(name)
        if self.kind == "prefix":
            return self.new + name[len(self.old) :] if name.startswith(self.old) else name
        return ".".join(self.new if part == self.old else part for part in name.split("."))

    def _numbered(self, name: str) -> str:
        found = re.match(self._pattern, name)
        if found is None:
            return name
        number = found[2]
        changed = dict(self.numbers).get(int(number)) if number == str(int(number)) else None
        return name if changed is None else f"{found[1]}{changed}{name[found.end() :]}"

    @property
    def _pattern(self) -> str:
        """(what stands before, the number), as a regular expression."""
        return f"({'[0-9]+'.join(map(re.escape, self.old.split('#')))})([0-9]+)"

    @property
    def code(self) -> str:
        """A line of Python that does the same to the keys of a dict called `state`; empty where none is as short."""
        if self.kind == "numbers":
            if not self.shift:
                return ""
            new = f're.sub(r"^{self._pattern}", lambda at: f"{{at[1]}}{{int(at[2]) + {self.shift}}}", key)'
        elif self.kind == "part":
            new = f'".".join({self.new!r} if part == {self.old!r} else part for part in key.split("."))'
        elif not self.old:
            new = f"{self.new!r} + key"
        elif self.new:
            new = f"{self.new!r} + key.removeprefix({self.old!r}) if key.startswith({self.old!r}) else key"
        else:
            new = f"key.removeprefix({self.old!r})"
        return f"state = {{{new}: value for key, value in state.items()}}"


def form(name: str) -> str:
    """A name with # for each number in it."""
    return NUMBER.sub("#", name)
