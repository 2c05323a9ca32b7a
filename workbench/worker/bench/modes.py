"""The switch board: reads and sets train/eval flags, grad mode, generators, dtype, device and threads.

Every change is all or nothing: when one switch cannot be set, all of them are as before. This file never
runs the model's forward, and never keeps a model alive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import ModeChange, Modes
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.placement import as_loaded, dtype_named, move, usable_device
from workbench.worker.bench.words import closest

if TYPE_CHECKING:
    from workbench.worker.bench.inputs import Example

GRAD_MODES = ("grad", "no_grad", "inference_mode")
RNG_MODES = ("free", "fixed")

DEFAULT_THREADS = torch.get_num_threads()
"""torch's own choice, as it was when the worker started; `threads` 0 goes back to it."""


def walk(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    """(path, module, parent) in preorder, each module once at its first place; without recursion."""
    seen = {model}
    stack: list[tuple[str, nn.Module, nn.Module | None]] = [("", model, None)]
    while stack:
        path, module, parent = stack.pop()
        yield path, module, parent
        prefix = f"{path}." if path else ""
        below = []
        for name, child in module._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                below.append((prefix + name, child, module))
        stack.extend(reversed(below))


def flags(model: nn.Module) -> tuple[bool, tuple[str, ...]]:
    """The root's train flag, and the paths of the modules whose flag differs from their parent's."""
    flips = tuple(path for path, module, parent in walk(model) if parent and module.training != parent.training)
    return model.training, flips


def set_flags(model: nn.Module, training: bool, flips: tuple[str, ...]) -> None:
    """Set every flag exactly, without calling anybody's `train()`. Raises `WorkbenchError("usage")` on a wrong path."""
    order = list(walk(model))
    unknown = set(flips) - {path for path, _, parent in order if parent is not None}
    if unknown:
        raise _no_module(sorted(unknown)[0], [path for path, _, _ in order])
    turned = set(flips)
    wanted: dict[nn.Module, bool] = {}
    for path, module, parent in order:
        wanted[module] = training if parent is None else wanted[parent] != (path in turned)
        if module.training != wanted[module]:
            module.training = wanted[module]


def read_modes(model: nn.Module, modes: Modes | None = None) -> Modes:
    """`modes` (or the defaults) with the flags and the device as the model has them."""
    training, flips = flags(model)
    first = next((tensor for tensor in _tensors(model)), None)
    device = "cpu" if first is None else str(first.device)
    return dataclasses.replace(modes or Modes(), training=training, flips=flips, device=device)


def apply(model: nn.Module, example: Example | None, modes: Modes, change: ModeChange) -> Modes:
    """Make `change` on the live model and its example inputs; returns the switch board after it.

    Raises `WorkbenchError` ("usage", "device", "memory", or "forward" for what a train() of the model's own raised),
    with everything as it was before.
    """
    _check(change)
    threads = torch.get_num_threads()
    with _flags_kept_on_failure(model):
        new = _set_training(model, modes, change)
        dtype = modes.dtype if change.dtype is None else change.dtype
        device = modes.device if change.device is None else str(usable_device(change.device))
        try:
            if change.threads is not None:
                torch.set_num_threads(change.threads or DEFAULT_THREADS)
            if dtype != modes.dtype or device != modes.device:
                move(model, dtype, device, as_loaded(model))
            if example is not None:
                example.place(dtype_named(dtype), torch.device(device))
        except BaseException:
            torch.set_num_threads(threads)
            raise
    switches = {
        name: getattr(change, name)
        for name in ("grad", "rng", "seed", "threads", "keep_outputs")
        if getattr(change, name) is not None
    }
    return dataclasses.replace(new, dtype=dtype, device=device, **switches)


def own_train(module: nn.Module) -> str:
    """file.py:line of a train() that a module's class has of its own; empty where it is torch's."""
    code = getattr(type(module).train, "__code__", None)
    if code is None or type(module).train is nn.Module.train:
        return ""
    return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"


def train_of(model: nn.Module, path: str) -> tuple[str, str]:
    """(path, file.py:line) of the nearest module at or above `path` whose class has a train() of its own.

    Empty places where none has.
    """
    above = path
    while True:
        if place := own_train(model.get_submodule(above)):
            return above, place
        if not above:
            return "", ""
        above = above.rpartition(".")[0]


def not_followed(model: nn.Module, training: bool) -> str:
    """Which module did not come into the mode that the whole model was put in, and why; empty when all did."""
    left = [(path, module) for path, module in model.named_modules() if module.training != training]
    if not left:
        return ""
    path, module = next((one for one in left if train_of(model, one[0])[1]), left[0])
    others = f" and {len(left) - 1} more" if len(left) > 1 else ""
    owner, place = train_of(model, path)
    whose = "its class" if owner == path else f"{owner or 'the model itself'}, which holds it,"
    why = f": {whose} has a train() of its own at {place}" if place else ""
    word = "train" if module.training else "eval"
    return f"{path or 'the model itself'} ({type(module).__name__}){others} stayed in {word}{why}"


def grad_context(grad: str) -> contextlib.AbstractContextManager[Any]:
    """The context manager of a grad mode; a fresh one for each use."""
    if grad == "inference_mode":
        return torch.inference_mode()
    return torch.no_grad() if grad == "no_grad" else torch.enable_grad()


def seed_generators(seed: int) -> None:
    """Seed torch (every device), Python's `random`, and numpy where the process has it already."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(seed % 2**32)


def stir_generators() -> None:
    """Draw one number from each of these generators on the CPU, so that none stands where a seed puts it."""
    torch.rand(1)
    random.random()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.random()


@contextlib.contextmanager
def running(modes: Modes) -> Iterator[None]:
    """For one forward: the grad mode, and with `rng` "fixed" every generator seeded first."""
    if modes.rng == "fixed":
        seed_generators(modes.seed)
    with grad_context(modes.grad):
        yield


@contextlib.contextmanager
def generators_kept(seed: int | None = None) -> Iterator[None]:
    """Every generator seeded with `seed` inside (None: as they are); afterwards each is as before."""
    numpy_random = sys.modules.get("numpy.random")
    numpy_state = None if numpy_random is None else numpy_random.get_state()
    python_state = random.getstate()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        try:
            if seed is not None:
                seed_generators(seed)
            yield
        finally:
            random.setstate(python_state)
            if numpy_random is not None:
                numpy_random.set_state(numpy_state)


def _check(change: ModeChange) -> None:
    """Raises `WorkbenchError("usage")` for a switch position that does not exist."""
    for name, allowed in (("grad", GRAD_MODES), ("rng", RNG_MODES)):
        value = getattr(change, name)
        if value is not None and value not in allowed:
            raise error("usage", f"{name} cannot be {value!r}.", f"--{name}", f"Use one of {', '.join(allowed)}.")
    if change.dtype is not None:
        dtype_named(change.dtype)
    if change.threads is not None and not 0 <= change.threads <= 4096:
        raise error("usage", f"{change.threads} threads are not possible.", "--threads", "Use 1 or more; 0: automatic.")
    if change.flips is not None and change.training is None:
        raise error("usage", "flips say nothing without the root's own flag.", "ModeChange.training")


def _set_training(model: nn.Module, modes: Modes, change: ModeChange) -> Modes:
    if change.training is not None:
        _train(model, change.training)
        if change.flips is not None:
            set_flags(model, change.training, change.flips)
    if change.module_training is not None:
        path = change.module or ""
        every = dict(model.named_modules(remove_duplicate=False))
        found = every.get(path)
        if found is None:
            raise _no_module(path, list(every))
        _train(found, change.module_training)
    training, flips = flags(model)
    return dataclasses.replace(modes, training=training, flips=flips)


def _train(module: nn.Module, training: bool) -> None:
    """The module's own train(), which may freeze parts, or do more than set flags; a `WorkbenchError` if it raises."""
    try:
        module.train(training)
    except Exception as problem:
        what = f"{type(module).__name__}.train({training}) raised"
        raise failed_in(problem, "forward", what, "--mode", "Mend the model's own train(), and reload it.") from problem


@contextlib.contextmanager
def _flags_kept_on_failure(model: nn.Module) -> Iterator[None]:
    """On failure the flags, and what a train() that freezes parts may have done to requires_grad, are as before."""
    modules = [(module, module.training) for _, module, _ in walk(model)]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    except BaseException:
        for module, flag in modules:
            if module.training != flag:
                module.training = flag
        for parameter, requires_grad in wanted:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
        raise


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _no_module(path: str, known: list[str]) -> WorkbenchError:
    remedy = closest(path, known) or f"The modules below the root are {', '.join(known[1:9]) or 'none'}."
    return error("usage", f"The model has no module {path!r}.", "--mode", remedy)
