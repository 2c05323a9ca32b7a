"""Messages on the wire: what goes in comes out, and what is no message raises `CodecError` and nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import typing
from typing import Any

import pytest

from workbench.protocol.codec import PREAMBLE, CodecError, Envelope, decode, encode, from_plain, job_of, plain
from workbench.protocol.messages import (
    BENCH_REQUESTS,
    EVENTS,
    REGISTRY,
    SUPERVISOR_REQUESTS,
    WORKER_REQUESTS,
    Done,
    Fire,
    Load,
    LogLines,
    SetRate,
    SetYardstick,
    Verify,
)
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.runs import LeafDiff, LeafNoise, Yardstick
from workbench.protocol.text import clean

HOSTILE = "\x1b]52;c;aGk=\x07\u202e"


def sample(hint: Any, draw: random.Random) -> Any:
    """A value of an annotation, as the protocol's dataclasses use them."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return hint(**{field.name: sample(hints[field.name], draw) for field in dataclasses.fields(hint)})
    plain_values: dict[Any, list[Any]] = {
        str: ["", "x", "é\n\t", "NaN", HOSTILE],
        int: [0, -1, 2**63, 10**20],
        float: [0.0, -1.5, 1e-300, math.inf, -math.inf],
        bool: [True, False],
        Any: [None, 1, "x", {"a": [1, 2.5, None]}],
    }
    if hint in plain_values:
        return draw.choice(plain_values[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        kinds = [arguments[0]] * draw.randrange(4) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(sample(kind, draw) for kind in kinds)
    if origin is dict:
        return {f"k{index}": sample(arguments[1], draw) for index in range(draw.randrange(3))}
    inner = [argument for argument in arguments if argument is not type(None)]
    assert len(inner) == 1, hint
    return None if draw.random() < 0.3 else sample(inner[0], draw)


def strings_in(value: Any) -> list[str]:
    """Every string inside, keys included."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in strings_in(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings_in(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_message_comes_back_equal(name: str) -> None:
    draw = random.Random(name)
    for _ in range(8):
        envelope = Envelope(sample(REGISTRY[name], draw), draw.choice([None, 0, 7]), "bench")
        line = encode(envelope)
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert line.isascii()
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert decode(line, REGISTRY, foreign=False) == envelope


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_no_foreign_string_of_any_message_arrives_uncleaned(name: str) -> None:
    draw = random.Random(name)
    for _ in range(8):
        arrived = decode(encode(Envelope(sample(REGISTRY[name], draw), 1, HOSTILE)), REGISTRY, foreign=True)
        strings = [arrived.sender, *strings_in(plain(arrived.body))]
        assert [text for text in strings if clean(text) != text] == []


def test_foreign_keys_are_cleaned_too() -> None:
    yardstick = Yardstick("float64", {f"output['{HOSTILE}']": LeafNoise(1.0, 1.0, 1.0, 16)})
    for body in (SetYardstick(yardstick), Load(Recipe("a:b", {HOSTILE: {HOSTILE: [HOSTILE]}}))):
        arrived = strings_in(plain(decode(encode(Envelope(body)), REGISTRY, True).body))
        assert any("\\x1b" in text for text in arrived)
        assert not any("\x1b" in text for text in arrived)


def test_nan_and_the_infinities_travel_as_strings() -> None:
    diff = LeafDiff("output", "beyond", max_abs=math.nan, max_rel=math.inf, snr_db=-math.inf)
    record = plain(diff)
    assert (record["max_abs"], record["max_rel"], record["snr_db"]) == ("NaN", "Infinity", "-Infinity")
    back = from_plain(LeafDiff, json.loads(json.dumps(record, allow_nan=False)))
    assert math.isnan(back.max_abs)
    assert (back.max_rel, back.snr_db) == (math.inf, -math.inf)


def test_integers_serve_as_floats_and_never_the_other_way() -> None:
    assert from_plain(SetRate, {"hertz": 10}) == SetRate(10.0)
    assert type(from_plain(SetRate, {"hertz": 10}).hertz) is float
    with pytest.raises(CodecError, match="expected int"):
        from_plain(Fire, {"count": 1.0})


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults() -> None:
    newer = {"recipe": {"target": "a:b", "colour": "blue"}, "later": [1]}
    assert from_plain(Load, newer) == Load(Recipe("a:b"), ModeChange())
    assert from_plain(Verify, {"path": "p", "sha256": "s", "recipe": None}).recipe is None


BODY = {"role": "bench", "lines": ["a"], "dropped": 0}
GOOD: dict[str, Any] = {"type": "LogLines", "job": None, "from": "bench", "body": BODY}


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"{", b"null", b"[]", b"3", b"\xff\xfe", b'"LogLines"', b"{}", b"[" * 100_000,
        *(
            json.dumps({**GOOD, **change}).encode()
            for change in (
                {"type": "Unheard"}, {"type": None}, {"type": ["LogLines"]}, {"job": "1"}, {"job": True}, {"job": 1.5},
                {"from": None}, {"body": None}, {"body": []}, {"body": {}}, {"body": {"role": "bench"}},
                {"body": {**BODY, "lines": "abc"}}, {"body": {**BODY, "lines": [1]}}, {"body": {**BODY, "lines": None}},
                {"body": {**BODY, "dropped": True}}, {"body": {**BODY, "dropped": "1"}}, {"body": {**BODY, "role": 3}},
            )
        ),
        *(json.dumps({name: GOOD[name] for name in GOOD if name != missing}).encode() for missing in GOOD),
        b'{"type":"SetRate","job":1,"from":"","body":{"hertz":' + b"9" * 400 + b"}}",
        b'{"type":"SetRate","job":1,"from":"","body":{"hertz":"fast"}}',
        b'{"type":"SetRate","job":1,"from":"","body":{"hertz":' + b"9" * 5000 + b"}}",
        b'{"type":"SetRate","job":1,"from":"","body":{"hertz":false}}',
    ],
)  # fmt: skip
def test_what_is_no_message_raises_codec_error(line: bytes) -> None:
    for foreign in (False, True):
        with pytest.raises(CodecError):
            decode(line, REGISTRY, foreign)


def test_a_message_cut_anywhere_is_no_message() -> None:
    line = encode(Envelope(LogLines("bench", ("one", "two"), 3), 4, "bench")).rstrip()
    for end in range(len(line)):
        with pytest.raises(CodecError):
            decode(line[:end], REGISTRY, foreign=False)


def test_what_cannot_travel_is_refused_when_it_is_sent() -> None:
    for value in (object(), {1, 2}, b"bytes", 1j, LeafDiff):
        with pytest.raises(CodecError, match="cannot encode"):
            plain({"value": value})


def test_a_frozen_record_stays_frozen_on_arrival() -> None:
    body = decode(encode(Envelope(Fire(3))), REGISTRY, True).body
    with pytest.raises(dataclasses.FrozenInstanceError):
        body.count = 4


def test_the_registry_holds_every_message_under_its_own_name() -> None:
    listed = {*BENCH_REQUESTS, *SUPERVISOR_REQUESTS, *WORKER_REQUESTS, *EVENTS}
    assert {kind.__name__: kind for kind in listed} == REGISTRY
    assert not set(BENCH_REQUESTS) & set(SUPERVISOR_REQUESTS)
    assert all(dataclasses.fields(kind) is not None and kind.__doc__ for kind in listed)


def test_the_preamble_is_one_line_that_no_text_and_no_message_begins_with() -> None:
    assert (PREAMBLE[:1], PREAMBLE.find(b"\n")) == (b"\x02", len(PREAMBLE) - 1)
    assert not encode(Envelope(Fire())).startswith(PREAMBLE[:1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {"a": [1, {"b": -math.inf}]}, [0.5, math.nan]])
def test_a_number_without_a_word_is_refused_where_nothing_tells_it_from_a_string(value: Any) -> None:
    for body in (Load(Recipe("a:b", {"scale": value})), Done({"scale": value})):
        with pytest.raises(CodecError, match=r"scale.* is -?(NaN|Infinity), and JSON has no number for it"):
            encode(Envelope(body))
    assert encode(Envelope(Load(Recipe("a:b", {"scale": "NaN"}))))


def test_everything_that_cannot_be_encoded_raises_codec_error() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**5000):
        with pytest.raises(CodecError, match="cannot encode Load"):
            encode(Envelope(Load(Recipe("a:b", {"value": value}))))


@pytest.mark.parametrize(
    ("line", "number"),
    [(b'{"job":7,"type":"Newer"}', 7), (b'{"job":true}', None), (b'{"job":"7"}', None), (b"[]", None), (b"{", None)],
)
def test_the_number_of_a_request_that_is_no_message(line: bytes, number: int | None) -> None:
    assert job_of(line) == number
