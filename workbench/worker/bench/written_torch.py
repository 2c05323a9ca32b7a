"""Arguments of torch's own transformer layers, which leave them behind under other names than the constructors have.

Owns that table (torch/nn/modules/transformer.py). Every other layer of torch keeps its arguments as attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

_LAYER: dict[str, Callable[[Any], Any]] = {
    "d_model": lambda layer: layer.self_attn.embed_dim,
    "nhead": lambda layer: layer.self_attn.num_heads,
    "dim_feedforward": lambda layer: layer.linear1.out_features,
    "dropout": lambda layer: layer.dropout.p,
    "layer_norm_eps": lambda layer: layer.norm1.eps,
    "batch_first": lambda layer: layer.self_attn.batch_first,
    "bias": lambda layer: layer.linear1.bias is not None,
}


def _of_first(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda model: read(model.encoder.layers[0])


_LEFT: dict[type, dict[str, Callable[[Any], Any]]] = {
    nn.TransformerEncoderLayer: _LAYER,
    nn.TransformerDecoderLayer: _LAYER,
    nn.TransformerEncoder: {"encoder_layer": lambda stack: stack.layers[0]},
    nn.TransformerDecoder: {"decoder_layer": lambda stack: stack.layers[0]},
    nn.Transformer: {
        "num_encoder_layers": lambda model: model.encoder.num_layers,
        "num_decoder_layers": lambda model: model.decoder.num_layers,
        "activation": lambda model: model.encoder.layers[0].activation,
        "norm_first": lambda model: model.encoder.layers[0].norm_first,
        **{name: _of_first(read) for name, read in _LAYER.items() if name not in ("d_model", "nhead")},
    },
}


def left_by_torch(module: nn.Module, name: str) -> Any:
    """The argument `name` that a layer of torch's own was constructed with. Raises LookupError where nothing tells."""
    try:
        return _LEFT[type(module)][name](module)
    except (AttributeError, IndexError) as problem:  # its parts were exchanged
        raise LookupError(name) from problem
