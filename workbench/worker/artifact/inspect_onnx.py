"""Reads an ONNX model's outline from its protobuf bytes: inputs, outputs, weights, operators. Nothing is loaded or run.

Owns the small part of protobuf that this takes: fields with their numbers and lengths, values skipped over in the
file. Lengths are a stranger's claims and are held against what encloses them. Standard library only.
Field numbers: onnx.proto of the ONNX project (IR version 10).
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from workbench.protocol.artifacts import InspectedTensor
from workbench.worker.artifact.inspect_archive import Content

SECONDS = 30.0
"""The longest that a model may take to read; 100,000 nodes take about three."""

TEXT_LIMIT = 1 << 20
"""Bytes of one name or text."""

_SHOWN = 8
"""Inputs, outputs and operators that are named; the rest is counted."""

_DTYPES = {
    1: ("float32", 4.0), 2: ("uint8", 1.0), 3: ("int8", 1.0), 4: ("uint16", 2.0), 5: ("int16", 2.0), 6: ("int32", 4.0),
    7: ("int64", 8.0), 8: ("string", 0.0), 9: ("bool", 1.0), 10: ("float16", 2.0), 11: ("float64", 8.0),
    12: ("uint32", 4.0), 13: ("uint64", 8.0), 14: ("complex64", 8.0), 15: ("complex128", 16.0), 16: ("bfloat16", 2.0),
    17: ("float8_e4m3fn", 1.0), 18: ("float8_e4m3fnuz", 1.0), 19: ("float8_e5m2", 1.0), 20: ("float8_e5m2fnuz", 1.0),
    21: ("uint4", 0.5), 22: ("int4", 0.5), 23: ("float4_e2m1", 0.5),
}  # fmt: skip
"""TensorProto.DataType → (name, bytes an element; 0 where elements have no width)."""


@dataclass
class _Graph:
    name: str = ""
    operators: Counter[str] = field(default_factory=Counter)
    domains: set[str] = field(default_factory=set)
    weights: list[InspectedTensor] = field(default_factory=list)
    inputs: list[tuple[str, str]] = field(default_factory=list)
    """(name, "float32[batch,3,224,224]")."""
    outputs: list[tuple[str, str]] = field(default_factory=list)
    outside: dict[str, int] = field(default_factory=dict)
    """File beside the model → the byte that its weights reach to."""


class _Reader:
    """Fields of nested messages, read from the file as they are needed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._deadline = time.monotonic() + SECONDS

    def fields(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """(number, value, begin, end) of each field between two offsets: a value for numbers, a range for the rest.

        Raises ValueError for a message that is cut off or none.
        """
        at = begin
        while at < end:
            if time.monotonic() > self._deadline:
                raise ValueError(f"it takes more than {SECONDS:.0f} s to read")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if not number:
                raise ValueError(f"byte {at - 1} is no protobuf field")
            if wire == 0:
                value, at = self._varint(at, end)
                yield number, value, at, at
                continue
            length, at = self._varint(at, end) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
            if length < 0:
                raise ValueError(f"byte {at - 1} is no protobuf field")
            if at + length > end:
                raise ValueError(f"a part of {length} bytes at byte {at} goes beyond its end: it is cut off")
            yield number, 0, at, at + length
            at += length

    def text(self, begin: int, end: int) -> str:
        """Raises ValueError for what is too long."""
        if end - begin > TEXT_LIMIT:
            raise ValueError(f"a name of {end - begin} bytes")
        self._stream.seek(begin)
        return self._stream.read(end - begin).decode("utf-8", "backslashreplace")

    def numbers(self, value: int, begin: int, end: int) -> list[int]:
        """A repeated integer: one of them, or many packed."""
        if begin == end:
            return [_signed(value)]
        found, at = [], begin
        while at < end:
            one, at = self._varint(at, end)
            found.append(_signed(one))
        return found

    def pair(self, begin: int, end: int) -> tuple[str, str]:
        """StringStringEntryProto: key = 1, value = 2."""
        parts = {number: self.text(first, last) for number, _, first, last in self.fields(begin, end) if number < 3}
        return parts.get(1, ""), parts.get(2, "")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        self._stream.seek(at)
        data = self._stream.read(min(10, end - at))
        value = 0
        for place, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value & (1 << 64) - 1, at + place + 1
        raise ValueError(f"a number at byte {at} has no end: it is cut off")


def read_onnx(path: Path) -> Content:
    """What the model says about itself. Raises ValueError in plain words, OSError."""
    size = path.stat().st_size
    facts: dict[str, str] = {}
    opsets: dict[str, int] = {}
    graph: _Graph | None = None
    functions = 0
    with open(path, "rb", buffering=1 << 16) as stream:
        reader = _Reader(stream)
        for number, value, begin, end in reader.fields(0, size):  # ModelProto
            if number == 1:
                facts["ir_version"] = str(value)
            elif number in (2, 3, 4) and begin < end:
                facts[{2: "producer", 3: "producer_version", 4: "domain"}[number]] = reader.text(begin, end)
            elif number == 7:
                graph = _graph(reader, begin, end)
            elif number == 8:
                domain, version = _opset(reader, begin, end)
                opsets[domain] = version
            elif number == 14:
                key, text = reader.pair(begin, end)
                facts[key] = text
            elif number == 25:
                functions += 1
    if graph is None:
        raise ValueError("it begins like an ONNX model and has no graph: it is cut off, or something else")
    facts["opset"] = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in opsets.items())
    words = _words(path, facts, graph, functions)
    return Content("onnx", "DATA", graph.weights, metadata=facts, words=words)


def _words(path: Path, facts: dict[str, str], graph: _Graph, functions: int) -> list[str]:
    by = f" by {facts['producer']} {facts.get('producer_version', '')}".rstrip() if "producer" in facts else ""
    nodes = sum(graph.operators.values())
    kinds = [f"{name} {count}" for name, count in graph.operators.most_common(_SHOWN)]
    rest = len(graph.operators) - len(kinds)
    words = [f"an ONNX model{by}, opset {facts['opset'] or 'unknown'}; it takes ONNX Runtime to run."]
    held = {one.name for one in graph.weights}  # before IR version 4 weights are inputs, too
    inputs = [f"{name} {kind}" for name, kind in graph.inputs if name not in held]
    outputs = [f"{name} {kind}" for name, kind in graph.outputs]
    words.append(f"inputs: {_listed(inputs)}; outputs: {_listed(outputs)}")
    words.append(f"{nodes} nodes: {', '.join(kinds)}{f' and {rest} more kinds' if rest > 0 else ''}")
    own = sorted(domain for domain in graph.domains if domain not in ("", "ai.onnx", "ai.onnx.ml"))
    if own and not functions:
        words.append(f"operators of {', '.join(own[:3])}: it takes a runtime that brings them, as native code.")
    for name, wanted in graph.outside.items():
        words.append(_outside(path, name, wanted))
    if any(kind in graph.operators for kind in ("Dropout", "BatchNormalization")):
        words.append("it has Dropout or BatchNormalization nodes: verify says whether they are in train mode.")
    return words


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "none"


def _outside(path: Path, name: str, wanted: int) -> str:
    """What to say of a file of weights beside the model."""
    if os.path.isabs(name) or ".." in Path(name).parts:
        return f"its weights are in {name}, outside of its directory: no honest exporter writes that."
    beside = path.parent / name
    if not beside.is_file():
        return f"its weights are in {name}, which is not there: it does not load without it."
    if beside.stat().st_size < wanted:
        return f"its weights are in {name}, which has {beside.stat().st_size} bytes of {wanted}: it is cut off."
    return f"its weights are in {name}, {wanted} bytes."


def _graph(reader: _Reader, begin: int, end: int) -> _Graph:
    """GraphProto: node = 1, name = 2, initializer = 5, input = 11, output = 12, sparse_initializer = 15."""
    graph = _Graph()
    for number, _, first, last in reader.fields(begin, end):
        if number == 1:
            kind, domain = _node(reader, first, last)
            graph.operators[kind] += 1
            graph.domains.add(domain)
        elif number == 2:
            graph.name = reader.text(first, last)
        elif number == 5:
            _weight(reader, first, last, graph)
        elif number == 11:
            graph.inputs.append(_value(reader, first, last))
        elif number == 12:
            graph.outputs.append(_value(reader, first, last))
    return graph


def _node(reader: _Reader, begin: int, end: int) -> tuple[str, str]:
    """NodeProto: op_type = 4, domain = 7."""
    kind = domain = ""
    for number, _, first, last in reader.fields(begin, end):
        if number == 4:
            kind = reader.text(first, last)
        elif number == 7:
            domain = reader.text(first, last)
    return kind, domain


def _opset(reader: _Reader, begin: int, end: int) -> tuple[str, int]:
    """OperatorSetIdProto: domain = 1, version = 2."""
    domain, version = "", 0
    for number, value, first, last in reader.fields(begin, end):
        if number == 1:
            domain = reader.text(first, last)
        elif number == 2:
            version = value
    return domain, version


def _weight(reader: _Reader, begin: int, end: int, graph: _Graph) -> None:
    """TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9, external_data = 13."""
    shape: list[int] = []
    kind, name, raw = 0, "", -1
    external: dict[str, str] = {}
    for number, value, first, last in reader.fields(begin, end):
        if number == 1:
            shape += reader.numbers(value, first, last)
        elif number == 2:
            kind = value
        elif number == 8:
            name = reader.text(first, last)
        elif number == 9:
            raw = last - first
        elif number == 13:
            key, text = reader.pair(first, last)
            external[key] = text
    dtype, width = _DTYPES.get(kind, ("unknown", 0.0))
    if len(shape) > 64 or any(size < 0 for size in shape):
        raise ValueError(f"{name!r} has an impossible shape: {str(shape)[:200]}")
    size = math.ceil(math.prod(shape) * width)
    if raw >= 0 and width and raw != size:
        raise ValueError(f"{name!r} holds {raw} bytes, and {dtype}{shape} has {size}")
    if external.get("location"):
        offset = int(external.get("offset") or 0)
        place = external["location"]
        graph.outside[place] = max(graph.outside.get(place, 0), offset + size)
    graph.weights.append(InspectedTensor(name, dtype, tuple(shape), size, external.get("location", "")))


def _value(reader: _Reader, begin: int, end: int) -> tuple[str, str]:
    """ValueInfoProto: name = 1, type = 2; TypeProto: tensor_type = 1; that: elem_type = 1, shape = 2."""
    name, kind = "", "of a kind that is no tensor"
    for number, _, first, last in reader.fields(begin, end):
        if number == 1:
            name = reader.text(first, last)
        elif number == 2:
            for of, _, low, high in reader.fields(first, last):
                if of == 1:
                    kind = _tensor_type(reader, low, high)
    return name, kind


def _tensor_type(reader: _Reader, begin: int, end: int) -> str:
    dtype, sizes = "unknown", "[…]"
    for number, value, first, last in reader.fields(begin, end):
        if number == 1:
            dtype = _DTYPES.get(value, ("unknown", 0.0))[0]
        elif number == 2:  # TensorShapeProto: dim = 1
            places = [_dimension(reader, low, high) for of, _, low, high in reader.fields(first, last) if of == 1]
            sizes = f"[{','.join(places)}]"
    return dtype + sizes


def _dimension(reader: _Reader, begin: int, end: int) -> str:
    """Dimension: dim_value = 1, dim_param = 2."""
    for number, value, first, last in reader.fields(begin, end):
        if number == 1:
            return str(_signed(value))
        if number == 2:
            return reader.text(first, last)
    return "?"


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
