"""The console on the bench: lines of Python beside the live model, and what they changed.

Owns the names that lines see and keep. What a line changes on the model is real; it is told after the line, and
the next run says it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.inside import Complete, Completions, Evaluate, Evaluated
from workbench.protocol.messages import Loaded
from workbench.worker.bench.info import columns
from workbench.worker.inside.activations import Activations
from workbench.worker.inside.changes import Before
from workbench.worker.inside.completing import completions
from workbench.worker.inside.running import compiled, names_in, run
from workbench.worker.job import Job

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

OURS = ("model", "act", "torch", "nn", "F")
"""Names that no input of the model takes away."""

REAL = "What is changed here is real: later runs have it. z brings parameters and buffers back."


class Console:
    """The names of one worker's console, from its first line on."""

    def __init__(self) -> None:
        self._act: Activations | None = None
        self._names: dict[str, Any] = {"__name__": "__console__", "torch": torch, "nn": nn, "F": torch.nn.functional}
        self._inputs: tuple[Any, ...] = ()
        """The very inputs that the names were made from."""
        self._run: tuple[int, nn.Module] | None = None
        """The run that `y` is of."""

    def evaluate(self, bench: Bench, runs: Runs, request: Evaluate, job: Job) -> Evaluated:
        """Run one line, or several. What it raises is in the answer."""
        statements, expression, wrong = compiled(request.text)
        if wrong:
            return Evaluated("", wrong)
        job.progress("running what was typed")
        self._refresh(bench, runs, job)
        if "y" in names_in(statements, expression):
            missing = self._find_y(bench, runs)
            if missing and "y" not in self._names:
                return Evaluated("", missing)
        outcome = run(statements, expression, self._names)
        if outcome.value is not None:
            self._names["_"] = outcome.value
        return Evaluated(outcome.output, outcome.error)

    def complete(self, bench: Bench, runs: Runs, request: Complete, job: Job) -> Completions:
        """How a line could go on."""
        act = self._refresh(bench, runs, job)
        return completions(request.text, {"y": None, **self._names}, act)

    def let_go(self) -> None:
        """Hold nothing of the bench's any more: a model that leaves it is freed, whatever names of it a line has seen.

        The next line has them again, of the model that is there then. Variables of the user's own stay.
        """
        given = set(map(id, self._inputs))
        for name in [name for name, value in self._names.items() if id(value) in given]:
            del self._names[name]
        for name in ("model", "act", "y", "_"):
            self._names.pop(name, None)
        self._act, self._inputs, self._run = None, (), None

    def _refresh(self, bench: Bench, runs: Runs, job: Job) -> Activations:
        """The names that are the bench's: always the model; the inputs when they are others than at the last line."""
        act = self._act = self._act or Activations(bench, runs, job)
        act.follow(bench, runs, job)
        self._names.update(model=bench.model, act=act)
        inputs = (*bench.args, *bench.kwargs.values())
        if list(map(id, inputs)) == list(map(id, self._inputs)):
            return act
        self._inputs = inputs
        if inputs:
            self._names["x"] = inputs[0]
        self._names.update(self._named(bench))
        return act

    def _named(self, bench: Bench) -> dict[str, Any]:
        positional = [one.name for one in bench.example.arguments if not one.keyword]
        named = {**dict(zip(positional, bench.args)), **bench.kwargs}  # noqa: B905 (as many as were given)
        return {name: value for name, value in named.items() if name and name not in OURS}

    def _find_y(self, bench: Bench, runs: Runs) -> str:
        """Have `y` be the last run's output; why it cannot, in words. An input of that name keeps it."""
        if "y" in self._named(bench):
            return ""
        if self._run is not None and (not runs.rows or self._run[1] is not bench.model):
            self._run = None
            self._names.pop("y", None)  # of a model that is gone
        if not runs.rows:
            return "y is the last run's output, and nothing was fired yet: space in the app fires."
        last = (max(runs.rows), bench.model)
        if self._run == last:
            return ""
        try:
            leaves = runs.store.get(last[0]).leaves
        except WorkbenchError as problem:
            return f"y: {problem.failure.message}"
        self._names["y"] = leaves[0][1] if len(leaves) == 1 and leaves[0][0] == "output" else dict(leaves)
        self._run = last
        return ""


class Notice:
    """Tells after each line what it did to the model, and once that this is real."""

    def __init__(self) -> None:
        self._told = False

    def around(self, bench: Bench, runs: Runs | None, job: Job, work: Callable[[], Evaluated]) -> Evaluated:
        """`work`, and in its answer what it changed; the face gets the modes, and the tree where that is another."""
        before = Before(bench.model)
        came = work()
        changed = before.changed()
        if not changed:
            return came
        now = bench.take_note()
        if before.rebuilt():
            bench.info = dataclasses.replace(bench.info, modules=columns(bench.model))
            job.emit(Loaded(bench.info, bench.modes, keep_runs=True))
        elif now is not None:
            job.emit(now)
        if runs is not None:
            runs.settle(job)
            runs.disturbed("changed at the console: " + ", ".join(changed))
        note = "" if self._told else REAL
        self._told = True
        return dataclasses.replace(came, changed=changed, note=note)
