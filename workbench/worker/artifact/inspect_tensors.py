"""From inert records of a pickle to the tensors that it describes: names, dtypes, shapes, storages.

Reads what `inspect_pickle` made. A tensor that claims more than its storage holds makes the file broken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from typing import Any

from workbench.protocol.artifacts import InspectedTensor
from workbench.worker.artifact.inspect_records import BrokenPickle, Call, Global, Mapping, Persistent

DEPTH = 100
"""Nesting beyond this is left alone: objects may refer to themselves."""

NODES = 5_000_000
"""Objects looked at."""

SECONDS = 30.0
"""Of this thread's own time, which others' work does not use up: the most that the tensors of one pickle may take."""

KEY = 500
"""Characters of a key that are kept: torch's own have some ten, and a few bytes can repeat a long one without end."""

NAMES = 256 << 20
"""Characters of all names together."""

DIMENSIONS = 64
"""Of a tensor; torch itself allows as many (c10, `kMaxDims` of TensorIterator)."""

_LARGEST = 1 << 62
"""Sizes, strides, offsets and numbers of elements are below it."""

_STORAGES = {
    "DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
    "ComplexDoubleStorage": ("complex128", 16), "ComplexFloatStorage": ("complex64", 8), "QInt8Storage": ("qint8", 1),
    "QUInt8Storage": ("quint8", 1), "QInt32Storage": ("qint32", 4), "UntypedStorage": ("", 1),
}  # fmt: skip
"""torch/storage.py, `_dtype_to_storage_type_map`: name → (dtype, bytes an element)."""

_WIDTHS = {"uint16": 2, "uint32": 4, "uint64": 8, "complex32": 4, **dict(_STORAGES.values())}

_PLAIN = (int, float, bytes)

_Child = tuple[str, Any]
"""The name of something, and it."""

_END: Any = object()

_MODULE_PARTS = ("_parameters", "_buffers", "_modules")
"""Attributes of a pickled nn.Module that are no part of a tensor's name."""


@dataclass
class Tensors:
    """The tensors of one pickle."""

    found: list[InspectedTensor] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)
    """Bytes of each storage that is used, by key."""
    expanded: list[str] = field(default_factory=list)
    """Names of those that claim more elements than are stored, by strides of 0."""
    types: dict[str, None] = field(default_factory=dict)
    """Classes of pickled modules."""
    nested: bool = False
    """They lie deeper than at the top: in a training checkpoint, or in attributes of objects."""
    deep: bool = False
    """Something was nested too deep to be looked at."""


def tensors_of(root: Any, sizes: Dict[str, int] | None) -> Tensors:
    """Every tensor below `root`. `sizes`: bytes of each storage by key; None where they are not known.

    Raises `BrokenPickle` for a tensor that reaches beyond its storage.
    """
    result = Tensors()
    seen: set[int] = set()
    waiting: list[Iterator[_Child]] = [iter([("", root)])]
    budget = _Budget()
    while waiting:
        path, value = next(waiting[-1], ("", _END))
        if value is _END:
            waiting.pop()
            continue
        inner = _tensor_call(value)
        depth = len(waiting) - 1
        if not budget.pays(len(path)):
            result.deep = True
            break
        if inner is not None:
            result.found.append(_read(path or "tensor", inner, sizes, result))
            result.nested = result.nested or depth > 1
            continue
        if not isinstance(value, (Call, Mapping, list, tuple)) or isinstance(value, (Global, Persistent)):
            continue
        if id(value) in seen:
            continue
        if depth >= DEPTH:
            result.deep = True
            continue
        seen.add(id(value))
        waiting.append(_children(path, value, result))
    return result


class _Budget:
    """What may be spent on one pickle: objects, characters of names, and time."""

    def __init__(self) -> None:
        self._nodes, self._names = NODES, NAMES
        self._deadline = time.thread_time() + SECONDS

    def pays(self, name: int) -> bool:
        """Whether there is enough for one more object with a name of so many characters."""
        self._nodes -= 1
        self._names -= name
        late = self._nodes & 0xFFFF == 0 and time.thread_time() > self._deadline
        return self._nodes > 0 and self._names > 0 and not late


def _children(path: str, value: Any, result: Tensors) -> Iterator[_Child]:
    """What lies in an object, one by one: the same large container may stand in any number of places."""
    cut = f"{path}." if path else ""
    if isinstance(value, (list, tuple)):
        yield from _items(path, value)
        return
    yield from ((cut + key_text(key), child) for key, child in value.pairs)
    if isinstance(value, Mapping):
        return
    yield from _items(path, value.items)
    if isinstance(value.state, Mapping):
        for key, child in value.state.pairs:
            if key == "_modules" and (named := _class_of(value)) is not None:
                result.types[str(named)] = None
            if key in _MODULE_PARTS and isinstance(child, (Call, Mapping)):
                yield from ((cut + key_text(name), part) for name, part in child.pairs)
            else:
                yield cut + key_text(key), child
    elif isinstance(value.state, tuple):
        yield from _items(path, value.state)
    if isinstance(value.args, tuple):
        yield from ((path, child) for child in value.args)


def _items(path: str, items: Sequence[Any]) -> Iterator[_Child]:
    return ((f"{path}[{place}]", child) for place, child in enumerate(items))


def _class_of(call: Call) -> Global | None:
    """The class that a call makes an object of: copyreg's helpers take it as their first argument."""
    made = _named(call.function)
    first = _named(call.args[0]) if isinstance(call.args, tuple) and call.args else None
    return first if first is not None and made is not None and made.module in ("copyreg", "copy_reg") else made


def _named(value: Any) -> Global | None:
    """A class itself, or as torch wrote modules before 1.6: ("module", class, its file, its source)."""
    if isinstance(value, Persistent) and isinstance(value.id, tuple) and value.id[:1] == ("module",):
        value = value.id[1] if len(value.id) > 1 else None
    return value if isinstance(value, Global) else None


def key_text(key: Any) -> str:
    """How a key of a dict is written in a tensor's name."""
    if isinstance(key, str):
        return key if len(key) <= KEY else f"{key[:KEY]}…"
    if type(key) is int and abs(key) >= _LARGEST:
        return "int"
    return repr(key[:KEY] if isinstance(key, bytes) else key) if isinstance(key, _PLAIN) else type(key).__name__


def is_tensor(value: Any) -> bool:
    """Whether a record makes a tensor."""
    return _tensor_call(value) is not None


def _tensor_call(value: Any) -> Call | None:
    """The rebuild call of a tensor, inside a parameter or a tensor subclass; None for anything else."""
    for _ in range(4):
        if not isinstance(value, Call) or not isinstance(value.function, Global) or not isinstance(value.args, tuple):
            return None
        name, args = value.function.name, value.args
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state", "Parameter") and args:
            value = args[0]
        elif name == "_rebuild_from_type_v2" and len(args) > 2:
            value = Call(args[0], args[2])
        elif name == "_rebuild_sparse_tensor":
            return value
        elif name == "_rebuild_meta_tensor_no_storage":
            return value if len(args) >= 2 else None
        elif name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"):
            return value if len(args) >= 4 else None
        else:
            return None
    return None


def _read(path: str, call: Call, sizes: Dict[str, int] | None, result: Tensors) -> InspectedTensor:
    name, args = call.function.name, call.args
    if name == "_rebuild_meta_tensor_no_storage":
        return InspectedTensor(path, _dtype_name(args[0]), _whole(path, args[1]), 0, "meta")
    if name == "_rebuild_sparse_tensor":
        return InspectedTensor(path, "sparse", (), 0)
    storage, offset, shape, strides = args[0], args[1], _whole(path, args[2]), _whole(path, args[3])
    dtype, width, key, claimed = _storage(path, storage)
    if name == "_rebuild_tensor_v3" and len(args) > 6:
        dtype = _dtype_name(args[6])
        width = _WIDTHS.get(dtype, 1)
    if type(offset) is not int or not 0 <= offset < _LARGEST or len(shape) != len(strides):
        raise BrokenPickle(f"{path} has an impossible layout")
    count = math.prod(shape)
    if count >= _LARGEST:
        raise BrokenPickle(f"{path} has more elements than there can be")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) if count else -1  # noqa: B905
    stored = claimed if sizes is None else sizes.get(key, -1)
    if stored < 0:
        raise BrokenPickle(f"{path}: its storage {key} is not in the file")
    result.stored[key] = stored
    if (last + 1) * width > stored:
        raise BrokenPickle(f"{path} {list(shape)} reaches to byte {(last + 1) * width}, and its storage has {stored}")
    if count * width > stored:
        result.expanded.append(path)
    return InspectedTensor(path, dtype, shape, count * width, key)


def _storage(path: str, storage: Any) -> tuple[str, int, str, int]:
    """(dtype, bytes an element, key, bytes it claims) of a storage reference. Raises `BrokenPickle`."""
    identity = storage.id if isinstance(storage, Persistent) else None
    if not isinstance(identity, tuple) or len(identity) < 5 or not isinstance(identity[1], Global):
        raise BrokenPickle(f"{path} has no storage that torch would know")
    _, kind, key, _, count = identity[:5]
    if kind.name not in _STORAGES or type(count) is not int or not 0 <= count < _LARGEST:
        raise BrokenPickle(f"{path} has a storage that torch would not know: {kind}")
    if not isinstance(key, (str, int)):
        raise BrokenPickle(f"{path} has a storage without a name")
    dtype, width = _STORAGES[kind.name]
    return dtype or "uint8", width, str(key), count * width


def _whole(path: str, sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, Call) and isinstance(sizes.args, tuple) and len(sizes.args) == 1:
        sizes = sizes.args[0]  # torch.Size((…))
    several = isinstance(sizes, (tuple, list)) and len(sizes) <= DIMENSIONS
    if not several or any(type(size) is not int or not 0 <= size < _LARGEST for size in sizes):
        raise BrokenPickle(f"{path} has an impossible shape")
    return tuple(sizes)


def _dtype_name(value: Any) -> str:
    return value.name if isinstance(value, Global) else "unknown"
