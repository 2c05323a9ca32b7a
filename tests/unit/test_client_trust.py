"""The trust store and its rule: data opens, code asks, yes is remembered by digest."""

from __future__ import annotations

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


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError) as caught:
        TrustStore(tmp_path / "file" / "trust.json").remember(CODE, "asked")
    assert caught.value.failure.kind == "write"
