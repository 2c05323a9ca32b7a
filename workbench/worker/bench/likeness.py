"""In what a model that was built from source is not the object that it is to stand for, and how to make it so.

Owns the comparison of two modules without running either: modules by path, their types, plain attributes, shapes and
dtypes, buffers that no state_dict holds. Each difference brings the line of Python that would take it away, where
there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.text import clean_line, shorten
from workbench.worker.bench.alike import alike, kind_of
from workbench.worker.bench.words import shape_text, some
from workbench.worker.bench.written import Source, Unwritten

_OWN = frozenset(nn.Module().__dict__) | {"_is_full_backward_hook", "_forward_pre_hooks_with_kwargs"}
"""Attributes that every module has for itself."""

MADE = "from its constructor"
"""Where a value of the built model's comes from, in words."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Difference:
    """One thing in which the built model is another."""

    words: str
    mend: str = ""
    """A line after which it is not, about the name `made`; empty where there is none."""


def differences(model: nn.Module, built: nn.Module, source: Source) -> list[Difference]:
    """In what `built` is not `model`; lines that mend it add their imports to `source`."""
    theirs, mine = dict(model.named_modules()), dict(built.named_modules())
    found: list[Difference] = []
    replaced: list[str] = []
    for path, module in theirs.items():
        if any(path == one or path.startswith(f"{one}.") for one in replaced):
            continue
        other = mine.get(path)
        if other is None or kind_of(other) != kind_of(module) or _other_shapes(module, other):
            found.append(_replaced(path, module, other, source))
            replaced.append(path)
            continue
        found += _attributes(path, module, other, source)
        found += _buffers(path, module, other)
    for path in [path for path in mine if path not in theirs]:
        if not any(path == one or path.startswith(f"{one}.") for one in replaced):
            replaced.append(path)
            parent, _, name = path.rpartition(".")
            found.append(Difference(f"{path}: none in the file", f"del {place(parent)}._modules[{name!r}]"))
    return [*found, *_whole(model, built)]


def uncompared(model: nn.Module, built: nn.Module) -> list[str]:
    """What nobody can tell of, a name each: objects that are more than plain values and attributes."""
    others = dict(built.named_modules())
    return [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        if path in others
        for name, value in _held(module)
        if alike(value, vars(others[path]).get(name, _missing)) is None
    ]


def _held(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The attributes that a module keeps besides what every module has; torch's private ones come from the others."""
    own = type(module).__module__.startswith("torch.")
    for name, value in vars(module).items():
        if name not in _OWN and not (own and name.startswith("_") and not _is_plain(value)):
            yield name, value


def place(path: str) -> str:
    """An expression for the module at a path below `made`."""
    return "made" if not path else f"made.get_submodule({path!r})"


def _tensors(module: nn.Module) -> dict[str, Any]:
    return {**module._parameters, **module._buffers}


def _other_shapes(module: nn.Module, other: nn.Module) -> bool:
    """Whether its own parameters and buffers have other names or shapes."""
    return _shapes(module) != _shapes(other)


def _shapes(module: nn.Module) -> dict[str, Any]:
    return {name: None if one is None else tuple(one.shape) for name, one in _tensors(module).items()}


def _replaced(path: str, module: nn.Module, other: nn.Module | None, source: Source) -> Difference:
    had = f"{type(module).__name__}({_detail(module)})"
    words = f"{path or 'the model'}: {had} in the file, {'none' if other is None else _said(module, other)} {MADE}"
    if not path:
        return Difference(words)
    parent, _, name = path.rpartition(".")
    try:
        return Difference(words, f"{place(parent)}.add_module({name!r}, {source.module(module)})")
    except Unwritten as reason:
        return Difference(f"{words} ({reason})")


def _said(module: nn.Module, other: nn.Module) -> str:
    if kind_of(module) != kind_of(other):
        return f"{type(other).__name__}({_detail(other)})"
    shapes, others = _shapes(module), _shapes(other)
    name = next(name for name in {**shapes, **others} if shapes.get(name, 0) != others.get(name, 0))
    return f"one whose {name} is {_shape(others.get(name))} and not {_shape(shapes.get(name))}"


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else shape_text(shape)


def _detail(module: nn.Module) -> str:
    try:
        return shorten(clean_line(str(module.extra_repr())), 60)
    except Exception:  # noqa: BLE001 (the user's own text about a module; only words come of it)
        return "…"


def _attributes(path: str, module: nn.Module, other: nn.Module, source: Source) -> Iterator[Difference]:
    """Attributes that are otherwise or missing, and those that only the built one has."""
    for name, value in _held(module):
        mine = vars(other).get(name, _missing)
        if alike(value, mine) is not False:
            continue
        told = f"{path}.{name}".lstrip(".")
        if isinstance(value, torch.Tensor):
            yield Difference(f"{told} is another tensor, and in no state_dict")
            continue
        other_value = "none" if mine is _missing else _told(mine)
        words = f"{told}: {_told(value)} in the file, {other_value} {MADE}"
        try:
            yield Difference(words, f"{place(path)}.{name} = {source.value(value)}")
        except Unwritten:
            yield Difference(words)
    if not type(module).__module__.startswith("torch."):
        for name in [name for name in vars(other) if name not in vars(module) and name not in _OWN]:
            told = f"{path}.{name}".lstrip(".")
            yield Difference(f"{told}: none in the file, {_told(vars(other)[name])} {MADE}")
    if any(vars(module).get(one) for one in _HOOKS):
        yield Difference(f"{path or 'the model'}: its hooks are not taken over")


def _told(value: Any) -> str:
    """A value in a few words; a function or class by its name."""
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return name.removeprefix("_VariableFunctionsClass.")
    try:
        return shorten(clean_line(repr(value)), 60)
    except Exception:  # noqa: BLE001 (the user's own text about an object; only words come of it)
        return f"a {type(value).__name__}"


def _missing() -> None:
    """Stands for an attribute that is not there."""


def _buffers(path: str, module: nn.Module, other: nn.Module) -> Iterator[Difference]:
    """Values of buffers that no state_dict holds."""
    for name in module._non_persistent_buffers_set:
        mine, theirs = other._buffers.get(name), module._buffers.get(name)
        if mine is not None and theirs is not None and not torch.equal(mine.cpu(), theirs.cpu()):
            yield Difference(f"{path}.{name}".lstrip(".") + " has other values, and is in no state_dict")


def _whole(model: nn.Module, built: nn.Module) -> list[Difference]:
    """What is said of the model as a whole: dtypes, requires_grad, training flags."""
    found = []
    theirs, mine = dict(model.named_parameters()), dict(built.named_parameters())
    both = [name for name in theirs if name in mine]
    dtypes = {one.dtype for one in theirs.values() if one.is_floating_point()}
    if any(theirs[name].dtype != mine[name].dtype for name in both):
        line = f"made.to({next(iter(dtypes))})" if len(dtypes) == 1 else ""
        found.append(Difference(f"parameters: {', '.join(sorted(str(one)[6:] for one in dtypes))} in the file", line))
    for wanted in (True, False):
        held = [name for name in both if theirs[name].requires_grad is wanted is not mine[name].requires_grad]
        if held:
            each = f"for name in {held!r}:\n        made.get_parameter(name).requires_grad_({wanted})"
            line = f"made.requires_grad_({wanted})" if len(held) == len(mine) else each
            found.append(Difference(f"requires_grad: {wanted} in the file for {some(held)}", line))
    flags = dict(built.named_modules())
    odd = [path for path, one in model.named_modules() if path in flags and flags[path].training != one.training]
    if odd:
        found.append(
            Difference(f"modes: {_mode(model, odd[0])} in the file for {odd[0] or 'the whole model'}", _modes(model))
        )
    return found


def _mode(model: nn.Module, path: str) -> str:
    return "train" if model.get_submodule(path).training else "eval"


def _modes(model: nn.Module) -> str:
    lines = [f"made.train({model.training})"]
    below = {"": model.training}
    for path, module in model.named_modules():
        if path and below[path.rpartition(".")[0]] != module.training:
            lines.append(f"{place(path)}.train({module.training})")
        below[path] = module.training
    return "\n    ".join(lines)


def _is_plain(value: Any, depth: int = 0) -> bool:
    if type(value) in (list, tuple, set, frozenset, torch.Size) and depth < 8:
        return all(_is_plain(one, depth + 1) for one in value)
    if type(value) is dict and depth < 8:
        return all(_is_plain(key, depth + 1) and _is_plain(one, depth + 1) for key, one in value.items())
    return value is None or type(value) in (bool, int, float, complex, str, bytes, torch.dtype, torch.device)
