"""Which modules a forward puts in train mode by itself, and at which line: nn.Module's own __setattr__ is watched.

Owns that watch, and the look at the source that says whether it is worth a forward. It changes no value; the watch is
taken off again afterwards.
"""

from __future__ import annotations

import contextlib
import dis
import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

from torch import nn

from workbench.worker.bench.failing import is_users

_SWITCHES = ("train", "eval")
"""Methods that set flags for others: the line that calls them is the one to name."""


@contextlib.contextmanager
def trained_by_itself(model: nn.Module) -> Iterator[dict[str, str]]:
    """Inside, path → file.py:line is noted of every module of `model` that comes into train mode from eval.

    The line is that of the user's who asked for it, above any train() or eval(); empty where none is on the stack.
    """
    found: dict[str, str] = {}
    paths = {id(module): path for path, module in model.named_modules()}
    usual = nn.Module.__setattr__

    def watched(self: nn.Module, name: str, value: Any) -> None:
        if name == "training" and value and id(self) in paths and not self.training:
            found.setdefault(paths[id(self)], _asked_at())
        usual(self, name, value)

    nn.Module.__setattr__ = watched  # type: ignore[method-assign]
    try:
        yield found
    finally:
        nn.Module.__setattr__ = usual  # type: ignore[method-assign]


MOST_FUNCTIONS = 2000
"""Functions that are read; of a model with more, a forward is asked."""
_DYNAMIC = ("setattr", "vars", "exec")
"""Names with which anything may be set."""


def may_set(model: nn.Module) -> bool:
    """Whether what a forward of the model calls, as far as its own source names it, calls train() or eval() or sets
    `training`. A forward of minutes is not run to see what nobody wrote."""
    methods: dict[str, list[Any]] = {}
    for kind in {kind for module in model.modules() for kind in type(module).__mro__}:
        if not kind.__module__.startswith(("torch.", "builtins")):
            for name, value in vars(kind).items():
                methods.setdefault(name, []).append(value)
    waiting = [*methods.get("forward", ()), *methods.get("__call__", ())]
    for module in model.modules():
        waiting += vars(module).values()  # a forward that was put there by hand
        waiting += [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    seen: set[int] = set()
    while waiting:
        function = _function(waiting.pop())
        if function is None or id(function) in seen:
            continue
        seen.add(id(function))
        names, sets = _read(function.__code__)
        if sets or len(seen) > MOST_FUNCTIONS:
            return True
        for name in names:
            waiting += [function.__globals__.get(name), *methods.get(name, ())]
        with contextlib.suppress(ValueError):  # a cell that is still empty
            waiting += [cell.cell_contents for cell in function.__closure__ or ()]
        waiting.append(getattr(function, "__wrapped__", None))
    return False


def _function(value: Any) -> FunctionType | None:
    """The user's own function behind a method, a property or a partial; None for anything else."""
    for name in ("__func__", "fget", "func"):
        value = getattr(value, name, value) if not isinstance(value, (FunctionType, nn.Module)) else value
    return value if isinstance(value, FunctionType) and is_users(value.__code__.co_filename) else None


def _read(code: CodeType) -> tuple[set[str], bool]:
    """(names that a function uses, those within it included; whether it may set a mode)."""
    names = set(code.co_names)
    sets = not names.isdisjoint(_DYNAMIC)
    for step in dis.get_instructions(code):
        called = step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.argval in _SWITCHES
        sets = sets or called or (step.opname == "STORE_ATTR" and step.argval == "training")
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            more, inside = _read(inner)
            names, sets = names | more, sets or inside
    return names, sets


def taken_out(place: str) -> str:
    """The remedy for a forward that calls train() at `place`."""
    return (
        f"Take the train() {f'at {place} ' if place else ''}out of forward; if it is meant (Monte Carlo dropout), "
        "declare the model stochastic."
    )


def _asked_at() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name not in _SWITCHES and is_users(code.co_filename):
            return f"{os.path.basename(code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
