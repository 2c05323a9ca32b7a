"""Where the state_dict is in what torch.load gave: it is that itself, or a training checkpoint holds it.

The only place that knows; the bench and a proof accept the same files. Carried into a bundle's verify.py: torch and
the standard library only.
"""

from __future__ import annotations

from typing import Any

import torch

CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "ema", "ema_state_dict", "weights")
"""Keys under which training programs keep the state_dict inside a checkpoint."""


CHECKPOINT_DEPTH = 3
"""Dicts within each other that are followed: {"checkpoint": {"model": {"net": …}}}."""


def state_dict_in(content: Any) -> tuple[str, dict[str, Any]] | None:
    """(key that it lies under, or "", the state_dict); None where there is none, or none that is meant before others.

    Keys within each other are joined by dots. Values may be extra state.
    """
    if is_state_dict(content):
        return "", content
    if isinstance(content, dict):
        for key in CHECKPOINT_KEYS:
            if is_state_dict(content.get(key)):
                return key, content[key]
    found = state_dicts_in(content)
    return next(iter(found.items())) if len(found) == 1 else None


def state_dicts_in(content: Any, depth: int = CHECKPOINT_DEPTH) -> dict[str, dict[str, Any]]:
    """Key, or keys joined by dots, → each state_dict of a model below the top; those of optimizers are none.

    Of a list at the top the keys are "0", "1" ….
    """
    found: dict[str, dict[str, Any]] = {}
    if isinstance(content, (list, tuple)):
        content = {str(place): held for place, held in enumerate(content)}
    if not isinstance(content, dict) or not depth or "param_groups" in content:
        return found
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, dict) or not value:
            continue
        if is_state_dict(value):
            found.update({key: value} if _checkpoint_of_weights(value) else {})
        else:
            found.update((f"{key}.{inner}", one) for inner, one in state_dicts_in(value, depth - 1).items())
    return found


def _checkpoint_of_weights(state: dict[str, Any]) -> bool:
    """Whether there is more in it than single numbers, as of averages, and the bytes of generators."""
    tensors = [value for value in state.values() if isinstance(value, torch.Tensor)]
    return any(one.dim() and not (one.dim() == 1 and one.dtype == torch.uint8) for one in tensors)


def is_state_dict(content: Any) -> bool:
    """A dict of tensors by name, perhaps with extra state of modules among them; an empty one is of an empty model."""
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return False
    tensors = [value for value in content.values() if isinstance(value, torch.Tensor)]
    nested = any(isinstance(value, dict) for key, value in content.items() if not key.endswith("_extra_state"))
    return (bool(tensors) and not nested) or not content
