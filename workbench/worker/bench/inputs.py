"""The example inputs of a model: which arguments there are, and samples of them.

Owns `Example`, and where it comes from: specs that were given, a file, the model file's own `example_inputs()`,
or inference from the first layers. It never runs a model's forward by itself (`infer.py` may) and never touches the
global generators.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import error
from workbench.protocol.model import InputInfo, Recipe
from workbench.protocol.spec import InputSpec
from workbench.worker import tensorfile
from workbench.worker.bench.arguments import Argument as Argument
from workbench.worker.bench.arguments import from_specs, named
from workbench.worker.bench.sampling import draw, map_leaves, map_tensors, resize, tensors_in, vary
from workbench.worker.bench.signature import Forward


class Example:
    """Arguments in the order of forward, and where they are to be (`place`). Samples are drawn on the CPU."""

    def __init__(self, arguments: tuple[Argument, ...], seed: int = 0) -> None:
        self.arguments = arguments
        self.seed = seed
        """The recipe's: given values are passed as they are for this seed, varied for any other."""
        self.dtype: torch.dtype | None = None
        """What floating inputs are cast to; None: as specified."""
        self.device = torch.device("cpu")

    def copy(self) -> Example:
        """The same arguments, not placed anywhere."""
        return Example(self.arguments, self.seed)

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
        return tuple(InputInfo(one.name, one.text, one.origin) for one in self.arguments)

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
        first = next((shape for shape in self._shapes() if shape), ())
        return first[0] if first else 0

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

    def sample(self, seed: int, batch: int | None = None, scale: float = 1.0) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) for one call of forward, the same for the same arguments of this.

        `batch` replaces the size of the batch dimension; `scale` multiplies floats that have no declared range.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for index, argument in enumerate(self.arguments):
            own_seed = (seed * 1_000_003 + index) % 2**63
            if argument.spec is not None:
                value: Any = self._drawn(argument.spec, own_seed, batch, scale)
            else:
                value = self._given(argument.value, seed == self.seed, own_seed, batch, scale)
            value = map_tensors(value, self._placed)
            if argument.keyword:
                kwargs[argument.name] = value
            else:
                args.append(value)
        return tuple(args), kwargs

    def _given(self, value: Any, exact: bool, seed: int, batch: int | None, scale: float) -> Any:
        present = self.batch
        rows = (present, present if batch is None else batch)

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

    def _shapes(self) -> list[tuple[int, ...]]:
        shapes: list[tuple[int, ...]] = []
        for argument in self.arguments:
            shapes += [spec.shape for _, spec in argument.specs]
            shapes += [tuple(tensor.shape) for tensor in tensors_in(argument.value)]
        return shapes


def example_from(recipe: Recipe, model: nn.Module, own: Any = None) -> Example:
    """The example inputs of `model`: given, from a file, its file's own (`own`, called), or inferred.

    Raises `WorkbenchError("inputs")` when a given one does not read or fit forward's signature, or when none was
    given and none can be inferred; then it names each argument that is wanted.
    """
    forward = Forward.of(model)
    given = from_specs(recipe.inputs) + _from_file(recipe)
    if not given and callable(own):
        given = named(own(), "from example_inputs()")
    if not given:
        from workbench.worker.bench.infer import infer

        given = [Argument(spec.name, spec, None, origin) for spec, origin in infer(model, forward, recipe.seed)]
    example = Example(forward.arrange(given), recipe.seed)
    _one_size_each(example)
    return example


def _from_file(recipe: Recipe) -> list[Argument]:
    if not recipe.inputs_file:
        return []
    path = os.path.join(recipe.directory, recipe.inputs_file)
    if not os.path.isfile(path):  # opening a FIFO would wait for ever
        what = f"{path} is no regular file." if os.path.lexists(path) else f"There is no file {path}."
        raise error("inputs", what, "--inputs", "Name a .pt or .safetensors file that holds a dict of name → tensor.")
    try:
        if path.endswith(".safetensors"):
            content: Any = tensorfile.load(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # (loaders raise more than fifteen kinds of exception)
        reason = str(problem).split("\n")[0]
        remedy = "Save a dict of name → tensor, with torch.save or as .safetensors."
        raise error("inputs", f"The inputs in {path} do not load: {reason}", path, remedy, str(problem)) from problem
    return named(content, f"from {os.path.basename(path)}")


def _one_size_each(example: Example) -> None:
    """A dynamic dimension that appears twice must have one size. Raises `WorkbenchError("inputs")`."""
    sizes: dict[str, tuple[int, str]] = {}
    for spec in example.specs:
        for dim in spec.dynamic:
            size, text = sizes.setdefault(dim.name, (spec.shape[dim.axis], spec.text))
            if size != spec.shape[dim.axis]:
                message = f"The dimension {dim.name} has other ranges in {text} and in {spec.text}."
                raise error("inputs", message, "--input", "Write the same range in both.")
