"""Places in the user's model and code: modules watched, operators caught at a line. It judges nothing."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.failing import is_users
from workbench.worker.judge.mode import Mode
from workbench.worker.judge.watch import users_line


@contextlib.contextmanager
def watching(
    model: nn.Module, before: Callable[..., None], after: Callable[..., None], always: bool = False
) -> Iterator[None]:
    """Inside, `before(path, module, inputs)` and `after(path, module, output)` are called for each module's forward.

    With `always`, `after` is called for a forward that raises, too (its output is None then).

    Hooks switch nn.TransformerEncoderLayer's fast path off: use it to find a cause, never for a verdict.
    """
    handles = []
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            continue  # takes no such hooks

        def enter(module: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
            before(path, module, (args, kwargs))

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any, path: str = path) -> None:
            after(path, module, output)

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True, always_call=always))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def named(path: str, module: nn.Module) -> str:
    """ "body.drop (Dropout)"."""
    return f"{path or 'the model itself'} ({type(module).__name__})"


def located(path: str, module: nn.Module) -> str:
    """`named`, and for modules that are not torch's own the file.py:line of their forward."""
    forward = getattr(type(module), "forward", None)
    code = getattr(inspect.unwrap(forward) if callable(forward) else None, "__code__", None)  # decorated, perhaps
    if code is None or not is_users(code.co_filename):
        return named(path, module)
    return f"{named(path, module)} at {os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def stack_place() -> str:
    """file.py:line of the innermost frame of the user's on the present stack; empty where there is none."""
    return os.path.basename(users_line(sys._getframe(1))[0])


class FirstOperator(Mode):
    """Notes the first operator for which `test(operator, args, kwargs, output)` holds, and the user's line of it.

    It slows a forward down and changes no value; it may switch off fast paths.
    """

    def __init__(self, test: Callable[[Any, Any, Any, Any], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.words = ""
        """ "aten._to_copy at model.py:41"; empty: none so far."""
        self._test = test

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self.words and self._test(func, args, kwargs, output):
            place = stack_place()
            self.words = f"{func.overloadpacket}{f' at {place}' if place else ''}"
        return output
