"""Which tensors of a file lie in the memory of another: tied weights, and views of one storage."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.protocol.artifacts import InspectedTensor


def shared(tensors: Iterable[InspectedTensor]) -> dict[str, str]:
    """Name → the first listed name in whose storage it lies; those that share nothing are left out."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for tensor in tensors:
        if tensor.storage and tensor.bytes:  # one without bytes, as on meta, has no memory
            owner = first.setdefault(tensor.storage, tensor.name)
            if owner != tensor.name:
                found[tensor.name] = owner
    return found
