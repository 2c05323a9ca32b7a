"""What a training checkpoint tells besides its tensors: the epoch, arguments, the optimizer's settings; in short words.

Reads the inert records of `inspect_pickle`; whatever they hold, the answer is short. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from workbench.worker.artifact.inspect_records import Call, Global, Mapping
from workbench.worker.artifact.inspect_tensors import is_tensor, key_text

FACTS = 40
"""Entries that are told."""

SHOWN = 12
"""Values of one entry that are told."""

_LONG = 80
"""Characters of one value."""

Pairs = Sequence[tuple[Any, Any]]


def facts_of(root: Any) -> dict[str, str]:
    """Key → words, of what a checkpoint holds at its top; nothing for a state_dict and for what is no dict."""
    pairs = None if isinstance(root, Call) and root.state else _pairs(root)  # attributes of an object tell its class
    if pairs is None or all(is_tensor(value) for _, value in pairs):
        return {}
    facts: dict[str, str] = {}
    for key, value in pairs:
        words = "" if is_tensor(value) else _words(value)
        if words and len(facts) < FACTS:
            facts[_short(key_text(key))] = words
    return facts


def _words(value: Any) -> str:
    """One entry; empty for what has no short words."""
    if (text := _text(value)) is not None:
        return text
    if isinstance(value, list):
        return f"{len(value)} items" if len(value) != 1 else "1 item"
    pairs = _pairs(value)
    if pairs is None:
        return ""
    if groups := next((held for key, held in pairs if key == "param_groups" and isinstance(held, list)), None):
        return _optimizer(pairs, groups)
    tensors = sum(is_tensor(held) for _, held in pairs)
    if tensors:
        return f"{tensors} tensor{'s' if tensors != 1 else ''}"
    return _settings(pairs)


def _optimizer(pairs: Pairs, groups: list[Any]) -> str:
    """An optimizer's state_dict: its settings, and of how many parameters it has a state."""
    state = next((_pairs(held) for key, held in pairs if key == "state"), None) or ()
    settings = _settings([pair for pair in _pairs(groups[0]) or () if pair[0] != "params"])
    told = [f"optimizer, {settings}" if settings else "optimizer"]
    told += [f"{len(groups)} groups, of which this is the first"] if len(groups) > 1 else []
    return "; ".join([*told, f"state of {len(state)} parameter{'s' if len(state) != 1 else ''}"])


def _settings(pairs: Iterable[tuple[Any, Any]]) -> str:
    """ "lr=0.001, betas=(0.9, 0.999)": those that are plain, and how many more there are."""
    told = [f"{_short(key_text(key))}={text}" for key, value in pairs if (text := _text(value)) is not None]
    more = [f"{len(told) - SHOWN} more"] if len(told) > SHOWN else []
    return ", ".join(told[:SHOWN] + more)


def _text(value: Any) -> str | None:
    """A plain value, or a few of them; None for everything else."""
    if isinstance(value, Global):
        return _short(str(value))
    if isinstance(value, str):
        return _short(value)
    if value is None or isinstance(value, (bool, int, float)):
        # a long int takes seconds to be written, and ValueError beyond 4,300 digits
        return "a number of many digits" if isinstance(value, int) and abs(value) >= 1 << 64 else str(value)
    if type(value) in (tuple, list) and len(value) <= SHOWN:
        texts = [None if isinstance(one, (tuple, list)) else _text(one) for one in value]
        if all(text is not None for text in texts):
            inside = ", ".join(map(str, texts))
            return f"({inside})" if type(value) is tuple else f"[{inside}]"
    return None


def _pairs(value: Any) -> Pairs | None:
    """The entries of a dict, or the attributes of a plain object, such as argparse's Namespace; None for others."""
    if isinstance(value, Mapping):
        return value.pairs
    if isinstance(value, Call):
        return value.state.pairs if isinstance(value.state, Mapping) and not value.pairs else value.pairs or None
    return None


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 2]} …"
