"""Ways to damage a file: cut, flipped, overwritten, repeated, dropped, numbers that lie. Bytes in, bytes out."""

from __future__ import annotations

import random

NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
WORDS = (
    b"999999999999", b"-1", b"1e400", b"null", b'"' * 9, b"[" * 2000, b"{" * 2000, b"\x1b[2J", b"\x00" * 64, b"../../",
    b"cos\nsystem\n", b"PK\x05\x06", b"PK\x01\x02", b"\xff" * 32, "\u202e".encode(),
)  # fmt: skip


def damaged(data: bytes, seed: str) -> bytes:
    """The same damage for the same seed: one to three of the ways, one after the other."""
    dice = random.Random(seed)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = dice.choice(WAYS)(data, dice)
    return data


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _flip(data: bytes, dice: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8, 64)) if found else 0):
        found[dice.randrange(len(found))] ^= 1 << dice.randrange(8)
    return bytes(found)


def _overwrite(data: bytes, dice: random.Random) -> bytes:
    at, length = dice.randrange(len(data) + 1), dice.choice((1, 4, 16, 256))
    filling = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    return data[:at] + filling + data[at + length :]


def _number(data: bytes, dice: random.Random) -> bytes:
    at, width = dice.randrange(len(data) + 1), dice.choice((1, 2, 4, 8))
    value = dice.choice(NUMBERS) & (1 << 8 * width) - 1
    return data[:at] + value.to_bytes(width, dice.choice(("little", "big"))) + data[at + width :]


def _word(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(WORDS) + data[at + dice.choice((0, 0, 4)) :]


def _digits(data: bytes, dice: random.Random) -> bytes:
    """Another number in the place of one that is written in digits: sizes and offsets of JSON headers."""
    places = [at for at in range(len(data)) if data[at : at + 1].isdigit()]
    if not places:
        return _number(data, dice)
    at = dice.choice(places)
    return data[:at] + dice.choice((b"9", b"0", b"99999999999999999999", b"-3", b"1.5", b"NaN")) + data[at + 1 :]


def _repeat(data: bytes, dice: random.Random) -> bytes:
    begin = dice.randrange(len(data) + 1)
    end = min(len(data), begin + dice.choice((1, 8, 64, 1024)))
    return data[:end] + data[begin:end] * dice.choice((1, 3, 50)) + data[end:]


def _drop(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + data[at + dice.choice((1, 2, 8, 100)) :]


def _behind(data: bytes, dice: random.Random) -> bytes:
    return data + dice.choice((b"\0", dice.randbytes(40), data[:100], data))


WAYS = (_cut, _flip, _flip, _overwrite, _number, _word, _digits, _repeat, _drop, _behind)
