"""What a run started from: generator states, flags, buffers, inputs; put back for a replay.

Owns what is known of it, the generators, and putting them back; `recording.py` takes it. It never runs the model, and
what it records is a copy or a reference, never a change.
"""

from __future__ import annotations

import random
import sys
import weakref
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.model import Modes
from workbench.worker.bench.modes import walk
from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.memory import cuda_started
from workbench.worker.judge.pieces import bytes_of

BATCH_NORM: tuple[type[nn.Module], ...] = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
INNER_DROPOUT = (nn.MultiheadAttention, nn.RNNBase)
"""Modules that drop values themselves, by their attribute `dropout`."""
DROPOUT = (nn.modules.dropout._DropoutNd,)


def dropout_rate(module: nn.Module) -> float:
    """Share of values that torch's own dropout, attention and recurrent modules drop while training; 0 for others."""
    if isinstance(module, DROPOUT):
        return float(module.p)
    if isinstance(module, INNER_DROPOUT):
        return float(module.dropout)
    return 0.0


@dataclass(frozen=True, eq=False)
class Generators:
    """States of the global generators."""

    cpu: torch.Tensor
    cuda: tuple[torch.Tensor, ...]
    python: Any
    """`random.getstate()` with its 625 numbers packed: 2.5 kB in the place of 24 kB."""
    numpy: Any
    """None where the process has no numpy."""

    @classmethod
    def take(cls) -> Generators:
        """About 20 µs."""
        numpy_random = sys.modules.get("numpy.random")
        return cls(
            torch.default_generator.get_state(),
            tuple(torch.cuda.get_rng_state_all()) if cuda_started() else (),
            _packed(random.getstate()),
            None if numpy_random is None else numpy_random.get_state(),
        )

    def put(self) -> None:
        """Make every generator continue from here."""
        torch.default_generator.set_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(list(self.cuda))
        random.setstate(_unpacked(self.python))
        if self.numpy is not None:
            sys.modules["numpy.random"].set_state(self.numpy)

    def sharing(self, before: Generators | None) -> Generators:
        """This state, with the parts that equal those of `before` shared with it; `before` itself when all do."""
        if before is None:
            return self
        cuda = len(self.cuda) == len(before.cuda) and all(map(torch.equal, self.cuda, before.cuda))
        numpy = self.numpy is before.numpy or (
            self.numpy is not None and before.numpy is not None and _same_numpy(self.numpy, before.numpy)
        )
        python, cpu = self.python == before.python, torch.equal(self.cpu, before.cpu)
        if cpu and cuda and python and numpy:
            return before
        return Generators(
            before.cpu if cpu else self.cpu,
            before.cuda if cuda else self.cuda,
            before.python if python else self.python,
            before.numpy if numpy else self.numpy,
        )

    def moved(self, later: Generators) -> tuple[str, ...]:
        """Names of the generators that were used between this state and `later`."""
        names = []
        cuda = len(self.cuda) == len(later.cuda) and all(map(torch.equal, self.cuda, later.cuda))
        # CUDA that came up in between is no use of a generator
        if not torch.equal(self.cpu, later.cpu) or not (cuda or not self.cuda):
            names.append("torch")
        if self.python != later.python:
            names.append("random")
        if self.numpy is not None and later.numpy is not None and not _same_numpy(self.numpy, later.numpy):
            names.append("numpy")
        return tuple(names)


LOST = Generators(torch.empty(0), (), None, None)
"""In the place of states that are no longer kept."""


def _packed(state: Any) -> Any:
    version, numbers, following = state
    return version, array("I", numbers).tobytes(), following


def _unpacked(state: Any) -> Any:
    version, numbers, following = state
    return version, tuple(array("I", numbers)), following


def _same_numpy(a: Any, b: Any) -> bool:
    return bool(a[2:] == b[2:] and a[1].tobytes() == b[1].tobytes())


class Parts:
    """The model's modules, buffers and parameters, walked once for a fire."""

    def __init__(self, model: nn.Module) -> None:
        self.model = weakref.ref(model)
        self.modules: list[tuple[str, nn.Module]] = []
        self.buffers: list[tuple[str, dict[str, torch.Tensor | None], str]] = []
        """Path, the dictionary that holds it, its name there."""
        self.parameters: list[torch.Tensor] = []
        for path, module, _ in walk(model):
            self.modules.append((path, module))
            prefix = f"{path}." if path else ""
            self.buffers += [
                (prefix + name, module._buffers, name) for name, held in module._buffers.items() if held is not None
            ]
            self.parameters += [held for held in module._parameters.values() if held is not None]

    def active(self) -> tuple[tuple[str, str], ...]:
        """(path, "dropout" or "batch statistics") of the modules that act otherwise because they are training."""
        found = []
        for path, module in self.modules:
            if not module.training:
                continue
            if dropout_rate(module) > 0:
                found.append((path, "dropout"))
            elif isinstance(module, BATCH_NORM):
                found.append((path, "batch statistics"))
        return tuple(found)

    def dtype(self) -> str:
        """Floating dtype of the first parameter or buffer that has one, without "torch."; empty when none has."""
        held = [*self.parameters, *(holder[name] for _, holder, name in self.buffers)]
        found = (str(tensor.dtype)[6:] for tensor in held if tensor is not None and tensor.dtype.is_floating_point)
        return next(found, "")

    def weights(self) -> int:
        """A number that changes when a parameter is changed in place, cast, moved or replaced."""
        return hash(tuple((id(one), _version(one), one.dtype, _address(one)) for one in self.parameters))


@dataclass(frozen=True, eq=False)
class Record:
    """Everything a run started from, as far as it can be known from outside."""

    model: weakref.ref[nn.Module]
    modes: Modes
    generators: Generators
    flags: tuple[bool, ...]
    """Of every module, in preorder."""
    active: tuple[tuple[str, str], ...]
    buffers: tuple[torch.Tensor, ...] | None
    """Copies in the order of `Parts.buffers`, shared between records while nothing moved; None: too large."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    input_versions: tuple[int, ...]
    weights: int
    paths: tuple[str, ...] = field(default=())
    """Paths of the buffers."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Of plain values, containers and tensors on modules, in a word each; shared while nothing moved."""

    @property
    def replayable(self) -> bool:
        """False once what the run started from was given up."""
        return self.generators is not LOST

    def light(self) -> Record:
        """What is worth keeping of an old run: its modes and flags; nothing to replay it from."""
        return replace(self, generators=LOST, buffers=None, args=(), kwargs={}, input_versions=(), attributes={})

    def parts(self) -> Iterator[tuple[int, int]]:
        """(identity, bytes) of what the record holds and may share with others."""
        states = self.generators
        tensors = (states.cpu, *states.cuda, *(self.buffers or ()), *tensors_in((self.args, self.kwargs)))
        sizes = {id(tensor): bytes_of(tensor) for tensor in tensors}
        sizes |= {id(held): 2560 for held in (states.python, states.numpy) if held is not None}
        sizes[id(self.flags)] = 8 * len(self.flags)
        sizes[id(self.attributes)] = 150 * len(self.attributes)
        return iter(sizes.items())

    def inputs_are(self, other: Record) -> bool:
        """True when both hold the very same objects; records keep them alive, so no id is used twice."""
        mine, others = (*self.args, *self.kwargs.values()), (*other.args, *other.kwargs.values())
        return list(map(id, mine)) == list(map(id, others))

    def inputs_changed(self) -> bool:
        """True when the forward, or anybody since, wrote into the inputs."""
        return self.input_versions != input_versions_of(self.args, self.kwargs)


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _address(tensor: torch.Tensor) -> int:
    return tensor.data_ptr() if tensor.layout == torch.strided and tensor.device.type != "meta" else 0


def input_versions_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    values = (*args, *kwargs.values())
    tensors = values if all(isinstance(value, torch.Tensor) for value in values) else tensors_in(values)
    return tuple(_version(tensor) for tensor in tensors)
