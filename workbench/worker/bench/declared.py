"""What a model says itself about its inputs: the configurations that transformers and timm keep on their models, and
what an argument is called.

Owns the reading of them. Neither library is imported: an attribute is there, or it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.protocol.spec import ONES, ZEROS, InputSpec
from workbench.worker.bench.layers import LENGTH
from workbench.worker.bench.signature import Forward

_ROWS = 2
_PICTURES, _SIDES = ("img", "imgs", "image", "images", "picture", "pictures", "pixel_values"), (224, 256, 32, 64, 128)
"""What pictures are called, and the sides that models are made for."""
_WAVE = 8000
"""Samples of a sound, half a second at 16 kHz."""

Told = dict[str, tuple[InputSpec, str]]


def declared(model: nn.Module, forward: Forward) -> Told:
    """Argument → (spec, where that is said), for what the model's own configuration settles."""
    return _timm(model, forward) or _transformers(model, forward)


def _timm(model: Any, forward: Forward) -> Told:
    for name in ("pretrained_cfg", "default_cfg"):
        found = getattr(model, name, None)
        sizes = found.get("input_size") if isinstance(found, dict) else None
        if isinstance(sizes, (tuple, list)) and len(sizes) == 3 and forward.positional:
            first = forward.positional[0]
            return {first: (InputSpec(first, "float32", (_ROWS, *map(int, sizes))), f"from its {name}: input_size")}
    return {}


def _transformers(model: Any, forward: Forward) -> Told:
    config = getattr(model, "config", None)
    main = getattr(model, "main_input_name", None)
    if config is None or not isinstance(main, str):
        return {}
    known = {*forward.positional, *forward.keyword_only}
    text, vision = getattr(config, "text_config", None) or config, getattr(config, "vision_config", None) or config
    told: Told = {}

    def tell(name: str, make: Callable[[], InputSpec], why: str) -> None:
        if name in known:
            told[name] = (make().with_name(name), why)

    words = getattr(text, "vocab_size", None)
    both = {"input_ids", "pixel_values"} <= known and text is not vision
    if isinstance(words, int) and (main == "input_ids" or both):
        ids = InputSpec("", "int64", (_ROWS, LENGTH), 0.0, float(words - 1))
        tell("input_ids", lambda: ids, f"from config.vocab_size {words}")
        tell("attention_mask", lambda: InputSpec("", "int64", (_ROWS, LENGTH), fill=ONES), "as long as input_ids")
    if isinstance(words, int) and getattr(config, "is_encoder_decoder", False):
        ids = InputSpec("", "int64", (_ROWS, LENGTH), 0.0, float(words - 1))
        tell("decoder_input_ids", lambda: ids, f"from config.vocab_size {words}")
    side, channels = getattr(vision, "image_size", None), getattr(vision, "num_channels", 3)
    if main == "pixel_values" or both:
        sides = tuple(side) if isinstance(side, (tuple, list)) else (side or 224,) * 2
        why = f"from config.image_size {side}, num_channels {channels}"
        tell("pixel_values", lambda: InputSpec("", "float32", (_ROWS, channels, *sides)), why)
    if main == "input_values":
        tell("input_values", lambda: InputSpec("", "float32", (_ROWS, _WAVE)), "half a second of sound")
    bins = getattr(config, "num_mel_bins", None)
    if main == "input_features" and isinstance(bins, int):
        frames = 2 * getattr(config, "max_source_positions", 1500)
        why = f"from config.num_mel_bins {bins}"
        tell("input_features", lambda: InputSpec("", "float32", (_ROWS, bins, frames)), why)
    return told if main in told or both else {}


def pictures(name: str) -> list[InputSpec]:
    """Pictures of three channels where an argument is called so; to be tried, not trusted."""
    if name.lower() not in _PICTURES:
        return []
    return [InputSpec("", "float32", (_ROWS, 3, side, side)) for side in _SIDES]


def by_name(name: str, beside: InputSpec | None) -> list[InputSpec]:
    """What an argument of this name may be, beside another one that is known; to be tried, not trusted."""
    shape = (_ROWS, LENGTH) if beside is None else beside.shape
    rows, two = shape[:1], shape[:2]
    called = name.lower()
    found = pictures(name)
    if "mask" in called:
        found += [InputSpec("", dtype, two, fill=ONES) for dtype in ("bool", "int64", "float32")]
        found += [InputSpec("", "bool", shape[:1] * 2, fill=ONES), InputSpec("", "bool", shape, fill=ONES)]
    elif "len" in called:
        found.append(InputSpec("", "int64", rows, 1.0, float(shape[1] if len(shape) > 1 else LENGTH)))
    elif "type_ids" in called or "segment" in called or "offset" in called:
        found += [InputSpec("", "int64", two, fill=ZEROS), InputSpec("", "int64", rows, fill=ZEROS)]
    elif "position" in called or called in ("pos", "pos_ids"):
        found.append(InputSpec("", "int64", two, 0.0, float(max(0, two[-1] - 1))))
    elif called in ("t", "time", "timestep", "timesteps", "sigma"):
        found += [InputSpec("", "int64", rows, 0.0, 9.0), InputSpec("", "float32", rows, 0.0, 1.0)]
    elif called in ("labels", "label", "target", "targets", "y"):
        found += [InputSpec("", "int64", rows, 0.0, 1.0), InputSpec("", "int64", two, 0.0, 1.0)]
    elif called == "edge_index":
        found.append(InputSpec("", "int64", (2, 8), 0.0, float(max(0, shape[0] - 1))))
    if beside is not None:
        found += [InputSpec("", beside.dtype, shape, beside.low, beside.high, beside.dynamic)]
        found += [InputSpec("", "float32", rows), InputSpec("", "int64", rows, 0.0, 1.0)]
    return found
