"""Who keeps tensors alive: from a tensor up through what refers to it, to a name that a person knows.

It asks the garbage collector and never runs the model.
"""

from __future__ import annotations

import gc
import inspect
import sys
from types import CellType, FrameType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from workbench.worker.judge.held_outside import cached_words

STEPS = 400
"""Objects that are looked at on the way up from one tensor."""
LEAST = 6
"""Tensors of one kind, made since, from which they are a pile."""


def pile(before: set[int], runs: int) -> tuple[str, list[torch.Tensor]]:
    """The largest number of tensors of one dtype and shape that are alive now and whose ids are not in `before`.

    ("float32[64,10]", the tensors); empty when none are as many as there were `runs`.
    """
    kinds: dict[str, list[torch.Tensor]] = {}
    for thing in gc.get_objects():
        if (
            issubclass(type(thing), torch.Tensor)
            and not issubclass(type(thing), nn.Parameter)
            and id(thing) not in before
        ):
            try:
                key = f"{str(thing.dtype).removeprefix('torch.')}{list(thing.shape)}"
            except RuntimeError:  # lazy or otherwise without a shape
                continue
            kinds.setdefault(key, []).append(thing)
    found = sorted(kinds.items(), key=lambda pair: -len(pair[1]) * (pair[1][0].numel() + 1))
    return next(((key, held) for key, held in found if len(held) >= max(LEAST, runs)), ("", []))


def tensors_alive() -> set[int]:
    """Ids of every tensor that is alive; they mean something only while those stay alive."""
    return {id(thing) for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)}


def holder(tensor: torch.Tensor, model: nn.Module) -> str:
    """What keeps `tensor` alive, in words: an attribute of a module, a global, a class, a closure; empty: not found."""
    paths = {id(module): path for path, module in model.named_modules()}
    own = {id(vars(module)): path for path, module in model.named_modules()}
    waiting: list[tuple[Any, Any]] = [(tensor, None)]
    seen = {id(tensor), id(waiting)}
    steps = 0
    while waiting and steps < STEPS:
        thing, below = waiting.pop(0)
        steps += 1
        name = _name(thing, below, own, paths)
        if name:
            return name
        for above in gc.get_referrers(thing):
            if id(above) in seen or above is waiting or isinstance(above, (FrameType, ModuleType)):
                continue
            if type(above).__name__ in ("list_iterator", "tuple_iterator", "generator"):
                continue
            seen.add(id(above))
            waiting.append((above, thing))
        seen.add(id(waiting))
    return ""


def _name(thing: Any, below: Any, own: dict[int, str], paths: dict[int, str]) -> str:
    """A person's name for `thing`, which holds `below`; empty where one has to look further up."""
    if isinstance(thing, dict):
        if id(thing) in own:
            return f"attribute {_join(own[id(thing)], _key(thing, below))}"
        home = next((one for one in list(sys.modules.values()) if getattr(one, "__dict__", None) is thing), None)
        if home is not None:
            file = str(getattr(home, "__file__", "") or home.__name__).rpartition("/")[2]
            return f"global {_key(thing, below)} of {file}"
        return ""
    if isinstance(thing, nn.Module) and id(thing) in paths:
        return f"attribute {_join(paths[id(thing)], _attribute(thing, below))}"
    if isinstance(thing, type):
        return f"class {thing.__name__}, attribute {_attribute(thing, below)}"
    if isinstance(thing, CellType):
        for user in gc.get_referrers(thing):
            for function in gc.get_referrers(user) if isinstance(user, tuple) else ():
                if isinstance(function, FunctionType) and function.__closure__ and thing in function.__closure__:
                    name = function.__code__.co_freevars[list(function.__closure__).index(thing)]
                    code = function.__code__
                    place = f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"
                    return f"variable {name} in the closure of {function.__qualname__} ({place})"
    if isinstance(thing, FunctionType):
        code = thing.__code__
        return (
            f"a default argument of {thing.__qualname__} ({code.co_filename.rpartition('/')[2]}:{code.co_firstlineno})"
        )
    if type(thing).__name__ == "_lru_cache_wrapper":
        return f"the functools.lru_cache of {cached_words(inspect.unwrap(thing))}"
    return ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _key(holding: dict[Any, Any], held: Any) -> str:
    return next((str(key) for key, value in list(holding.items()) if value is held), "?")


def _attribute(owner: Any, held: Any) -> str:
    return next((str(key) for key, value in list(vars(owner).items()) if value is held), "?")
