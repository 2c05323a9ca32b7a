"""Export, verify, noise and inspect with workers that make files but need no torch."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.protocol.artifacts import ExportResult, Fingerprint, Inspection, VerifyResult
from workbench.protocol.messages import (
    Cancel,
    Export,
    GetFingerprint,
    Inspect,
    Kill,
    LogLines,
    MeasureNoise,
    Progress,
    Scan,
    Scanned,
    Verify,
)
from workbench.protocol.model import Modes, Recipe
from workbench.protocol.runs import Yardstick

from .misbehaving.face import Face


def recipe(how: str = "fine", proof: str = "fine") -> Recipe:
    return Recipe("nets/net.py:Net", {"how": how, "proof": proof})


def told(face: Face) -> dict[str, Any]:
    """What the clean worker saw, as it wrote it on stderr."""
    lines = [line for event in face.of(LogLines) for line in event.lines if line.startswith("proving")]
    return eval(lines[-1].removeprefix("proving "))


async def test_export_is_staged_proven_hashed_and_renamed(tmp_path: Path):
    target = tmp_path / "bundle"
    async with Face("artisan.py") as face:
        result = await face.ask(Export(recipe(), "export", str(target)))
        assert isinstance(result, ExportResult), result
        assert (result.path, result.published) == (str(target), True)
        manifest = json.loads((target / "manifest.json").read_text())
        assert manifest["schema"] == 1
        assert set(manifest["files"]) == {"model.pt2", "golden.safetensors", "report.md"}
        for name, entry in manifest["files"].items():
            data = (target / name).read_bytes()
            assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        assert manifest["proof"]["verdict"] == "pass"
        assert result.manifest_sha256 == hashlib.sha256((target / "manifest.json").read_bytes()).hexdigest()
        assert "16 cases hold" in (target / "report.md").read_text()
        assert os.listdir(tmp_path) == ["bundle"]
        seen = told(face)
        assert (seen["cwd"], seen["isolated"]) == ([], 1)
        assert seen["made"] == ["golden.safetensors", "model.pt2"]
        assert seen["blocked"] == ("net.py",)
        assert seen["staged"]
        assert face.of(Progress)[-1].phase == "publishing"


async def test_what_a_manifest_blocks_is_blocked_and_nothing_more(tmp_path: Path):
    async with Face("artisan.py") as face:
        nothing = Recipe("nets/net.py:Net", {"blocked": []})
        await face.ask(Export(nothing, "weights", str(tmp_path / "bundle")))
        assert told(face)["blocked"] == ()


async def test_the_same_interpreter_makes_and_proves(tmp_path: Path):
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    (tmp_path / "net.pt2").write_bytes(b"artifact")
    async with Face("artisan.py") as face:
        result = await face.ask(Export(recipe(), "export", str(tmp_path / "bundle"), python=str(other)))
        assert result.made.manifest["made_by"] == str(other)
        assert told(face)["python"] == str(other)
        await face.ask(Verify(str(tmp_path / "net.pt2"), "a" * 64, recipe(), python=str(other)))
        assert told(face)["made_by"] == str(other)


async def test_a_failed_export_takes_the_directories_that_it_made_with_it(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    async with Face("artisan.py") as face:
        await face.ask(Export(recipe("fail"), "export", str(tmp_path / "mine" / "a" / "b" / "bundle")))
        assert sorted(tmp_path.rglob("*")) == [tmp_path / "mine"]


async def test_a_failed_export_replaces_nothing_of_anybody_elses(tmp_path: Path):
    target, failed = tmp_path / "bundle", tmp_path / "bundle.failed"
    failed.mkdir()
    (failed / "thesis.txt").write_text("mine")
    async with Face("artisan.py") as face:
        for _ in range(2):
            result = await face.ask(Export(recipe(proof="no"), "export", str(target)))
            assert result.path == f"{failed}-2"
        (tmp_path / "bundle.failed-2" / "notes.txt").write_text("mine")
        result = await face.ask(Export(recipe(proof="no"), "export", str(target)))
        assert result.path == f"{failed}-3"
        await face.ask(Export(recipe(), "export", f"{tmp_path}/good.failed"))
        result = await face.ask(Export(recipe(proof="no"), "export", str(tmp_path / "good")))
        assert result.path == f"{tmp_path}/good.failed-2"  # the proven one stays
    assert (failed / "thesis.txt").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [
        "bundle.failed", "bundle.failed-2", "bundle.failed-3", "good.failed", "good.failed-2",
    ]  # fmt: skip


async def test_a_proof_that_says_no_is_published_as_failed_only(tmp_path: Path):
    target = tmp_path / "bundle"
    async with Face("artisan.py") as face:
        for _ in range(2):  # the second replaces the first
            result = await face.ask(Export(recipe(proof="no"), "export", str(target)))
            assert (result.published, result.path) == (False, str(target) + ".failed")
            assert os.listdir(tmp_path) == ["bundle.failed"]
        assert "NOT proven" in (tmp_path / "bundle.failed" / "report.md").read_text()


@pytest.mark.parametrize(
    ("how", "proof", "kind", "words"),
    [
        ("fail", "fine", "export", "Could not be traced."),
        ("crash", "fine", "engine", "native code aborted"),
        ("hang", "fine", "timeout", "the export"),
        ("fine", "hang", "timeout", "the clean proof"),
    ],
)
async def test_nothing_remains_of_an_export_that_fails(tmp_path: Path, how: str, proof: str, kind: str, words: str):
    async with Face("artisan.py") as face:
        failure = await face.ask(Export(recipe(how, proof), "export", str(tmp_path / "bundle"), timeout=0.5))
        assert failure.kind == kind
        assert words in failure.message
        assert os.listdir(tmp_path) == []


async def test_an_artifact_of_which_its_proof_dies_is_refused_and_kept_for_looking_at(tmp_path: Path):
    async with Face("artisan.py") as face:
        result = await face.ask(Export(recipe("fine", "crash"), "export", str(tmp_path / "bundle")))
    assert (result.published, result.proof.verdict) == (False, "fail")
    assert os.listdir(tmp_path) == ["bundle.failed"]
    load = next(row for row in result.proof.checks if row.id == "load")
    assert (load.status, "native code aborted" in load.evidence) == ("fail", True)


@pytest.mark.parametrize("by", ["cancel", "kill", "leave"])
async def test_an_export_can_be_given_up(tmp_path: Path, by: str):
    async with Face("artisan.py") as face:
        job = face.send(Export(recipe("hang"), "export", str(tmp_path / "bundle")))
        await face.until(lambda event: isinstance(event.body, Progress) and event.body.phase == "hanging")
        if by == "cancel":
            face.send(Cancel(job))
            assert (await face.end_of(job, seconds=3)).failure.kind == "cancelled"
        elif by == "kill":
            face.send(Kill("export"))
            assert (await face.end_of(job, seconds=3)).failure.kind == "engine"
        else:
            face.process.stdin.close()
            async with asyncio.timeout(4):
                await face.process.wait()
        assert os.listdir(tmp_path) == []


async def test_what_must_not_begin_does_not(tmp_path: Path):
    (tmp_path / "there").mkdir()
    async with Face("silent.py") as face:  # a worker would never answer
        there = await face.ask(Export(recipe(), "export", str(tmp_path / "there")), seconds=2)
        assert there.kind == "exists"
        train = await face.ask(Export(recipe(), "export", str(tmp_path / "new"), training=True), seconds=2)
        assert train.kind == "usage"
        assert "dropout" in train.message
        assert "--force" in train.remedy
        odd = await face.ask(Export(recipe(), "pickle", str(tmp_path / "new")), seconds=2)
        assert odd.kind == "usage"
        assert os.listdir(tmp_path) == ["there"]


def bundle(path: Path, **manifest: Any) -> str:
    """A bundle by hand; returns its manifest's digest."""
    path.mkdir()
    (path / "model.pt2").write_bytes(b"artifact")
    (path / "sub").mkdir()
    (path / "sub" / "net.py").write_text("x = 1\n")
    (path / "link").symlink_to("/etc/passwd")
    data = {"schema": 1, "kind": "export", "how": "fine", "yardstick": {"kind": "float64"}, "files": {}, **manifest}
    (path / "manifest.json").write_text(json.dumps(data))
    return hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()


async def test_a_bundle_is_proven_from_a_private_copy(tmp_path: Path):
    digest = bundle(tmp_path / "bundle")
    async with Face("artisan.py") as face:
        result = await face.ask(Verify(str(tmp_path / "bundle"), digest, tolerance=1e-3))
        assert isinstance(result, VerifyResult), result
        assert (result.kind, result.proof.verdict) == ("export", "pass")
        seen = told(face)
        assert seen["files"] == ["link", "manifest.json", "model.pt2", "sub/net.py"]
        assert seen["links"] == ["link"]  # the proof refuses it
        assert not seen["staged"]
        assert seen["yardstick"] == "given"


async def test_bytes_that_nobody_trusted_are_not_loaded(tmp_path: Path):
    bundle(tmp_path / "bundle")
    bundle(tmp_path / "broken", schema=7)
    broken = hashlib.sha256((tmp_path / "broken" / "manifest.json").read_bytes()).hexdigest()
    (tmp_path / "net.pt2").write_bytes(b"artifact")
    async with Face("silent.py") as face:
        wrong = await face.ask(Verify(str(tmp_path / "bundle"), "0" * 64), seconds=2)
        assert wrong.kind == "trust"
        for path, kind in (("broken", "artifact"), ("absent", "artifact"), ("net.pt2", "usage")):
            failure = await face.ask(Verify(str(tmp_path / path), broken), seconds=2)
            assert failure.kind == kind, path
            assert str(tmp_path / path) in failure.message
        failure = await face.ask(Verify(str(tmp_path), broken), seconds=2)
        assert "without a manifest.json" in failure.message


async def test_an_artifact_of_somebody_else_gets_golden_data_first(tmp_path: Path):
    path = tmp_path / "net.pt2"
    path.write_bytes(b"artifact")
    async with Face("artisan.py") as face:
        result = await face.ask(Verify(str(path), "a" * 64, recipe()))
        assert isinstance(result, VerifyResult), result
        assert told(face)["made"] == ["golden.safetensors", "model.pt2"]
        failure = await face.ask(Verify(str(path), "a" * 64, recipe("crash")))
        assert failure.kind == "engine"


async def test_a_counterexample_to_somebody_elses_artifact_is_kept(tmp_path: Path):
    path = tmp_path / "net.pt2"
    path.write_bytes(b"artifact")
    found = Recipe("nets/net.py:Net", {"proof": "no", "cases": [{"kind": "counterexample"}]})
    async with Face("artisan.py") as face:

        async def verified(recipe: Recipe, keep: Path | None) -> tuple[str, str]:
            result = await face.ask(Verify(str(path), "a" * 64, recipe, keep=str(keep or "")))
            assert isinstance(result, VerifyResult), result
            return result.kept, next((one.remedy for one in result.proof.findings), "")

        for _ in range(2):  # the second takes the place of the first
            kept, remedy = await verified(found, tmp_path / "kept")
            assert kept == str(tmp_path / "kept.failed")
            assert remedy == f"python {kept}/counterexample.py shows both answers."
        manifest = json.loads((tmp_path / "kept.failed" / "manifest.json").read_text())
        assert set(manifest["files"]) == {"model.pt2", "golden.safetensors", "report.md"}
        assert manifest["proof"]["verdict"] == "fail"
        assert await verified(found, None) == ("", "Add --keep DIR to have it as a case and as a script.")
        kept, remedy = await verified(found, path / "below a file")  # no verdict is spoilt by it
        assert kept == ""
        assert remedy.startswith("It is not kept: Could not write")
        assert await verified(recipe(proof="no"), tmp_path / "none") == ("", "")
        assert sorted(os.listdir(tmp_path)) == ["kept.failed", "net.pt2"]


async def test_small_flows(tmp_path: Path):
    (tmp_path / "net.py").write_text("import torch\n\nclass Net(torch.nn.Module):\n    pass\n")
    async with Face("artisan.py") as face:
        assert isinstance(await face.ask(MeasureNoise(recipe(), Modes())), Yardstick)
        assert (await face.ask(MeasureNoise(recipe("crash"), Modes()))).kind == "engine"
        assert isinstance(await face.ask(Inspect("x")), Inspection)
        scanned = await face.ask(Scan(str(tmp_path / "net.py")))
        assert isinstance(scanned, Scanned)
        assert [one.name for one in scanned.candidates] == ["Net"]
        seen = await face.ask(GetFingerprint(str(tmp_path / "net.py")))
        assert isinstance(seen, Fingerprint)
        assert seen.kind == "python"
        assert (await face.ask(GetFingerprint("/nowhere"))).kind == "artifact"
