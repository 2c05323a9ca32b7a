"""Watching a forward: every module call with digests of what went in and came out, and which generators moved.

Owns the hooks. It never changes a value; a watched forward is slower, so nothing that is timed or judged is ever
watched.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.failing import is_users
from workbench.worker.job import Job
from workbench.worker.judge.digest import digest
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.store import detached, output_bytes


@dataclass(eq=False)
class Call:
    """One call of one module."""

    path: str
    number: int
    """Which call of this module, from 0."""
    module: nn.Module
    above: Call | None
    received: bytes
    """Digest of the arguments."""
    site: str
    """file:line of the user's code that made the call; empty for the root."""
    training: bool
    """Its own flag when it was called."""
    generators: Generators | None
    buffers: dict[str, bytes]
    """Digests of its own buffers when it was called."""
    answered: bytes = b""
    """Digest of the output; empty until it returned."""
    moved: tuple[str, ...] = ()
    """Global generators that were drawn from inside, below included."""
    buffers_moved: bool = False
    """Its own buffers were changed inside."""
    output: Flat | None = None
    """A copy of the output, while the budget lasts."""
    below: list[Call] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, int]:
        return self.path, self.number


class Watcher:
    """Every module call of one forward, in the order in which the calls returned."""

    def __init__(
        self,
        modules: list[tuple[str, nn.Module]],
        job: Job,
        budget: int = 0,
        returned: Callable[[Call, Flat], None] | None = None,
    ) -> None:
        """`budget`: bytes of outputs to copy. `returned` sees each call with its live output."""
        self.calls: list[Call] = []
        self.stack: list[Call] = []
        self._modules, self._job, self._budget, self._returned = modules, job, budget, returned
        self._numbers: dict[str, int] = {}

    @contextlib.contextmanager
    def on(self) -> Iterator[Watcher]:
        """Hooks on every module, removed afterwards."""
        handles = []
        try:
            for path, module in self._modules:
                if isinstance(module, torch.jit.ScriptModule) and path:
                    continue  # called from C++, which knows no hooks
                handles.append(module.register_forward_pre_hook(self._enter(path), with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave, with_kwargs=True))
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def raise_if_cancelled(self) -> None:
        """A place to stop within the forward."""
        self._job.raise_if_cancelled()

    def _enter(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._job.raise_if_cancelled()
            number = self._numbers.get(path, 0)
            self._numbers[path] = number + 1
            above = self.stack[-1] if self.stack else None
            call = Call(
                path,
                number,
                module,
                above,
                digest(flatten((args, kwargs), "input")),
                users_line(sys._getframe(1))[0],
                module.training,
                Generators.take(),
                _buffers(module),
            )
            if above is not None:
                above.below.append(call)
            self.stack.append(call)

        return hook

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        while self.stack and self.stack[-1].module is not module:
            self.stack.pop()  # a call inside raised, and the model caught it
        if not self.stack:
            return
        call = self.stack.pop()
        flat = flatten(output)
        call.answered = digest(flat)
        if call.generators is not None:
            call.moved = call.generators.moved(Generators.take())
            call.generators = None
        call.buffers_moved = call.buffers != _buffers(module)
        size = output_bytes(flat)
        if size <= self._budget:
            self._budget -= size
            call.output = detached(flat)
        self.calls.append(call)
        if self._returned is not None:
            self._returned(call, flat)


def _buffers(module: nn.Module) -> dict[str, bytes]:
    return {name: digest(Flat("", [("", one)])) for name, one in module._buffers.items() if one is not None}


def users_line(frame: Any) -> tuple[str, str]:
    """(file:line of the nearest user frame, name of the torch.nn.functional function that it called or "")."""
    called = ""
    while frame is not None:
        code = frame.f_code
        if _users(code.co_filename):
            return f"{code.co_filename}:{frame.f_lineno}", called
        if not called and code.co_filename.endswith(("nn/functional.py", "nn\\functional.py")):
            called = f"F.{code.co_name}"
        frame = frame.f_back
    return "", called


_users = functools.lru_cache(maxsize=4096)(is_users)
