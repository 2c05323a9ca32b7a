"""What one call of forward was given, as plain tensors, and how many such may be kept: owns the limits of a recording.

Tensors are copied to the CPU at once, for the program may write into them afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

GRACE = 0.25
"""Seconds that recording may take however little time has passed: a short program gets its samples, too."""
SHARE = 0.02
"""Of the time that passes, what recording may take beyond that."""
_DEPTH = 32


class Unfit(Exception):
    """A call that cannot be written down; its text says why."""


class Budget:
    """How much may still be recorded."""

    def __init__(self, samples: int, every: int, size: int) -> None:
        self.samples, self.every, self.size = samples, max(1, every), size
        self.taken = self.calls = 0
        self._spent = 0.0
        self._began = time.perf_counter()
        self._rests = 0.0
        """Clock until which nothing is recorded: the one thing that most calls look at."""

    @property
    def full(self) -> bool:
        return self.taken >= self.samples or self.size <= 0

    def wants(self) -> bool:
        """Count one more call; whether it is to be recorded."""
        self.calls += 1
        if time.perf_counter() < self._rests:
            return False
        return not self.full and not (self.calls - 1) % self.every

    def spend(self, seconds: float) -> None:
        """Count what a recording took, and rest until that is a small share of the time that passed."""
        self._spent += seconds
        self._rests = self._began + (self._spent - GRACE) / SHARE

    def begin_to_last(self, seconds: float) -> None:
        """Count the one thing that is done beside the samples, which takes nothing of their grace."""
        self._spent += max(0.0, seconds - GRACE)
        self.spend(0.0)

    def take(self, size: int) -> None:
        self.taken += 1
        self.size -= size


def plain_call(args: tuple[Any, ...], kwargs: dict[str, Any], room: int) -> tuple[tuple[Any, ...], dict[str, Any], int]:
    """(args, kwargs, bytes of their tensors) as plain containers on the CPU.

    Raises `Unfit` for what no file of data can hold, and for more than `room` bytes, before anything is copied.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in _tensors((args, kwargs), 0))
    if size > room:
        raise Unfit(f"a call of {size / 2**20:.1f} MB does not fit into what is left")
    copies: dict[int, torch.Tensor] = {}
    plain = tuple(_plain(one, copies, 0) for one in args)
    return plain, {name: _plain(one, copies, 0) for name, one in kwargs.items()}, size


def _tensors(value: Any, depth: int) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if depth > _DEPTH:
        raise Unfit(f"it is nested deeper than {_DEPTH}")
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [one for part in inner for one in _tensors(part, depth + 1)]


def _plain(value: Any, copies: dict[int, torch.Tensor], depth: int) -> Any:
    if isinstance(value, torch.Tensor):
        if id(value) not in copies:
            if value.layout is not torch.strided or value.is_quantized or value.is_meta or value.is_nested:
                raise Unfit(f"a {value.layout} tensor is no plain tensor")
            copies[id(value)] = value.detach().to("cpu", copy=True).contiguous().as_subclass(torch.Tensor)
        return copies[id(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, (str, int)) for key in value):
        return {key: _plain(value[key], copies, depth + 1) for key in value}
    if isinstance(value, list):
        return [_plain(one, copies, depth + 1) for one in value]
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_plain(one, copies, depth + 1) for one in value)
    raise Unfit(f"{type(value).__name__} is no tensor, number, text or container of them")
