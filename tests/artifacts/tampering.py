"""What can be done to a bundle on its way from where it was made: every way, at every file."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"

PLACES = 5
"""Bytes of each file in which a bit is turned: the first, the last, and some between."""

VALUES: tuple[Any, ...] = (7, "\x1b[31m", [[]], {"a": {"b": []}})
"""What is put in the place of a field."""

TOLD = ("seed", "search", "proof", "static", "dynamic", "weights_sha256", "source_sha256", "platform",
        "instruction_set")  # fmt: skip
"""Fields of a manifest that only tell: a proof does not rest on them."""

OPEN = ("batch", "contract", "modes", "architecture")
"""Objects that may hold more than is known, so that a stranger in them is no fault."""


@dataclass(frozen=True)
class Tamper:
    """One way to spoil a bundle."""

    title: str
    spoil: Callable[[Path], None]
    """Called with a copy of the bundle."""


def files_of(bundle: Path) -> list[str]:
    """Every file but the manifest."""
    found = [str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()]
    return sorted(name for name in found if name != MANIFEST)


def of_files(bundle: Path) -> Iterator[Tamper]:
    """Each file changed, cut, taken away, put elsewhere; and files that nobody listed."""
    for name in files_of(bundle):
        yield from of_file(name, (bundle / name).stat().st_size)
    for name in ("extra.txt", "torch.py", "sitecustomize.py", "folder/deep.py", "__pycache__/verify.cpython-311.pyc"):
        yield Tamper(f"{name} added", added(name))
    first, *_, last = files_of(bundle)
    yield Tamper(f"{first} and {last} exchanged", lambda copy: exchanged(copy / first, copy / last))


def of_file(name: str, size: int) -> Iterator[Tamper]:
    """What can be done to one file of `size` bytes."""
    chance = random.Random(name)
    places = sorted({0, size - 1, *(chance.randrange(size) for _ in range(PLACES - 2))})
    for place in places:
        yield Tamper(f"{name}: bit {place * 8} turned", turned(name, place, 1 << chance.randrange(8)))
    for length in (0, size // 2, size - 1):
        yield Tamper(f"{name}: cut to {length} bytes", lambda copy, length=length: os.truncate(copy / name, length))
    yield Tamper(f"{name}: a byte more", lambda copy: appended(copy / name))
    yield Tamper(f"{name} missing", lambda copy: (copy / name).unlink())
    yield Tamper(f"{name} under another name", lambda copy: renamed(copy / name))
    yield Tamper(f"{name} a directory", lambda copy: a_directory(copy / name))


def of_manifest(bundle: Path) -> Iterator[Tamper]:
    """The manifest itself changed so that it no longer fits the files, or says nothing that can be used."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    for name in manifest["files"]:
        yield edited(f"sha256 of {name}", lambda found, name=name: found["files"][name].update(sha256="0" * 64))
        yield edited(f"size of {name}", lambda found, name=name: found["files"][name].update(bytes=1))
        yield edited(f"{name} not listed", lambda found, name=name: found["files"].pop(name))
    for field in manifest:
        if field not in TOLD:
            wrong = [value for value in VALUES if not fits(field, value)]
            yield from (replaced(field, value) for value in wrong)
    for text in ("", "{", "[]", "null", '{"schema": 1}', "[" * 100_000):
        yield Tamper(f"the manifest is {text[:20]!r}", lambda copy, text=text: written(copy / MANIFEST, text.encode()))
    yield Tamper("the manifest is no text", lambda copy: written(copy / MANIFEST, b"\xff\xfe\x00"))
    yield Tamper("the manifest is missing", lambda copy: (copy / MANIFEST).unlink())
    yield Tamper("the manifest is a directory", lambda copy: a_directory(copy / MANIFEST))


def of_told(bundle: Path) -> Iterator[Tamper]:
    """Fields that only tell, with what nobody would write there."""
    yield from (replaced(field, value) for field in TOLD for value in VALUES)


def of_manifest_bits(bundle: Path, count: int = 40) -> Iterator[Tamper]:
    """One bit of the manifest turned, anywhere: it may still read well, and only a digest from elsewhere tells."""
    chance, size = random.Random(0), (bundle / MANIFEST).stat().st_size
    for place in sorted({0, size - 1, *(chance.randrange(size) for _ in range(count))}):
        yield Tamper(f"manifest: bit {place * 8} turned", turned(MANIFEST, place, 1 << chance.randrange(7)))


def fits(field: str, value: Any) -> bool:
    """Whether a value of this form could stand there."""
    return (isinstance(value, str) and field in ("not_comparable", "prefix")) or (
        isinstance(value, dict) and field in OPEN
    )


def replaced(field: str, value: Any) -> Tamper:
    return edited(f"{field} is {value!r}", lambda found: found.update({field: value}))


def edited(title: str, edit: Callable[[dict[str, Any]], Any]) -> Tamper:
    def spoil(copy: Path) -> None:
        manifest = json.loads((copy / MANIFEST).read_text())
        edit(manifest)
        written(copy / MANIFEST, json.dumps(manifest).encode())

    return Tamper(f"manifest: {title}", spoil)


def turned(name: str, place: int, bit: int) -> Callable[[Path], None]:
    def spoil(copy: Path) -> None:
        data = bytearray((copy / name).read_bytes())
        data[place] ^= bit
        written(copy / name, bytes(data))

    return spoil


def added(name: str) -> Callable[[Path], None]:
    def spoil(copy: Path) -> None:
        (copy / name).parent.mkdir(exist_ok=True)
        written(copy / name, b"raise SystemExit('loaded')\n")

    return spoil


def written(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def appended(path: Path) -> None:
    written(path, path.read_bytes() + b"\0")


def renamed(path: Path) -> None:
    path.rename(path.with_name(f"other-{path.name}"))


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def exchanged(first: Path, second: Path) -> None:
    one, other = first.read_bytes(), second.read_bytes()
    written(first, other)
    written(second, one)
