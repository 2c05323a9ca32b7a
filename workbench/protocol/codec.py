"""Messages to JSON lines and back, driven by the dataclasses' own annotations.

One message is one line of JSON: `{"type": name, "job": number or null, "from": role, "body": {...}}`.
NaN and the infinities travel as the strings "NaN", "Infinity" and "-Infinity", for JSON has no
word for them. A line that does not fit its dataclass raises `CodecError`; it never yields half a message.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Union

from .text import clean

PREAMBLE = b"\x02workbench-engine/1\n"
"""First bytes of an engine: whatever a shell profile printed before them is not part of the conversation."""

_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class CodecError(ValueError):
    """A line that is no message of this protocol."""


@dataclasses.dataclass(frozen=True)
class Envelope:
    """One message on its way."""

    body: Any
    """A dataclass of `messages`."""
    job: int | None = None
    """The request it belongs to; None for what nobody asked for (logs, samples, deaths)."""
    sender: str = ""
    """Role of the process that made it: "face", "supervisor", "bench", "export", "proof", "yardstick", "inspect"."""


def plain(value: Any) -> Any:
    """A dataclass, or anything made of them, as JSON-ready values (NaN and infinities as strings)."""
    if isinstance(value, float):
        if value != value:
            return "NaN"
        if value in (math.inf, -math.inf):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (tuple, list)):
        if value and isinstance(value[0], (str, int)) and all(type(item) in (str, int, bool) for item in value):
            return value
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name in _untyped(type(value)):
            _require_finite(name, getattr(value, name))
        return {name: plain(getattr(value, name)) for name in _field_names(type(value))}
    raise CodecError(f"cannot encode {type(value).__name__}")


def encode(envelope: Envelope) -> bytes:
    """One line, newline included. Raises `CodecError` for what cannot travel."""
    try:
        record = {
            "type": type(envelope.body).__name__,
            "job": envelope.job,
            "from": envelope.sender,
            "body": plain(envelope.body),
        }
        return json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    except (TypeError, RecursionError) as problem:
        raise CodecError(f"cannot encode {type(envelope.body).__name__}: {problem}") from problem
    except ValueError as problem:
        if isinstance(problem, CodecError):
            raise
        raise CodecError(f"cannot encode {type(envelope.body).__name__}: {problem}") from problem


def decode(line: bytes, registry: dict[str, type], foreign: bool) -> Envelope:
    """The message on `line`; with `foreign`, every string in it is cleaned (the face does). Raises `CodecError`."""
    try:
        record = json.loads(line)
        kind = registry[record["type"]]
        body = _decoder(kind, foreign)(record["body"])
        job, sender = record["job"], record["from"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise CodecError(f"not a message: {type(problem).__name__}: {problem}: {line[:200]!r}") from problem
    if not (job is None or type(job) is int) or not isinstance(sender, str):
        raise CodecError(f"not an envelope: {line[:200]!r}")
    return Envelope(body, job, clean(sender))


def job_of(line: bytes) -> int | None:
    """The job number on a line that is no message, so that whoever asked can be told; None when it has none."""
    try:
        number = json.loads(line)["job"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return number if type(number) is int else None


def from_plain(kind: type, value: Any, foreign: bool = False) -> Any:
    """The inverse of `plain` for one dataclass: used for manifests and stores. Raises `CodecError`."""
    try:
        return _decoder(kind, foreign)(value)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise CodecError(f"not a {kind.__name__}: {type(problem).__name__}: {problem}") from problem


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _untyped(kind: type) -> tuple[str, ...]:
    """Fields that hold any JSON value: there nothing tells the word "NaN" from the number on arrival."""
    hints = typing.get_type_hints(kind)
    return tuple(name for name in _field_names(kind) if hints[name] is Any or Any in typing.get_args(hints[name]))


def _require_finite(place: str, value: Any) -> None:
    """Raises `CodecError` for a NaN or an infinity anywhere in a JSON value; it names the place."""
    if isinstance(value, float) and not math.isfinite(value):
        raise CodecError(f"{place} is {plain(value)}, and JSON has no number for it")
    if isinstance(value, dict):
        for key, item in value.items():
            _require_finite(f"{place}.{key}", item)
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            _require_finite(f"{place}[{index}]", item)


def _same(value: Any) -> Any:
    return value


def _expect(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise CodecError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _float(value: Any) -> float:
    if type(value) is str:
        return _NUMBERS[value]
    if type(value) not in (int, float):
        raise CodecError(f"expected a number, got {type(value).__name__}")
    return float(value)


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _clean_json(item) for key, item in value.items()}
    return value


@functools.cache
def _decoder(hint: Any, foreign: bool) -> Callable[[Any], Any]:
    """A function that turns JSON values into `hint`; built once for each annotation."""
    if hint is Any:
        return _clean_json if foreign else _same
    if hint is float:
        return _float
    if hint is str:
        return (lambda value: clean(_expect(str, value))) if foreign else (lambda value: _expect(str, value))
    if hint in (int, bool):
        return functools.partial(_expect, hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_decoder(hint, foreign)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return _tuple_decoder(arguments, foreign)
    if origin is dict:
        key, item = _decoder(arguments[0], foreign), _decoder(arguments[1], foreign)
        return lambda value: {key(k): item(v) for k, v in _expect(dict, value).items()}
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) == 1:
            decode_inner = _decoder(inner[0], foreign)
            return lambda value: None if value is None else decode_inner(value)
    raise CodecError(f"the protocol has no decoder for {hint!r}")


def _tuple_decoder(arguments: tuple[Any, ...], foreign: bool) -> Callable[[Any], Any]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _decoder(arguments[0], foreign)
        return lambda value: tuple(map(item, _expect(list, value)))
    items = [_decoder(argument, foreign) for argument in arguments]

    def fixed(value: Any) -> tuple[Any, ...]:
        if len(_expect(list, value)) != len(items):
            raise CodecError(f"expected {len(items)} values, got {len(value)}")
        return tuple(item(one) for item, one in zip(items, value))  # noqa: B905 (lengths were compared)

    return fixed


def _dataclass_decoder(kind: type, foreign: bool) -> Callable[[Any], Any]:
    decoders: dict[str, Callable[[Any], Any]] = {}

    def decode_one(value: Any) -> Any:
        if not decoders:  # deferred, so that records may refer to each other
            hints = typing.get_type_hints(kind)
            decoders.update({name: _decoder(hints[name], foreign) for name in _field_names(kind)})
        given = _expect(dict, value)
        return kind(**{name: decoders[name](item) for name, item in given.items() if name in decoders})

    return decode_one
