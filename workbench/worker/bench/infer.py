"""Example inputs where none were given: from the modules that take the arguments of forward.

Owns the guessing. What the layers do not settle it tries on the model, in eval and without a graph, on a copy or with
everything put back afterwards; what it cannot find out it asks for by name.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import Failure
from workbench.protocol.spec import COMPLEX, FLOATING, DynamicDim, InputSpec
from workbench.worker.bench.consumers import Consumer, consumer_of
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.modes import flags, generators_kept, set_flags
from workbench.worker.bench.sampling import draw
from workbench.worker.bench.signature import Forward, wanted
from workbench.worker.bench.words import shape_text

_BATCH = 4
_MOST_ROWS = 64
"""Largest batch that is declared for a model whose rows are not in the first dimension."""
_LENGTH = 16
_SIDES = (32, 28, 64, 224, 16, 8, 128, 96, 299)
"""Spatial sizes worth trying, the plainest first."""
_TRIALS = 24
_COPY_LIMIT = 64 << 20
"""Bytes of parameters up to which a trial runs on a deep copy; above, on the model itself, put back afterwards."""

Guess = tuple[str, tuple[int, ...], "float | None", "float | None"]
"""dtype, shape, low, high."""


def infer(model: nn.Module, forward: Forward, seed: int) -> list[tuple[InputSpec, str]]:
    """(spec, why) for each required argument of forward. Raises `WorkbenchError("inputs")` naming what is wanted."""
    names = list(forward.required)
    guesses: dict[str, tuple[list[Guess], Consumer]] = {}
    for name in names:
        found = consumer_of(model, name) or (_first_layer(model) if len(names) == 1 else None)
        options = [] if found is None else _options(found)
        if found is not None and options:
            guesses[name] = (options, found)
    unknown = [name for name in names if name not in guesses]
    if unknown:
        listed = ", ".join(unknown)
        raise wanted(
            unknown, f"no input was given, and what {listed} should be cannot be told from the layers", forward
        )
    if all(len(options) == 1 and found.direct for options, found in guesses.values()):
        return _one_batch([_spec(name, options[0], found) for name, (options, found) in guesses.items()])
    return _tried(model, forward, guesses, seed)


def _tried(
    model: nn.Module, forward: Forward, guesses: dict[str, tuple[list[Guess], Consumer]], seed: int
) -> list[tuple[InputSpec, str]]:
    """The first combination of guesses with which the model runs. Raises `WorkbenchError("inputs")` when none does."""
    combinations = itertools.product(*(options for options, _ in guesses.values()))
    likeliest: Failure | None = None
    tried: list[str] = []
    with _on_trial(model) as subject:
        for chosen in itertools.islice(combinations, _TRIALS):
            specs = [_spec(name, guess, guesses[name][1]) for name, guess in zip(guesses, chosen)]  # noqa: B905 (3.10)
            sample = {spec.name: draw(spec, spec.shape, seed, 1.0) for spec, _ in specs}
            positional = [sample.pop(name) for name in forward.positional if name in sample]
            try:
                subject(*positional, **sample)
            except Exception as raised:  # noqa: BLE001 (user code: whatever a wrong shape makes it raise)
                likeliest = likeliest or explain(raised, subject, tuple(positional), sample)
                tried.append(" ".join(spec.text for spec, _ in specs))
                continue
            return _one_batch(specs)
    names = list(forward.required)
    others = f" and {len(tried) - 1} more" if len(tried) > 1 else ""
    reason = f"no input was given, and the model ran with none of those tried ({tried[0]}{others})"
    if likeliest is None:
        raise wanted(names, reason, forward)
    place = f" at {likeliest.where}" if likeliest.where else ""
    raise wanted(
        names, f"{reason}; the first raised{place}: {likeliest.message.rstrip('.')}", forward, likeliest.details
    )


@contextlib.contextmanager
def _on_trial(model: nn.Module) -> Iterator[nn.Module]:
    """The model, or a copy of it, in eval under no_grad; afterwards flags, buffers and generators are as before."""
    subject = model
    if sum(parameter.nbytes for parameter in model.parameters() if not nn.parameter.is_lazy(parameter)) <= _COPY_LIMIT:
        with contextlib.suppress(Exception):  # __deepcopy__ may raise anything; what cannot be copied is tried itself
            subject = copy.deepcopy(model)
    before = flags(subject)
    buffers = [(buffer, buffer.detach().clone()) for buffer in subject.buffers()] if subject is model else []
    set_flags(subject, False, ())
    try:
        with torch.no_grad(), generators_kept():
            yield subject
    finally:
        set_flags(subject, *before)
        with torch.no_grad():
            for buffer, content in buffers:
                buffer.copy_(content)


def _first_layer(model: nn.Module) -> Consumer | None:
    """The first layer, in the order they were made, that says what it takes; it is tried, not trusted."""
    for path, module in model.named_modules():
        if any(isinstance(module, kind) for kind in _LAYERS):
            return Consumer(path, module, False)
    return None


def _spec(name: str, guess: Guess, found: Consumer) -> tuple[InputSpec, str]:
    dtype, shape, low, high = guess
    weight = next((tensor for _, tensor in found.module.named_parameters(recurse=False)), None)
    described = "" if weight is None else f" {shape_text(weight.shape)}"
    first = next((key for key, _ in found.module.named_parameters(recurse=False)), "")
    where = ".".join(part for part in (found.path, first) if part)
    second = isinstance(found.module, nn.RNNBase) and not found.module.batch_first and len(shape) == 3
    dynamic = (DynamicDim(1, "batch", 1, _MOST_ROWS),) if second else ()
    return InputSpec(name, dtype, shape, low, high, dynamic), f"from {where or type(found.module).__name__}{described}"


def _one_batch(specs: list[tuple[InputSpec, str]]) -> list[tuple[InputSpec, str]]:
    """Where one input counts its rows in a named dimension, the others' rows bear the same name."""
    if not any(spec.dynamic for spec, _ in specs):
        return specs
    rows = (DynamicDim(0, "batch", 1, _MOST_ROWS),)
    return [
        (replace(spec, dynamic=rows) if not spec.dynamic and spec.shape[:1] == (_BATCH,) else spec, why)
        for spec, why in specs
    ]


def _options(found: Consumer) -> list[Guess]:
    """What the layer may be given, the likeliest first; one entry when there is no doubt."""
    for kind, make in _LAYERS.items():
        if isinstance(found.module, kind):
            dtype = _dtype(found.module)
            shapes: list[Guess] = [(dtype, shape, None, None) for shape in make(found.module)]
            if isinstance(found.module, (nn.Embedding, nn.EmbeddingBag)):
                top = float(found.module.num_embeddings - 1)
                shapes = [("int64", shape, 0.0, top) for shape in make(found.module)]
            certain = found.direct and kind in _CERTAIN
            return shapes[:1] if certain else shapes
    return []


def _dtype(module: nn.Module) -> str:
    tensor = next((parameter for parameter in module.parameters()), None)
    name = "float32" if tensor is None else str(tensor.dtype)[6:]
    return name if name in (*FLOATING, *COMPLEX) else "float32"


def _linear(module: Any) -> list[tuple[int, ...]]:
    """[4,in] and [4,16,in]; and the images and volumes that flatten to `in`, one or three channels."""
    wide = module.in_features
    shapes: list[tuple[int, ...]] = [(_BATCH, wide), (_BATCH, _LENGTH, wide)]
    for channels in (1, 3):
        side = int((wide // channels) ** 0.5)
        if side > 1 and channels * side * side == wide:
            shapes.append((_BATCH, channels, side, side))
    return shapes


def _spatial(dimensions: int) -> Callable[[Any], list[tuple[int, ...]]]:
    def shapes(module: Any) -> list[tuple[int, ...]]:
        channels = getattr(module, "in_channels", None) or module.num_features
        sides = _SIDES if dimensions < 3 else (16, 32, 8)
        return [(_BATCH, channels, *[side] * dimensions) for side in sides]

    return shapes


def _recurrent(module: Any) -> list[tuple[int, ...]]:
    first = (_BATCH, _LENGTH) if module.batch_first else (_LENGTH, _BATCH)
    return [(*first, module.input_size)]


def _width(name: str) -> Callable[[Any], list[tuple[int, ...]]]:
    return lambda module: [(_BATCH, _LENGTH, getattr(module, name)), (_LENGTH, _BATCH, getattr(module, name))]


_LAYERS: dict[type[nn.Module], Callable[[Any], list[tuple[int, ...]]]] = {
    nn.Linear: _linear,
    nn.Embedding: lambda module: [(2, _LENGTH), (2,)],
    nn.EmbeddingBag: lambda module: [(2, _LENGTH)],
    nn.Conv1d: _spatial(1),
    nn.Conv2d: _spatial(2),
    nn.Conv3d: _spatial(3),
    nn.ConvTranspose1d: _spatial(1),
    nn.ConvTranspose2d: _spatial(2),
    nn.RNNBase: _recurrent,
    nn.LayerNorm: lambda module: [(_BATCH, *module.normalized_shape), (_BATCH, _LENGTH, *module.normalized_shape)],
    nn.BatchNorm1d: lambda module: [(_BATCH, module.num_features), (_BATCH, module.num_features, _LENGTH)],
    nn.BatchNorm2d: _spatial(2),
    nn.MultiheadAttention: _width("embed_dim"),
    nn.TransformerEncoderLayer: lambda module: _width("embed_dim")(module.self_attn),
    nn.TransformerEncoder: lambda module: _width("embed_dim")(module.layers[0].self_attn),
}
"""Layer → the shapes it may be given, the likeliest first."""

_CERTAIN = (nn.Linear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase)
"""Layers whose first guess needs no trial when the argument reaches them unchanged."""
