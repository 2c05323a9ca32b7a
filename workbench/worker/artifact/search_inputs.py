"""Inputs that a search for a counterexample tries: inside the contract, and as unlike each other as it allows.

Every one can be made again from its words and its seed. Runs no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.protocol.spec import InputSpec
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.judge.case_inputs import case_inputs
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.judge.plan import NORMAL, Case

SEED_OFFSET = 50_000
"""Seeds of a search are none that a case has."""

SIZES = 64
"""Sizes of one dynamic dimension that are all tried; of a longer range these many, evenly."""

UNLIMITED = 33
"""Largest batch that is tried where no range was declared."""

FLOATS = (
    "ones", "minus ones", "alternating signs", "one large element", "one large negative element", "a ramp",
    "half zeros",
    "0.001 ×", "0.1 ×", "30 ×", "300 ×", "all 3", "all -3", "all 20", "all -20", "negative", "positive",
)  # fmt: skip
"""What is done to floating tensors without declared values."""

RANGED = ("the lowest value", "the highest value", "both ends", "the middle", "one value")
"""What is done to tensors with a declared range, integers among them."""


@dataclass(frozen=True)
class Input:
    """One call to try."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    words: str
    """ "batch 7, ones, seed 50012"."""
    batch: int
    sizes: tuple[tuple[str, int], ...]
    seed: int


class Inputs:
    """The inputs of one search, in the order in which they are tried."""

    def __init__(self, subject: Subject, low: int, high: int | None, seed: int) -> None:
        """low, high: rows that the artifact serves (None: no limit)."""
        self.subject = subject
        self._seeds = itertools.count(seed + SEED_OFFSET)
        self._low, self._high = low, high
        self._specs = _specs_of(subject)

    def usual(self) -> Iterator[Input]:
        """Every kind of value at the usual size, then every size."""
        yield self.made(self._usual, (), "as usual")
        for kind in (*FLOATS, *RANGED):
            if self._means(kind):
                yield self.made(self._usual, (), kind)
        for batch, sizes in self._sizes():
            yield self.made(batch, sizes, "as usual")

    def mixed(self) -> Iterator[Input]:
        """Mixtures of kinds and sizes, without end."""
        every = self._sizes() or [(self._usual, ())]
        kinds = ["as usual", *(kind for kind in (*FLOATS, *RANGED) if self._means(kind))]
        for turn in itertools.count():
            generator = torch.Generator().manual_seed(turn)
            size = every[int(torch.randint(len(every), (), generator=generator))]
            kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
            yield self.made(*size, kind)

    @property
    def _usual(self) -> int:
        batch = self.subject.batch or 0
        if not batch:
            return 0
        return max(batch, self._low) if self._high is None else min(max(batch, self._low), self._high)

    def _sizes(self) -> list[tuple[int, tuple[tuple[str, int], ...]]]:
        """(batch, sizes of other dimensions): one dimension at a time through its range, then both ends mixed."""
        example = self.subject.example
        found: list[tuple[int, tuple[tuple[str, int], ...]]] = []
        if self.subject.batch:
            high = self._high if self._high is not None else UNLIMITED
            found += [(rows, ()) for rows in _spread(max(self._low, 1), high) if rows != self._usual]
        dims = {dim.name: dim for spec in example.specs for dim in spec.dynamic if dim.name != example.batch_name}
        free = [dim for dim in dims.values() if dim.maximum > dim.minimum]
        for dim in free:
            found += [(self._usual, ((dim.name, size),)) for size in _spread(dim.minimum, dim.maximum)]
        return found

    def _means(self, kind: str) -> bool:
        """Whether a kind of values would change anything of this model's inputs."""
        ranged = [spec is None or spec.declared for spec in self._specs.values()]
        integers = [spec is not None and "int" in spec.dtype for spec in self._specs.values()]
        if kind in RANGED:
            return any(one or other for one, other in zip(ranged, integers, strict=True))
        return not all(one or other for one, other in zip(ranged, integers, strict=True))

    def made(self, batch: int, sizes: tuple[tuple[str, int], ...], kind: str) -> Input:
        """One input of this kind; the next seed makes the next one another."""
        seed = next(self._seeds)
        case = Case(seed, batch, 1.0, NORMAL, "", sizes)
        args, kwargs, _ = case_inputs(self.subject.example, case)
        generator = torch.Generator().manual_seed(seed)
        for path, leaf in self.leaves(args, kwargs):
            spec = self._specs.get(path)
            if kind in FLOATS and leaf.is_floating_point() and spec is not None and not spec.declared:
                _as_float(leaf, kind, generator)
            elif kind in RANGED and spec is not None and spec.low is not None and spec.high is not None:
                _in_range(leaf, kind, spec, generator)
        named = [f"{name} {size}" for name, size in ((("batch", batch),) if batch else ()) + sizes]
        return Input(args, kwargs, ", ".join([*named, kind, f"seed {seed}"]), batch, sizes, seed)

    def leaves(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
        """Every tensor of a call with its path."""
        values = zip(self.subject.names, (*args, *kwargs.values()), strict=True)
        return [leaf for name, value in values for leaf in flatten_plain(value, name).leaves]

    def copied(self, one: Input, words: str) -> Input:
        """The same values in tensors of their own."""
        return replace(one, args=_cloned(one.args), kwargs=_cloned(one.kwargs), words=words)

    def moved(self, one: Input, direction: str, step: float, generator: torch.Generator) -> Input | None:
        """`one`, moved by `step` in a direction of `DIRECTIONS` and kept in its range; None where nothing may move."""
        made, changed = self.copied(one, one.words), False
        for path, leaf in self.leaves(made.args, made.kwargs):
            spec = self._specs.get(path)
            if spec is None or leaf.dtype == torch.bool or leaf.is_complex() or not leaf.numel():
                continue
            ranged = spec.low is not None and spec.high is not None
            if not leaf.is_floating_point() and not ranged:
                continue
            wide = leaf.double()
            if direction == "scaled":
                wide = wide * step
            elif direction == "shifted":
                wide = wide + step
            elif direction == "one element":
                wide.view(-1)[int(torch.randint(leaf.numel(), (), generator=generator))] += step
            else:
                wide = wide + step * torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf.device)
            if ranged:
                wide = wide.clamp(spec.low, spec.high)
            if not leaf.is_floating_point():
                wide = wide.round()
            leaf.copy_(wide.to(leaf.dtype))
            changed = True
        return made if changed else None

    def around(self, one: Input, number: int) -> Input:
        """A neighbour: floats without declared values a thousandth off, and everything else the same."""
        made = self.copied(one, f"{one.words}; neighbour {number}")
        generator = torch.Generator().manual_seed(one.seed * 101 + number)
        for path, leaf in self.leaves(made.args, made.kwargs):
            spec = self._specs.get(path)
            if leaf.is_floating_point() and leaf.numel() and (spec is None or not spec.declared):
                noise = torch.randn(leaf.shape, generator=generator).to(leaf)
                leaf.add_(noise * leaf.abs() * 1e-3)
        return made


DIRECTIONS = ("shifted", "scaled", "one element", "jittered")


def _specs_of(subject: Subject) -> dict[str, InputSpec | None]:
    """The spec of every tensor of a call by its path; None where it was given."""
    found: dict[str, InputSpec | None] = {path: None for path, _ in subject.tensors}
    for argument, name in zip(subject.example.arguments, subject.names, strict=True):
        found.update({path or name: spec for path, spec in argument.specs})
    return found


def _spread(low: int, high: int) -> list[int]:
    """Every size from `low` to `high`, or `SIZES` of them with both ends."""
    if high - low < SIZES:
        return list(range(low, high + 1))
    return sorted({low + round(at * (high - low) / (SIZES - 1)) for at in range(SIZES)})


def _cloned(value: Any) -> Any:
    return map_tensors(value, torch.clone)


def _as_float(leaf: torch.Tensor, kind: str, generator: torch.Generator) -> None:
    flat = leaf.view(-1) if leaf.is_contiguous() else leaf.reshape(-1)
    if not flat.numel():
        return
    where = int(torch.randint(flat.numel(), (), generator=generator))
    places = torch.arange(flat.numel(), device=leaf.device)
    if kind in ("ones", "minus ones"):
        flat.fill_(1.0 if kind == "ones" else -1.0)
    elif kind.startswith("all "):
        flat.fill_(float(kind[4:]))
    elif kind.endswith(" ×"):
        flat.mul_(float(kind[:-2]))
    elif kind == "alternating signs":
        flat.copy_(flat.abs() * torch.where(places % 2 == 0, 1.0, -1.0).to(leaf))
    elif kind == "a ramp":
        flat.copy_(torch.linspace(-3, 3, flat.numel()).to(leaf))
    elif kind == "half zeros":
        flat[places % 2 == 0] = 0.0
    elif kind in ("one large element", "one large negative element"):
        flat[where] = 150.0 if kind == "one large element" else -150.0
    else:
        flat.copy_(-flat.abs() if kind == "negative" else flat.abs())


def _in_range(leaf: torch.Tensor, kind: str, spec: InputSpec, generator: torch.Generator) -> None:
    low, high = float(spec.low or 0.0), float(spec.high or 0.0)
    if kind == "the lowest value":
        leaf.fill_(low)
    elif kind == "the highest value":
        leaf.fill_(high)
    elif kind == "the middle":
        leaf.fill_(int((low + high) / 2) if not leaf.is_floating_point() else (low + high) / 2)
    elif kind == "one value":
        share = float(torch.rand((), generator=generator))
        leaf.fill_(low + share * (high - low) if leaf.is_floating_point() else low + int(share * (high - low + 1)))
    else:
        coin = torch.rand(leaf.shape, generator=generator).to(leaf.device) < 0.5
        leaf.copy_(torch.where(coin, low, high).to(leaf.dtype))
