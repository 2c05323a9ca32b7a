"""The operators of one module call in their order, with digests of what each answered; and where two such lists part.

Owns the dispatch mode that writes the list. It changes no value; it keeps digests and never a tensor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.worker.judge.digest import digest
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.mode import Mode
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.watch import Watcher, users_line

STEPS = 50_000
"""Operators of one call that are listed; what comes after them is not looked at."""
HASHED = 16 << 30
"""Bytes of answers that are read for one list."""

UNDEFINED = ("aten.empty", "aten.new_empty", "aten.resize_")
"""Operators whose answer is whatever lay in memory."""


@dataclass(frozen=True)
class Step:
    """One operator that was called."""

    name: str
    """ "aten.add"."""
    function: str
    """ "F.dropout" where one of torch.nn.functional called it; otherwise empty."""
    where: str
    """file:line of the user's code; empty where none of it is on the stack."""
    path: str
    """Path of the innermost module that called it."""
    given: str
    """Its arguments that are no tensors."""
    values: tuple[bytes, ...]
    """Digest of each tensor of its answer; empty for views and for what is undefined."""
    random: bool
    """It draws from a generator, by its tag."""
    generator: str
    """Name of the generator that it was given; empty: torch's global one, or none."""

    @property
    def called(self) -> str:
        """As a person would say it: "F.dropout (aten.bernoulli_)"."""
        return f"{self.function} ({self.name})" if self.function else self.name


@dataclass(frozen=True)
class Operand:
    """One tensor that an operator was given."""

    value: bytes
    name: str
    """Where the model holds it, "body.state"; empty for what the forward made."""


@dataclass(frozen=True)
class Parting:
    """The first place at which two lists differ."""

    index: int
    a: Step | None
    """In the reference; None: it had no further operator."""
    b: Step | None
    way: bool
    """Another operator stands there: the forwards took different ways."""
    operands: tuple[tuple[Operand, ...], tuple[Operand, ...]] = ((), ())
    """What the operator was given in both, once that was looked at."""

    @property
    def step(self) -> Step:
        """The one to name."""
        found = self.b or self.a
        assert found is not None  # a parting has at least one side
        return found

    def foreign(self) -> tuple[str, ...]:
        """Names of the operands that differ, "" for those that the model does not hold."""
        a, b = self.operands
        return tuple(two.name for one, two in zip(a, b) if one.value != two.value)  # noqa: B905 (up to the shorter)


class Operators(Mode):
    """Lists the operators inside one call of one module, the modules below it included."""

    def __init__(self, watcher: Watcher, key: tuple[str, int], names: Names, at: int = -1) -> None:
        """`at`: the place in the list of which the operands are looked at."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.operands: tuple[Operand, ...] = ()
        self._watcher, self._key, self._names, self._at = watcher, key, names, at
        self._left = HASHED

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inside = any(call.key == self._key for call in self._watcher.stack) and len(self.steps) < STEPS
        if inside and len(self.steps) == self._at:
            self.operands = tuple(
                Operand(_digest(one), self._names.tensor(one)) for one in _tensors((args, kwargs)) if not one.is_meta
            )
        output = func(*args, **kwargs)
        if inside:
            self._watcher.raise_if_cancelled()
            self._add(func, args, kwargs, output)
        return output

    def _add(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        name = str(func.overloadpacket)
        where, function = users_line(sys._getframe(2))
        skipped = name.startswith(UNDEFINED) or (func.is_view and name != "aten.lift_fresh")
        values: tuple[bytes, ...] = ()
        if not skipped and self._left > 0:
            values = self._values(output)
        generator = next((one for one in _flat((args, kwargs)) if isinstance(one, torch.Generator)), None)
        self.steps.append(
            Step(
                name,
                function,
                where,
                self._watcher.stack[-1].path,
                ", ".join(_given(args, kwargs)),
                values,
                torch.Tag.nondeterministic_seeded in func.tags,
                "" if generator is None else self._names.generator(generator) or "a generator of its own",
            )
        )

    def _values(self, output: Any) -> tuple[bytes, ...]:
        tensors = [output] if isinstance(output, torch.Tensor) else list(_tensors(output))
        self._left -= sum(bytes_of(one) for one in tensors)
        if not tensors:
            return (digest(flatten(output)),)
        return tuple(_digest(one) for one in tensors)


class Names:
    """Under which names a model holds tensors and generators; looked up when asked, for forwards rebind them."""

    def __init__(self, modules: Sequence[tuple[str, torch.nn.Module]], generators: Any) -> None:
        """`generators`: a function from a generator to its name."""
        self._modules, self._generators = modules, generators

    def generator(self, one: torch.Generator) -> str:
        return str(self._generators(one))

    def tensor(self, one: torch.Tensor) -> str:
        """The name of the first tensor that lies on the same memory; empty when the model holds none."""
        place = _place(one)
        if place:
            for path, module in self._modules:
                for name, value in _held(module):
                    if isinstance(value, torch.Tensor) and _place(value) == place:
                        return f"{path}.{name}" if path else name
        return ""


def first_parting(a: Sequence[Step], b: Sequence[Step], noisy: frozenset[int] = frozenset()) -> Parting | None:
    """The first operator whose answer differs, or that is another one; None when there is none.

    `noisy` are places that differ between two replays of the very same run, and say nothing.
    """
    for index, (one, two) in enumerate(zip(a, b)):  # noqa: B905 (lengths are looked at below)
        if one.name != two.name:
            return Parting(index, one, two, True)
        if one.values != two.values and index not in noisy:
            return Parting(index, one, two, False)
    if len(a) != len(b):
        index = min(len(a), len(b))
        return Parting(index, a[index] if index < len(a) else None, b[index] if index < len(b) else None, True)
    return None


def first_new_value(a: Sequence[Step], b: Sequence[Step]) -> Parting | None:
    """The first operator of `b` with an answer that none in `a` gave: for modes that dispatch other operators."""
    known = {value for step in a for value in step.values}
    for index, step in enumerate(b):
        if step.values and not known.issuperset(step.values):
            twin = a[index] if index < len(a) and a[index].name == step.name else None
            return Parting(index, twin, step, False)
    return None


def noise(a: Sequence[Step], again: Sequence[Step]) -> frozenset[int]:
    """Places at which two lists of the very same run differ in an answer."""
    return frozenset(index for index, (one, two) in enumerate(zip(a, again)) if one.values != two.values)  # noqa: B905


def _digest(tensor: torch.Tensor) -> bytes:
    return digest(Flat("", [("", tensor)]))


def _flat(value: Any) -> Iterator[Any]:
    """What stands in tuples, lists and dictionaries."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, dict):
        yield from _flat(tuple(value.values()))
    else:
        yield value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    return (one for one in _flat(value) if isinstance(one, torch.Tensor))


def _given(args: Any, kwargs: Any) -> Iterator[str]:
    for value in (*args, *kwargs.values()):
        if isinstance(value, (tuple, list)) and any(isinstance(one, torch.Tensor) for one in value):
            yield f"{len(value)} tensors"
        yield from (repr(one) for one in _flat(value) if isinstance(one, (bool, int, float, complex, str)))


def _held(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    yield from module._parameters.items()
    yield from module._buffers.items()
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, (list, tuple)) and not name.startswith("_"):
            yield from ((f"{name}[{place}]", one) for place, one in enumerate(value[:64]))
        elif isinstance(value, dict) and not name.startswith("_"):
            yield from ((f"{name}[{key!r}]", one) for key, one in list(value.items())[:64])


def _place(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided or tensor.is_meta or not tensor.numel():
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # a tensor without a storage of its own
        return 0
