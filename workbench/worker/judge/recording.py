"""Takes what a run starts from: the record, with copies of buffers only where they moved.

Owns taking. What a record holds is `replay.py`'s; nothing here runs the model or changes anything of it.
"""

from __future__ import annotations

from typing import Any

import torch

from workbench.protocol.model import Modes
from workbench.worker.judge.attributes import attributes_of
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.replay import Generators, Parts, Record, input_versions_of
from workbench.worker.judge.store import same_tensor

BUFFER_BUDGET = 64 << 20
"""Bytes of all buffers together beyond which they are not recorded."""


class Recorder:
    """Takes records, copying buffers only when they moved."""

    def __init__(self) -> None:
        self._last: tuple[torch.Tensor, ...] = ()
        self._paths: tuple[str, ...] = ()
        self._generators: Generators | None = None
        self._attributes: dict[str, str] = {}
        self._flags: tuple[bool, ...] = ()

    @property
    def newest(self) -> tuple[torch.Tensor, ...]:
        """The newest buffer copies."""
        return self._last

    def take(self, parts: Parts, modes: Modes, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Record:
        """The state right now."""
        model = parts.model
        return Record(
            model,
            modes,
            self._states(),
            self._flags_of(parts),
            parts.active(),
            self._buffers(parts),
            args,
            kwargs,
            input_versions_of(args, kwargs),
            parts.weights(),
            self._paths,
            self._attributes_of(parts),
        )

    def again(self, record: Record, parts: Parts) -> Record:
        """A record for a later run of the same repeat: only generators and buffers can have moved."""
        return Record(
            record.model,
            record.modes,
            self._states(),
            record.flags,
            record.active,
            self._buffers(parts),
            record.args,
            record.kwargs,
            record.input_versions,
            record.weights,
            self._paths,
            record.attributes,
        )

    def _attributes_of(self, parts: Parts) -> dict[str, str]:
        now = attributes_of(parts.modules)
        if now != self._attributes:
            self._attributes = now
        return self._attributes

    def _states(self) -> Generators:
        self._generators = Generators.take().sharing(self._generators)
        return self._generators

    def _flags_of(self, parts: Parts) -> tuple[bool, ...]:
        now = tuple([module.training for _, module in parts.modules])
        if now != self._flags:
            self._flags = now
        return self._flags

    def _buffers(self, parts: Parts) -> tuple[torch.Tensor, ...] | None:
        now = [holder[name] for _, holder, name in parts.buffers]
        live = [tensor for tensor in now if tensor is not None]
        if len(live) != len(now) or sum(bytes_of(tensor) for tensor in live) > BUFFER_BUDGET:
            self._last, self._paths = (), ()
            return None
        paths = tuple(path for path, _, _ in parts.buffers)
        before = self._last if paths == self._paths else (None,) * len(live)
        with torch.inference_mode(False), torch.no_grad():
            copies = tuple(_copy_if_moved(one, tensor) for one, tensor in zip(before, live))  # noqa: B905
        if paths != self._paths or any(a is not b for a, b in zip(copies, self._last)):  # noqa: B905
            self._last, self._paths = copies, paths
        return self._last


def _copy_if_moved(before: torch.Tensor | None, now: torch.Tensor) -> torch.Tensor:
    # contents, for batch norm's statistics move without a new _version
    if before is not None and before.device == now.device and same_tensor(before, now):
        return before
    return now.detach().clone()
