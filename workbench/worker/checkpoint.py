"""Where the state_dict is in what torch.load gave: it is that itself, or a training checkpoint holds it.

The only place that knows; the bench and a proof accept the same files. Carried into a bundle's verify.py: torch and
the standard library only.
"""

from __future__ import annotations

from typing import Any

import torch

CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "ema", "ema_state_dict", "weights")
"""Keys under which training programs keep the state_dict inside a checkpoint."""


def state_dict_in(content: Any) -> tuple[str, dict[str, Any]] | None:
    """(key that it lies under, or "", the state_dict); None where there is none. Values may be extra state."""
    if is_state_dict(content):
        return "", content
    if isinstance(content, dict):
        for key in CHECKPOINT_KEYS:
            if is_state_dict(content.get(key)):
                return key, content[key]
    return None


def is_state_dict(content: Any) -> bool:
    """A dict of tensors by name, perhaps with extra state of modules among them; an empty one is of an empty model."""
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return False
    tensors = [value for value in content.values() if isinstance(value, torch.Tensor)]
    nested = any(isinstance(value, dict) for key, value in content.items() if not key.endswith("_extra_state"))
    return (bool(tensors) and not nested) or not content
