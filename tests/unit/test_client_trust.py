"""The trust store and its rule: data opens, code asks, yes is remembered by digest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.client.trust import TrustStore, allowed, refusal
from workbench.protocol.artifacts import Fingerprint
from workbench.protocol.failures import WorkbenchError

CODE = Fingerprint("a/model.pt2", "pt2", "ab" * 32, "CODE (Python)")
DATA = Fingerprint("a/net.safetensors", "safetensors", "cd" * 32, "DATA")


def test_data_opens_and_code_asks(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust.json")
    assert allowed(DATA, store)
    assert not allowed(CODE, store)
    assert refusal(CODE).failure.kind == "trust"
    assert CODE.sha256 in refusal(CODE).failure.remedy


@pytest.mark.parametrize("digest", ["sha256:" + "ab" * 32, "ab" * 32, "SHA256:".lower() + "AB" * 32])
def test_a_digest_on_the_command_line_is_a_yes(tmp_path: Path, digest: str) -> None:
    assert allowed(CODE, TrustStore(tmp_path / "trust.json"), [digest])


def test_another_digest_is_not(tmp_path: Path) -> None:
    assert not allowed(CODE, TrustStore(tmp_path / "trust.json"), ["sha256:" + "ee" * 32])


def test_allow_code_is_a_yes(tmp_path: Path) -> None:
    assert allowed(CODE, TrustStore(tmp_path / "trust.json"), allow_code=True)


def test_a_yes_is_remembered_for_these_bytes_only(tmp_path: Path) -> None:
    TrustStore(tmp_path / "deep" / "trust.json").remember(CODE, "asked")
    store = TrustStore(tmp_path / "deep" / "trust.json")
    assert allowed(CODE, store)
    assert not allowed(Fingerprint(CODE.path, "pt2", "00" * 32, CODE.trust), store)


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"sha256": 3}]', "\x00"])
def test_a_store_that_cannot_be_read_trusts_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "trust.json").write_text(content)
    assert not allowed(CODE, TrustStore(tmp_path / "trust.json"))


def test_what_one_entry_cannot_say_takes_no_other_yes_away(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    TrustStore(path).remember(CODE, "asked")
    strange = {"sha256": 3, "of": "another version"}
    path.write_text(json.dumps([strange, *json.loads(path.read_text())]))
    other = Fingerprint("b", "pickle", "12" * 32, "CODE (Python)")
    assert allowed(CODE, TrustStore(path))
    TrustStore(path).remember(other, "asked")
    assert allowed(CODE, TrustStore(path))
    assert allowed(other, TrustStore(path))
    assert strange in json.loads(path.read_text())


@pytest.mark.parametrize("content", ["{", '{"sha256": 3}', "\x00"])
def test_a_store_that_cannot_be_read_is_not_written_over(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trust.json"
    path.write_text(content)
    with pytest.raises(WorkbenchError) as caught:
        TrustStore(path).remember(CODE, "asked")
    assert caught.value.failure.kind == "write"
    assert path.read_text() == content


def test_two_who_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    prints = [Fingerprint("x", "pt2", f"{number:064x}", "CODE (Python)") for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: TrustStore(tmp_path / "trust.json").remember(one, "asked"), prints))
    assert all(allowed(one, TrustStore(tmp_path / "trust.json")) for one in prints)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError) as caught:
        TrustStore(tmp_path / "file" / "trust.json").remember(CODE, "asked")
    assert caught.value.failure.kind == "write"
