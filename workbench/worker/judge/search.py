"""The search for what two forwards differ in: module, operator, line, and the state that makes the difference.

Owns which forwards are run, how often and under whose eyes; `blame.py` has the words. A step that is not needed for
the module's name is left out once the time is spent, and the evidence says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from workbench.worker.job import Job
from workbench.worker.judge import memory
from workbench.worker.judge.compare import compare
from workbench.worker.judge.evidence import Evidence
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.operators import Names, Operators, Parting, Step, first_new_value, first_parting, noise
from workbench.worker.judge.pairs import Pair
from workbench.worker.judge.sources import sources
from workbench.worker.judge.unwritten import Site, unwritten
from workbench.worker.judge.watch import Call, Watcher

COPIES = 4 << 30
"""Most bytes of module outputs of the first forward that are held for the second."""
SECONDS = 60.0
"""After so long only what runs already is finished, unless told otherwise."""
TRIED = 6
"""Things that moved and are put back one by one, to see which of them makes the difference."""


class Search:
    """One pair being looked at."""

    def __init__(self, pair: Pair, job: Job, seconds: float = SECONDS) -> None:
        """After `seconds` only what runs already is finished."""
        self.differing: list[Call] = []
        """Calls of the second forward whose output differs, in the order in which they returned."""
        self.max_abs: float | None = None
        """Largest difference at the module that was found; None where its output was too large to be held."""
        self.same_inputs = True
        self._pair, self._job, self._seconds = pair, job, seconds
        self._first: dict[tuple[str, int], Call] = {}
        self._found: Call | None = None
        self._began = time.monotonic()
        self._left_out = ""

    def run(self) -> Evidence | None:
        """Look; None when no module differs where its inputs agree."""
        available, _ = memory.available()
        self._say(0)
        watcher = self._watched(0, min(COPIES, available // 4))
        self._first = {call.key: call for call in watcher.calls}
        self._say(1)
        self._watched(1, 0, self._against_first)
        root = next((call for call in self.differing if call.above is None), None)
        if root is not None:
            self.same_inputs = self._first[root.key].received == root.received
        if self._found is None:
            return None
        return self._gather(self._found, self._first[self._found.key])

    def _say(self, which: int) -> None:
        self._job.progress(f"replaying run {self._pair.numbers[which]}")

    def _watched(self, which: int, budget: int = 0, returned: Callable[[Call, Flat], None] | None = None) -> Watcher:
        watcher = Watcher(self._pair.parts.modules, self._job, budget, returned)
        self._pair.prepare(which)
        with watcher.on():
            self._pair.forward(which)
        return watcher

    def _against_first(self, call: Call, output: Flat) -> None:
        before = self._first.get(call.key)
        if before is None or before.answered == call.answered:
            return
        self.differing.append(call)
        if self._found is not None or before.received != call.received:
            return
        self._found = call
        if before.output is not None:
            _, leaves = compare(before.output, output)
            self.max_abs = max((leaf.max_abs for leaf in leaves), default=0.0)

    def _gather(self, call: Call, before: Call) -> Evidence:
        """Everything that tells why `call` differs."""
        pair, key = self._pair, call.key
        self._job.progress("looking for the operator")
        a, first = self._listed(0, key)
        moved = pair.moved() if pair.drifts else []
        b, _ = self._listed(1, key)
        again, answers = self._listed(0, key)
        repeats = answers == before.answered == first
        parting = self._part(call, a, b, again if repeats else [])
        evidence = Evidence(
            call,
            before,
            pair.numbers,
            pair.modes,
            tuple(name for name, value in call.buffers.items() if before.buffers.get(name) != value),
            parting,
            repeats,
            self._between(call),
            tuple(moved),
            self.max_abs,
        )
        if evidence.settled or (parting is not None and parting.step.random):
            return evidence
        if site := self._unwritten(key):
            return replace(evidence, unwritten=site)
        evidence = replace(evidence, proven=self._proven(evidence), sources=self._sources(key))
        outside = any(one.kind != "random" for one in evidence.sources)
        if not repeats and not outside and torch.get_num_threads() > 1:
            evidence = replace(evidence, alone=self._alone(key))
        return replace(evidence, left_out=self._left_out)

    def _unwritten(self, key: tuple[str, int]) -> Site | None:
        """The place whose unwritten memory is in what the call answers."""
        if self._late():
            return None
        self._job.progress("looking for memory that nobody wrote")
        return unwritten(lambda: _answer(self._watched(0), key))

    def _part(self, call: Call, a: list[Step], b: list[Step], again: list[Step]) -> Parting | None:
        one, two = self._pair.modes
        parting = first_new_value(a, b) if one.grad != two.grad else first_parting(a, b, noise(a, again))
        if parting is None or parting.way or parting.a is None or parting.step.random:
            return parting
        operands = [self._operators(which, call.key, parting.index).operands for which in (0, 1)]
        return replace(parting, operands=(operands[0], operands[1]))

    def _listed(self, which: int, key: tuple[str, int]) -> tuple[list[Step], bytes]:
        """The operators inside the call, and the digest of what it answered."""
        watcher, operators = self._under_operators(which, key, -1)
        return operators.steps, _answer(watcher, key)

    def _operators(self, which: int, key: tuple[str, int], at: int) -> Operators:
        return self._under_operators(which, key, at)[1]

    def _under_operators(self, which: int, key: tuple[str, int], at: int) -> tuple[Watcher, Operators]:
        pair = self._pair
        watcher = Watcher(pair.parts.modules, self._job)
        names = Names(pair.parts.modules, pair.snapshot.name_of)
        pair.prepare(which)
        with watcher.on(), Operators(watcher, key, names, at) as operators:
            pair.forward(which)
        return watcher, operators

    def _proven(self, evidence: Evidence) -> tuple[tuple[str, str], ...]:
        """What alone, put back to its value of before the first forward, makes the second answer as the first."""
        key, wanted = evidence.call.key, evidence.before.answered
        moved = sorted(evidence.moved, key=evidence.suspicion)
        if not moved or not evidence.repeats:
            return ()
        self._job.progress("putting back what moved")
        for one in moved[:TRIED]:
            if self._late():
                return ()
            if self._with_back(key, {one[0]}) == wanted:
                return (one,)
        if len(moved) > 1 and not self._late() and self._with_back(key, {name for name, _ in moved}) == wanted:
            return tuple(moved)
        return ()

    def _with_back(self, key: tuple[str, int], names: set[str]) -> bytes:
        pair = self._pair
        pair.prepare(0)
        pair.forward(0)
        pair.put_back(names.__contains__)
        return _answer(self._watched(1), key)

    def _sources(self, key: tuple[str, int]) -> tuple[Any, ...]:
        if self._late():
            return ()
        self._job.progress("looking for clocks and generators")
        watcher = Watcher(self._pair.parts.modules, self._job)
        self._pair.prepare(0)
        with watcher.on(), sources(watcher, key) as found:
            self._pair.forward(0)
        return tuple(replace(one, owner=self._pair.snapshot.name_of(one.owner)) if one.owner else one for one in found)

    def _alone(self, key: tuple[str, int]) -> bool | None:
        """Whether it answers the same twice with one thread; None when there was no time to ask."""
        if self._late():
            return None
        self._job.progress("with one thread")
        self._pair.threads = 1
        try:
            answers = [_answer(self._watched(0), key) for _ in range(3)]
        finally:
            self._pair.threads = 0
        return len(set(answers)) == 1

    def _late(self) -> bool:
        if time.monotonic() - self._began > self._seconds:
            self._left_out = f"the search ended after {self._seconds:.0f} s, before everything was tried"
        return bool(self._left_out)

    def _between(self, call: Call) -> tuple[str, str]:
        """Paths of the modules below that returned last before, and were called first after, the values parted."""
        last = ""
        for inner in call.below:
            before = self._first.get(inner.key)
            if before is None or before.received != inner.received:
                return last, inner.path
            last = inner.path
        return last, ""


def _answer(watcher: Watcher, key: tuple[str, int]) -> bytes:
    return next((call.answered for call in watcher.calls if call.key == key), b"")
