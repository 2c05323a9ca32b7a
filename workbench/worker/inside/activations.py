"""`act`: what modules answered in the last run, captured by a replay the first time each is asked for.

Owns the copies, until another run was fired or the weights are others. A replay changes nothing (see `look.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.bench.words import closest
from workbench.worker.inside.look import hooked, replayed, start_of_last_run
from workbench.worker.job import Job
from workbench.worker.judge.replay import Parts

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

BUDGET = 1 << 30
"""Bytes of captured tensors beyond which the oldest modules are forgotten."""


class Activations(Mapping[str, Any]):
    """`act['body.0']` is what that module answered last; `act.inputs(path)` and `act.calls(path)` have every call."""

    def __init__(self, bench: Bench, runs: Runs, job: Job) -> None:
        self._bench, self._runs, self._job = bench, runs, job
        self._captured: dict[str, _Capture] = {}
        self._key: tuple[Any, ...] = ()

    def follow(self, bench: Bench, runs: Runs, job: Job) -> None:
        """The bench, its runs and the job of the line that is run now."""
        self._bench, self._runs, self._job = bench, runs, job

    def __getitem__(self, path: str) -> Any:
        calls = self._capture(path).outputs
        if not calls:
            raise KeyError(f"{path} was not called in the last run, or did not return")
        return calls[-1]

    def calls(self, path: str) -> list[Any]:
        """What it answered, each call."""
        return list(self._capture(path).outputs)

    def inputs(self, path: str) -> list[Any]:
        """(args, kwargs) of each call."""
        return list(self._capture(path).inputs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._bench.model.named_modules()))

    def __len__(self) -> int:
        return len(dict(self._bench.model.named_modules()))

    def __repr__(self) -> str:
        captured = ", ".join(self._captured) or "none yet"
        return f"activations of {len(self)} modules in the last run, by path; captured: {captured}"

    def _capture(self, path: str) -> _Capture:
        modules = dict(self._bench.model.named_modules(remove_duplicate=False))
        module = modules.get(path)
        if module is None:
            raise KeyError(f"the model has no module {path!r}. {closest(str(path), list(modules))}".strip())
        _, record, about = start_of_last_run(self._bench, self._runs)
        if record is None:
            raise RuntimeError(about)
        key = (id(record), id(self._bench.model), Parts(self._bench.model).weights())
        if key != self._key:
            self._captured.clear()
            self._key = key if self._runs.rows else ()  # before the first run every look starts from another state
        found = self._captured.get(path)
        if found is None:
            self._job.progress(f"replaying the last run for {path or 'the model'}")
            found = _Capture(module, record)
            raised = replayed(self._bench, record, found.on, self._job)
            if raised and not found.outputs and not found.inputs:
                raise RuntimeError(raised)
            self._captured[path] = found
            self._shrink()
        return found

    def _shrink(self) -> None:
        while len(self._captured) > 1 and sum(one.bytes for one in self._captured.values()) > BUDGET:
            del self._captured[next(iter(self._captured))]


class _Capture:
    """Copies of what went into one module and came out of it."""

    def __init__(self, module: nn.Module, record: Any) -> None:
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._module = module
        self._record = record
        """Kept so that its identity is not used again."""

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in tensors_in((self.inputs, self.outputs)))

    @contextmanager
    def on(self) -> Iterator[None]:
        """Two hooks, removed afterwards."""
        with hooked(self._module, self._enter, self._leave):
            yield

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.inputs.append((map_tensors(args, _copy), map_tensors(kwargs, _copy)))

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        self.outputs.append(map_tensors(output, _copy))


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(False), torch.no_grad():  # an ordinary tensor, also of a run in inference mode
        return tensor.detach().clone()
