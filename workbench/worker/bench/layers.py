"""What a layer may be given: the shapes and dtypes that its parameters leave open, the likeliest first.

Owns the table of layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.protocol.spec import COMPLEX, FLOATING, DynamicDim, InputSpec
from workbench.worker.bench.consumers import Consumer
from workbench.worker.bench.words import shape_text

BATCH = 4
MOST_ROWS = 64
"""Largest batch that is declared for a model whose rows are not in the first dimension."""
LENGTH = 16
_SIDES = (32, 28, 64, 224, 16, 8, 128, 96, 299)
"""Spatial sizes worth trying, the plainest first."""


def options(found: Consumer) -> list[InputSpec]:
    """What the layer may be given, the likeliest first; one entry when there is no doubt."""
    for kind, make in LAYERS.items():
        if not isinstance(found.module, kind):
            continue
        dtype, low, high = _dtype(found.module), None, None
        if isinstance(found.module, (nn.Embedding, nn.EmbeddingBag)):
            dtype, low, high = "int64", 0.0, float(found.module.num_embeddings - 1)
        shapes = make(found.module)
        if found.direct and kind in _CERTAIN:
            shapes = shapes[:1]
        return [InputSpec("", dtype, shape, low, high, _rows(found.module, shape)) for shape in shapes]
    return []


def reason(found: Consumer) -> str:
    """Which parameter says so: "from stem.weight [16,3,3,3]"."""
    named = next(iter(found.module.named_parameters(recurse=False)), None)
    where = ".".join(part for part in (found.path, "" if named is None else named[0]) if part)
    shape = "" if named is None else f" {shape_text(named[1].shape)}"
    return f"from {where or type(found.module).__name__}{shape}"


def is_spatial(spec: InputSpec) -> bool:
    """Whether it is pictures, volumes or series of equal sides."""
    return spec.dtype in FLOATING and len(spec.shape) > 2 and len(set(spec.shape[2:])) == 1


def _rows(module: nn.Module, shape: tuple[int, ...]) -> tuple[DynamicDim, ...]:
    second = isinstance(module, nn.RNNBase) and not module.batch_first and len(shape) == 3
    return (DynamicDim(1, "batch", 1, MOST_ROWS),) if second else ()


def _dtype(module: nn.Module) -> str:
    tensor = next((parameter for parameter in module.parameters()), None)
    name = "float32" if tensor is None else str(tensor.dtype)[6:]
    return name if name in (*FLOATING, *COMPLEX) else "float32"


def _linear(module: Any) -> list[tuple[int, ...]]:
    """[4,in] and [4,16,in]; and the images and volumes that flatten to `in`, one or three channels."""
    wide = module.in_features
    shapes: list[tuple[int, ...]] = [(BATCH, wide), (BATCH, LENGTH, wide)]
    for channels in (1, 3):
        side = int((wide // channels) ** 0.5)
        if side > 1 and channels * side * side == wide:
            shapes.append((BATCH, channels, side, side))
    return shapes


def _spatial(dimensions: int) -> Callable[[Any], list[tuple[int, ...]]]:
    def shapes(module: Any) -> list[tuple[int, ...]]:
        channels = getattr(module, "in_channels", None) or module.num_features
        sides = _SIDES if dimensions < 3 else (16, 32, 8)
        return [(BATCH, channels, *[side] * dimensions) for side in sides]

    return shapes


def _recurrent(module: Any) -> list[tuple[int, ...]]:
    first = (BATCH, LENGTH) if module.batch_first else (LENGTH, BATCH)
    return [(*first, module.input_size)]


def _width(name: str) -> Callable[[Any], list[tuple[int, ...]]]:
    return lambda module: [(BATCH, LENGTH, getattr(module, name)), (LENGTH, BATCH, getattr(module, name))]


LAYERS: dict[type[nn.Module], Callable[[Any], list[tuple[int, ...]]]] = {
    nn.Linear: _linear,
    nn.Embedding: lambda module: [(2, LENGTH), (2,)],
    nn.EmbeddingBag: lambda module: [(2, LENGTH)],
    nn.Conv1d: _spatial(1),
    nn.Conv2d: _spatial(2),
    nn.Conv3d: _spatial(3),
    nn.ConvTranspose1d: _spatial(1),
    nn.ConvTranspose2d: _spatial(2),
    nn.RNNBase: _recurrent,
    nn.LayerNorm: lambda module: [(BATCH, *module.normalized_shape), (BATCH, LENGTH, *module.normalized_shape)],
    nn.BatchNorm1d: lambda module: [(BATCH, module.num_features), (BATCH, module.num_features, LENGTH)],
    nn.BatchNorm2d: _spatial(2),
    nn.MultiheadAttention: _width("embed_dim"),
    nn.TransformerEncoderLayer: lambda module: _width("embed_dim")(module.self_attn),
    nn.TransformerDecoderLayer: lambda module: _width("embed_dim")(module.self_attn),
    nn.TransformerEncoder: lambda module: _width("embed_dim")(module.layers[0].self_attn),
    nn.TransformerDecoder: lambda module: _width("embed_dim")(module.layers[0].self_attn),
    nn.Transformer: _width("d_model"),
}
"""Layer → the shapes it may be given, the likeliest first."""

_CERTAIN = (nn.Linear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase)
"""Layers whose first guess needs no trial when the argument reaches them unchanged."""
