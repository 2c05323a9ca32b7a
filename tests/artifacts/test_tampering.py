"""A bundle that was changed is refused before anything of it is loaded, whatever was changed; never by a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.artifacts.tampering import MANIFEST, Tamper, of_files, of_manifest, of_manifest_bits, of_told
from tests.unit.artifact_bench import make, write_manifest
from workbench.worker.artifact.verify_text import verify_text

KINDS = (
    "weights",
    "trace",
    "export",
    pytest.param("onnx", marks=pytest.mark.skipif(find_spec("onnxscript") is None, reason="[onnx] is not installed")),
    pytest.param(
        "aoti",
        marks=[
            pytest.mark.slow,  # it is compiled
            pytest.mark.timeout(900),
            pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++, which is not here"),
        ],
    ),
)

ROOT = Path(__file__).parents[2]

Run = tuple[int, dict[str, Any]]
"""Exit code, and the JSON that was printed."""


class Bundles:
    """A bundle of each kind that is asked for, as it is published."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __getitem__(self, kind: str) -> Path:
        found = self.place / kind
        if not found.exists():
            made = self.place / f"{kind}.making"
            made.mkdir()
            manifest = make(made, "Affine", kind).manifest
            (made / "report.md").write_text("# a report\n")
            write_manifest(made, manifest, "files")
            made.rename(found)
        return found


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(params=KINDS)
def bundle(bundles: Bundles, request: pytest.FixtureRequest) -> Path:
    return bundles[request.param]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Run]]:
    """The text of verify.py as a module: called with a bundle and options, it does what the script does, and a second
    sooner. With `loads=False` a test fails when it opens the artifact or the golden data."""
    module = ModuleType("verify_of_a_bundle")
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    exec(compile(verify_text(), "verify.py", "exec"), module.__dict__)

    def run(copy: Path, *options: str, loads: bool = False) -> Run:
        opened: list[str] = []
        monkeypatch.setattr(sys, "argv", ["verify.py", "--json", *options])
        monkeypatch.setattr(module, "__file__", str(copy / "verify.py"), raising=False)
        if not loads:
            monkeypatch.setattr(module, "open_artifact", lambda *given: opened.append("the artifact"))
            monkeypatch.setattr(module, "load", lambda *given: opened.append("the golden data"))
        code = module.main()
        printed = capsys.readouterr().out
        assert opened == []
        assert "\x1b" not in printed
        return code, json.loads(printed)

    yield run
    del sys.modules[module.__name__]


def spoilt(bundle: Path, tamper: Tamper, place: Path) -> Path:
    """A copy of the bundle, spoilt."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(bundle, place)
    tamper.spoil(place)
    return place


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {row["id"]: row["status"] for row in found["checks"]}


def digest(bundle: Path) -> str:
    return f"sha256:{hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()}"


def test_there_are_as_many_ways_as_it_says(bundle: Path) -> None:
    titles = [one.title for one in (*of_files(bundle), *of_manifest(bundle), *of_manifest_bits(bundle))]
    assert len(set(titles)) == len(titles) >= 120


def test_what_was_not_changed_is_proven(bundle: Path, tmp_path: Path, script: Callable[..., Run]) -> None:
    trusted = ("--trust", digest(bundle))
    if bundle.name == "aoti":  # native code is not loaded into this process
        code, found = scripted(bundle, tmp_path, *trusted)
    else:
        code, found = script(bundle, *trusted, loads=True)
    assert (code, found["verdict"]) == (0, "pass")


def test_a_changed_file_is_refused_by_the_bundle_s_own_script(
    bundle: Path, tmp_path: Path, script: Callable[..., Run]
) -> None:
    for tamper in of_files(bundle):
        code, found = script(spoilt(bundle, tamper, tmp_path / "copy"))
        assert (tamper.title, code, found["verdict"]) == (tamper.title, 1, "fail")
        assert set(statuses(found).values()) == {"fail", "skip"}
        assert statuses(found)["integrity"] == "fail"


def test_a_changed_manifest_is_refused_by_the_bundle_s_own_script(
    bundle: Path, tmp_path: Path, script: Callable[..., Run]
) -> None:
    for tamper in of_manifest(bundle):
        code, found = script(spoilt(bundle, tamper, tmp_path / "copy"))
        assert (tamper.title, code, statuses(found)["integrity"]) == (tamper.title, 1, "fail")


def test_any_bit_of_the_manifest_is_told_by_its_digest(
    bundle: Path, tmp_path: Path, script: Callable[..., Run]
) -> None:
    trusted = digest(bundle)
    for tamper in (*of_manifest_bits(bundle), *of_manifest(bundle), *of_told(bundle)):
        code, found = script(spoilt(bundle, tamper, tmp_path / "copy"), "--trust", trusted)
        assert (tamper.title, code, found["error"]["kind"]) == (tamper.title, 5, "trust")


def test_what_only_tells_ends_no_proof(bundles: Bundles, tmp_path: Path, script: Callable[..., Run]) -> None:
    for tamper in of_told(bundles["weights"]):
        code, found = script(spoilt(bundles["weights"], tamper, tmp_path / "copy"), loads=True)
        assert (tamper.title, code) == (tamper.title, {"pass": 0, "fail": 1}[found["verdict"]])


# real processes


def verified(copy: Path, home: Path, *options: str) -> Run:
    """`workbench verify`, of a user who trusts nothing yet."""
    homes = {name: str(home) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME")}
    command = [sys.executable, "-m", "workbench", "verify", str(copy), "--json", *options]
    environment = {**os.environ, **homes, "PYTHONPATH": str(ROOT)}
    return _ended(subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, cwd=home))


def scripted(copy: Path, home: Path, *options: str) -> Run:
    """The bundle's own script."""
    command = [sys.executable, "-I", str(copy / "verify.py"), "--json", *options]
    return _ended(subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=home))


def _ended(done: subprocess.CompletedProcess[str]) -> Run:
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def a_flip(bundle: Path) -> Tamper:
    return next(one for one in of_files(bundle) if "golden.safetensors: bit" in one.title)


def test_the_command_refuses_a_changed_file_and_a_changed_manifest(bundles: Bundles, tmp_path: Path) -> None:
    bundle, copy = bundles["trace"], tmp_path / "copy"
    code, found = verified(spoilt(bundle, a_flip(bundle), copy), tmp_path, "--trust", digest(bundle))
    assert (code, statuses(found)["integrity"], statuses(found)["load"]) == (1, "fail", "skip")
    tamper = next(of_manifest_bits(bundle))
    code, found = verified(spoilt(bundle, tamper, copy), tmp_path, "--trust", digest(bundle))
    assert code in (3, 5)  # 3 where it is no manifest any more
    assert found["error"]["kind"] in ("artifact", "trust")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_way_to_spoil_a_file_is_refused_by_the_command(bundle: Path, tmp_path: Path) -> None:
    trusted = digest(bundle)
    for tamper in [*of_files(bundle)][::4]:
        code, found = verified(spoilt(bundle, tamper, tmp_path / "copy"), tmp_path, "--trust", trusted)
        assert (tamper.title, code, statuses(found)["integrity"]) == (tamper.title, 1, "fail")
        assert {status for check, status in statuses(found).items() if check != "integrity"} == {"skip"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_way_to_spoil_the_manifest_is_refused_by_the_command(bundle: Path, tmp_path: Path) -> None:
    trusted = digest(bundle)
    for tamper in [*of_manifest_bits(bundle), *of_manifest(bundle), *of_told(bundle)][::12]:
        code, found = verified(spoilt(bundle, tamper, tmp_path / "copy"), tmp_path, "--trust", trusted)
        assert (tamper.title, code in (3, 5)) == (tamper.title, True)
        assert found["error"]["kind"] == {3: "artifact", 5: "trust"}[code]
        code, found = verified(tmp_path / "copy", tmp_path, "--allow-code")  # a yes to whatever it is
        assert (tamper.title, code in (0, 1, 3)) == (tamper.title, True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_script_itself_refuses_in_a_process_of_its_own(bundle: Path, tmp_path: Path) -> None:
    for tamper in [one for one in of_files(bundle) if "verify.py" not in one.title][::4]:
        code, found = scripted(spoilt(bundle, tamper, tmp_path / "copy"), tmp_path)
        assert (tamper.title, code, statuses(found)["integrity"]) == (tamper.title, 1, "fail")
    for tamper in [*of_manifest(bundle)][::12]:
        assert scripted(spoilt(bundle, tamper, tmp_path / "copy"), tmp_path)[0] == 1
