"""Watching a forward: every module call with digests of what went in and came out, and who drew random numbers.

Owns the hooks and the dispatch mode. It never changes a value; a watched forward is slower, so nothing that is timed or
judged is ever watched.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

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
    generators: Generators | None
    buffers: bytes
    attributes: dict[str, Any]
    """Plain values on the module when it was called, and versions of tensors: what may be hidden state."""
    answered: bytes = b""
    """Digest of the output; empty until it returned."""
    moved: tuple[str, ...] = ()
    """Global generators that were drawn from inside, below included."""
    moved_below: bool = False
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
                Generators.take(),
                _buffers(module),
                _attributes(module),
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
        if call.above is not None and call.moved:
            call.above.moved_below = True
        size = output_bytes(flat)
        if size <= self._budget:
            self._budget -= size
            call.output = detached(flat)
        self.calls.append(call)
        if self._returned is not None:
            self._returned(call, flat)


def _buffers(module: nn.Module) -> bytes:
    held = [(name, tensor) for name, tensor in module._buffers.items() if tensor is not None]
    return digest(Flat("", held)) if held else b""


def _attributes(module: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in module.__dict__.items():
        if isinstance(value, (bool, int, float, str)):
            found[name] = value
        elif isinstance(value, (list, dict, set)) and not name.startswith("_"):
            found[name] = len(value)
        elif isinstance(value, torch.Tensor):
            found[name] = (id(value), -1 if value.is_inference() else value._version)
        elif isinstance(value, torch.Generator):
            found[name] = bytes(value.get_state().tolist())
    found.pop("training", None)
    return found


def users_line(frame: Any) -> tuple[str, str]:
    """(file:line of the nearest user frame, name of the torch.nn.functional function that it called or "")."""
    called = ""
    while frame is not None:
        code = frame.f_code
        if is_users(code.co_filename):
            return f"{code.co_filename}:{frame.f_lineno}", called
        if not called and code.co_filename.endswith(("nn/functional.py", "nn\\functional.py")):
            called = f"F.{code.co_name}"
        frame = frame.f_back
    return "", called


@dataclass(frozen=True)
class RandomOperator:
    """One operator that drew random numbers."""

    name: str
    """ "aten.bernoulli_"."""
    function: str
    """ "F.dropout" where it was called by one of torch.nn.functional; otherwise empty."""
    where: str
    """file:line of the user's code."""


class RandomOperators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the random operators inside one call of one module."""

    def __init__(self, watcher: Watcher, key: tuple[str, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[RandomOperator] = []
        self._watcher, self._key = watcher, key

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        stack = self._watcher.stack
        if stack and stack[-1].key == self._key and torch.Tag.nondeterministic_seeded in func.tags:
            where, called = users_line(sys._getframe(1))
            self.found.append(RandomOperator(str(func.overloadpacket), called, where))
        return func(*args, **(kwargs or {}))
