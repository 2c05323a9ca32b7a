"""A small share of the damaged files; `python -m tests.fuzz` reads ten thousand."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

import pytest

from workbench.protocol.failures import WorkbenchError, error

from .folders import damaged_folder, write
from .grammar import made
from .mutate import damaged
from .readers import READERS, unfair
from .run import fuzz
from .seeds import make


def test_damaged_files_of_every_format_are_refused_in_plain_words() -> None:
    outcome = fuzz(280, seed=1)
    assert outcome.found == []
    assert {"net.bundle", "net.capture", "shards", "hf", "x.npz", "native.pt2", "made.pt", "made.pkl"} <= set(
        outcome.by_format
    )


def test_every_format_is_read_while_it_is_whole(tmp_path: Path) -> None:
    def reads(reader: str, path: Path) -> bool:
        with contextlib.suppress(WorkbenchError):
            return READERS[reader](str(path)) is not None
        return False

    for name, whole in make(tmp_path).items():
        path = tmp_path / f"whole-{name}"
        if isinstance(whole, bytes):
            path.write_bytes(whole)
        else:
            path.mkdir()
            write(path, whole)
        assert any(reads(reader, path) for reader in READERS), name
        assert name != "net.bundle" or "verdict='pass'" in str(READERS["proof"](str(path)))
        assert name != "net.capture" or reads("captured", path)


def test_a_number_names_the_same_damage_for_ever() -> None:
    data = bytes(range(256)) * 4
    assert damaged(data, "0 a 1") == damaged(data, "0 a 1")
    assert len({damaged(data, f"0 a {number}") for number in range(50)}) > 40
    files = {"a.json": data, "b.pt": data[:40]}
    assert damaged_folder(files, "0 a 1") == damaged_folder(files, "0 a 1")


def test_an_exception_that_says_nothing_is_unfair(tmp_path: Path) -> None:
    def fails(path: str) -> object:
        raise KeyError("x")

    def refuses(path: str) -> object:
        raise error("weights", f"{path} is cut off.")

    def shrugs(path: str) -> object:
        raise error("weights", "No.")

    assert "KeyError" in unfair(fails, tmp_path)
    assert "say nothing" in unfair(shrugs, tmp_path)
    assert unfair(refuses, tmp_path) == ""


def test_pickles_are_made_the_same_for_the_same_seed_and_hold_what_torch_writes() -> None:
    assert made("0 made.pt 1", False) == made("0 made.pt 1", False)
    several = [made(f"0 made.pkl {number}", False) for number in range(200)]
    for word in (b"_rebuild_tensor_v2", b"FloatStorage", b"\x93", b"2\x86" * 40, b"_modules"):
        assert sum(word in one for one in several) > 3, word


@pytest.mark.slow
def test_ten_thousand_damaged_files() -> None:
    assert fuzz(10_000, seed=datetime.date.today().toordinal()).found == []  # each finding says its seed
