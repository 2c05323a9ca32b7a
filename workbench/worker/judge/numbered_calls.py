"""Every call of every module of one forward, numbered, with hooks that may look at it or give it other arguments.

What a hook of ours raises is marked, for it comes out of the user's forward and is no fault of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.job import Job
from workbench.worker.judge.watch import users_line

Key = tuple[str, int]
"""Path, and which call of it."""


@dataclass(frozen=True, eq=False)
class NumberedCall:
    """A call that is open."""

    key: Key
    module: nn.Module
    depth: int
    above: Key | None
    site: str
    """file:line of the user's code that made it."""


class NumberedCalls:
    """Hooks on every module that number the calls."""

    def __init__(self, modules: Sequence[tuple[str, nn.Module]], job: Job) -> None:
        self._modules, self._job = modules, job
        self._numbers: dict[str, int] = {}
        self._stack: list[NumberedCall] = []

    @contextmanager
    def on(self, enter: Any, leave: Any) -> Iterator[None]:
        """`enter(call, args, kwargs)` may return other arguments; `leave(call, output)` sees the answer."""
        handles = []
        try:
            for path, module in self._modules:
                if isinstance(module, torch.jit.ScriptModule) and path:
                    continue  # called from C++, which knows no hooks
                handles.append(module.register_forward_pre_hook(self._entering(path, enter), with_kwargs=True))
                handles.append(module.register_forward_hook(self._leaving(leave)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _entering(self, path: str, enter: Any) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            self._job.raise_if_cancelled()
            number = self._numbers.get(path, 0)
            self._numbers[path] = number + 1
            above = self._stack[-1].key if self._stack else None
            call = NumberedCall((path, number), module, len(self._stack), above, users_line(sys._getframe(1))[0])
            self._stack.append(call)
            with _ours():
                return enter(call, args, kwargs)

        return hook

    def _leaving(self, leave: Any) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            while self._stack and self._stack[-1].module is not module:
                self._stack.pop()  # a call inside raised, and the model caught it
            if self._stack:
                with _ours():
                    leave(self._stack.pop(), output)

        return hook


OURS = "raised while the workbench measured"
"""Mark of an exception that no line of the user's has raised."""


@contextmanager
def _ours() -> Iterator[None]:
    """Inside runs code of our own: what it raises is no fault of the model's, though it comes out of a forward."""
    try:
        yield
    except Exception as problem:
        setattr(problem, OURS, True)
        raise
