"""The live model put into the state a run started from, and afterwards exactly back.

Owns what a replay may change: flags, buffers, plain attributes, generators, threads, the transformer fast path. The
caller's tensors are never written to: buffers and inputs are exchanged for copies while a replay runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.modes import DEFAULT_THREADS, grad_context
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.judge.replay import Generators, Parts, Record


@contextlib.contextmanager
def kept_as_it_is(model: nn.Module) -> Iterator[None]:
    """Whatever a forward does to flags, buffers, attributes, generators and threads inside is undone afterwards."""
    modules = list(model.modules())
    scripted = [isinstance(module, torch.jit.ScriptModule) for module in modules]
    plain = [module for module, foreign in zip(modules, scripted) if not foreign]  # noqa: B905
    flags = [module.training for module in modules]
    attributes = [dict(module.__dict__) for module in plain]
    buffers = [dict(module._buffers) for module in plain]
    parameters = [dict(module._parameters) for module in plain]
    grads = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    private = [
        (value, value.get_state())
        for held in attributes
        for value in held.values()
        if isinstance(value, torch.Generator)
    ]
    generators, threads = Generators.take(), torch.get_num_threads()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # hooks switch it off anyway; so it is off on both sides
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.set_num_threads(threads)
        for module, flag in zip(modules, flags):  # noqa: B905
            module.training = flag
        for place, module in enumerate(plain):
            _put_back(module.__dict__, attributes[place])
            _put_back(module._buffers, buffers[place])
            _put_back(module._parameters, parameters[place])
        for parameter, wanted, gradient in grads:
            parameter.requires_grad_(wanted)
            parameter.grad = gradient
        for generator, state in private:
            generator.set_state(state)
        generators.put()


def _put_back(held: dict[str, Any], before: dict[str, Any]) -> None:
    if list(held) == list(before) and all(held[name] is value for name, value in before.items()):
        return
    held.clear()
    held.update(before)


def replay(model: nn.Module, parts: Parts, record: Record) -> Any:
    """One forward from the state in `record`; only inside `kept_as_it_is`. What the forward raises goes through."""
    for (_, module), flag in zip(parts.modules, record.flags):  # noqa: B905
        module.training = flag
    copies = record.buffers
    if copies is None or len(copies) != len(parts.buffers):
        copies = tuple(holder[name] for _, holder, name in parts.buffers)  # type: ignore[misc]
    with torch.no_grad():
        for (_, holder, name), copy in zip(parts.buffers, copies):  # noqa: B905
            holder[name] = copy.detach().clone()
    torch.set_num_threads(record.modes.threads or DEFAULT_THREADS)
    record.generators.put()
    args = tuple(map_tensors(value, _fresh) for value in record.args)
    kwargs = {name: map_tensors(value, _fresh) for name, value in record.kwargs.items()}
    with grad_context(record.modes.grad):
        return model(*args, **kwargs)


def _fresh(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
