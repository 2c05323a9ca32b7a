"""The example inputs of a model: which arguments there are, and samples of them.

Owns `Example`; where it comes from is `example_sources.py`'s business. It never runs a model's forward and never
touches the global generators.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from workbench.protocol.model import InputInfo
from workbench.protocol.spec import InputSpec
from workbench.worker.bench.arguments import Argument as Argument
from workbench.worker.bench.sampling import draw, map_leaves, map_tensors, resize, tensors_in, vary


class Example:
    """Arguments in the order of forward, and where they are to be (`place`). Samples are drawn on the CPU."""

    def __init__(
        self,
        arguments: tuple[Argument, ...],
        seed: int = 0,
        others: Callable[[int], tuple[Argument, ...]] | None = None,
        count: int = 1,
    ) -> None:
        """others: the arguments of real sample number 0 to `count` - 1, where there are several; None: of one only."""
        self.arguments = arguments
        self.count = count
        """How many real samples there are; beyond them, and for other batches and scales, they are varied."""
        self._others = others
        self.seed = seed
        """The recipe's: given values are passed as they are for this seed, varied for any other."""
        self.dtype: torch.dtype | None = None
        """What floating inputs are cast to; None: as specified."""
        self.device = torch.device("cpu")
        self.words = ""
        """Where many real samples come from, and how many; empty for one."""
        self.left = ""
        """Why the model file's own `example_inputs()` are left aside; empty when they are not."""

    def copy(self) -> Example:
        """The same arguments, not placed anywhere."""
        return self.mapped(lambda argument: argument)

    def mapped(self, function: Callable[[Argument], Argument]) -> Example:
        """The same with `function` done to every argument of every sample, not placed anywhere."""
        others = self._others
        made = Example(
            tuple(map(function, self.arguments)),
            self.seed,
            None if others is None else lambda number: tuple(map(function, others(number))),
            self.count,
        )
        made.words = self.words
        return made

    def place(self, dtype: torch.dtype | None, device: torch.device) -> None:
        """From now on samples have this floating dtype (None: as specified) and are on this device."""
        self.dtype, self.device = dtype, device

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(argument.name for argument in self.arguments)

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """The specs of every tensor that is drawn."""
        return tuple(spec for argument in self.arguments for _, spec in argument.specs)

    @property
    def infos(self) -> tuple[InputInfo, ...]:
        return tuple(InputInfo(one.name, one.text, one.origin, one.source, one.parts) for one in self.arguments)

    @property
    def batch_name(self) -> str:
        """Name of the dynamic dimension that is the batch: the one called "batch", else a dynamic first one; or ""."""
        dynamic = [dim for spec in self.specs for dim in spec.dynamic]
        if any(dim.name == "batch" for dim in dynamic):
            return "batch"
        return next((dim.name for dim in dynamic if dim.axis == 0), "")

    @property
    def batch(self) -> int:
        """Size of the batch dimension in the example; 0 when there is none."""
        name = self.batch_name
        for spec in self.specs:
            for dim in spec.dynamic:
                if dim.name == name:
                    return spec.shape[dim.axis]
        return rows_of(self.arguments, 0)

    @property
    def batch_range(self) -> tuple[int, int] | None:
        """(smallest, largest) batch that was declared; None when no range was."""
        name = self.batch_name
        ranges = [dim for spec in self.specs for dim in spec.dynamic if dim.name == name and name]
        return (ranges[0].minimum, ranges[0].maximum) if ranges else None

    def batch_axes(self, spec: InputSpec) -> tuple[int, ...]:
        """Axes of `spec` that count rows of the batch."""
        name = self.batch_name
        if name:
            return tuple(dim.axis for dim in spec.dynamic if dim.name == name)
        return (0,) if spec.shape and spec.shape[0] == self.batch else ()

    def chosen(self, most: int) -> list[int]:
        """Seeds of at most `most` real samples, evenly over all of them; the first is the recipe's own."""
        wanted = min(self.count, most)
        return [self.seed + number * self.count // wanted for number in range(wanted)]

    def _of(self, seed: int) -> tuple[tuple[Argument, ...], bool]:
        """(the arguments that a sample of this seed is made of, whether their values are passed as they are)."""
        number = seed - self.seed
        exact = 0 <= number < self.count
        if self._others is None or number % self.count == 0:
            return self.arguments, exact
        return self._others(number % self.count), exact

    def sample(self, seed: int, batch: int | None = None, scale: float = 1.0) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) for one call of forward, the same for the same arguments of this.

        `batch` replaces the size of the batch dimension; `scale` multiplies floats that have no declared range.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        arguments, exact = self._of(seed)
        present = self.batch if arguments is self.arguments else rows_of(arguments, self.batch)
        for index, argument in enumerate(arguments):
            own_seed = (seed * 1_000_003 + index) % 2**63
            if argument.spec is not None:
                value: Any = self._drawn(argument.spec, own_seed, batch, scale)
            else:
                rows = (present, present if batch is None else batch)
                value = self._given(argument.value, exact, own_seed, rows, scale, batch)
            value = map_tensors(value, self._placed)
            if argument.keyword:
                kwargs[argument.name] = value
            else:
                args.append(value)
        return tuple(args), kwargs

    def _given(self, value: Any, exact: bool, seed: int, rows: tuple[int, int], scale: float, batch: int | None) -> Any:
        def one(tensor: torch.Tensor) -> torch.Tensor:
            if not exact:
                return vary(tensor, seed, scale, rows)
            tensor = resize(tensor, rows)
            return tensor * scale if scale != 1.0 and tensor.is_floating_point() else tensor.clone()

        seeds = itertools.count(seed, 7_919)  # parts of one argument are not alike
        return map_leaves(
            map_tensors(value, one), lambda spec: self._drawn(spec, next(seeds) % 2**63, batch, scale), InputSpec
        )

    def _drawn(self, spec: InputSpec, seed: int, batch: int | None, scale: float) -> torch.Tensor:
        axes = () if batch is None else self.batch_axes(spec)
        return draw(spec, spec.resized(dict.fromkeys(axes, batch or 0)).shape, seed, scale)

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self.dtype if self.dtype is not None and tensor.is_floating_point() else tensor.dtype
        return tensor.to(device=self.device, dtype=dtype)


def rows_of(arguments: tuple[Argument, ...], otherwise: int) -> int:
    """Size of the first dimension of the first tensor that has one."""
    for argument in arguments:
        tensors = tensors_in(argument.value)
        shapes = [spec.shape for _, spec in argument.specs] + [tuple(tensor.shape) for tensor in tensors]
        first = next((shape for shape in shapes if shape), None)
        if first is not None:
            return first[0]
    return otherwise
