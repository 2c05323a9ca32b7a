"""What a proof knows of the machine that an artifact was made on, before and after it tries to load it."""

from __future__ import annotations

import json
import platform
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.artifacts.writers import SPECS, export, prove_file, sample
from tests.artifacts.writers import eager as of_corpus
from tests.unit.artifact_bench import make, proven, row, write_manifest
from workbench.worker.artifact.prove_environment import environment_words, load_advice, unfit_here

HERE = f"{platform.system()} {platform.machine()}"


@pytest.mark.parametrize(
    ("manifest", "device", "words"),
    [
        ({"kind": "export", "platform": "Linux aarch64"}, "cpu", ""),
        ({"kind": "aoti", "platform": "Linux sparc"}, "cpu", f"native code for Linux sparc, and this is {HERE}"),
        ({"kind": "aoti", "platform": HERE, "instruction_set": "AVX512"}, "cpu", "this machine's processor has AVX2"),
        ({"kind": "aoti", "platform": HERE, "instruction_set": "DEFAULT"}, "cpu", ""),
        ({"kind": "aoti", "platform": HERE, "instruction_set": "SVE256"}, "cpu", ""),
        ({"kind": "aoti"}, "cpu", ""),
    ],
)
def test_native_code_for_another_machine_is_not_loaded(manifest: dict[str, Any], device: str, words: str) -> None:
    with patch.object(torch.backends.cpu, "get_cpu_capability", return_value="AVX2"):
        found = unfit_here(manifest, device)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize("device", ["banana", "cuda:99", "meta", "cpu:nothing"])
def test_a_device_that_nobody_has_ends_in_a_verdict(device: str, tmp_path: Path) -> None:
    make(tmp_path, "Affine", "trace")
    with patch("workbench.worker.artifact.prove.open_artifact", side_effect=AssertionError("it was loaded")):
        load = row(proven(tmp_path, device), "load")
    assert load.status == "error"
    assert f"--device {device}" in load.evidence
    assert load.remedy == "Prove it with --device cpu, or on a machine that has one."


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    from tests.unit.artifact_bench import quiet_job
    from workbench.protocol.messages import Prove
    from workbench.worker.artifact.prove_job import prove

    make(tmp_path, "Net", "trace")
    with patch("workbench.worker.artifact.prove.open_artifact", side_effect=AssertionError("it was loaded")):
        proof = prove(Prove(str(tmp_path), device="cuda", staged=True), quiet_job())
    load = row(proof, "load")
    assert (proof.verdict, load.evidence) == ("error", "not loaded: there is no CUDA device here for --device cuda")
    assert "--device cpu" in load.remedy


@pytest.mark.parametrize(
    ("made", "words", "advice"),
    [
        ("99.1.0", "some failure", "prove it under torch 99.1 or later (--python)"),
        ("1.9.0+cu111", "some failure", "It was made by torch 1.9.0+cu111: prove it under that torch"),
        ("", "some failure", "inspect the file, or make it again"),
        ("1.9.0", "x.pt2 is truncated or damaged (BadZipFile)", "Get the file again from where it was made"),
        ("99.1.0", "it is not installed: pip install onnxruntime", "pip install onnxruntime."),
    ],
)
def test_a_load_that_fails_is_explained_by_versions(made: str, words: str, advice: str) -> None:
    assert advice in load_advice({"versions": {"torch": made}}, words)


def test_a_bundle_of_a_newer_torch_that_does_not_load_says_so(tmp_path: Path) -> None:
    """The bytes are those of an archive that this torch is told it is too old for."""
    made = make(tmp_path, "Net", "trace")
    versions = {**made.manifest["versions"], "torch": "99.1.0"}
    _rewrite(tmp_path / made.file, "version", b"9999\n")
    write_manifest(tmp_path, {**made.manifest, "versions": versions})
    load = row(proven(tmp_path), "load")
    assert load.status == "error"
    assert "version" in load.evidence
    assert f"torch {torch.__version__} here, 99.1.0 where it was made" in load.cause
    assert "Older torch may not read what newer torch wrote" in load.remedy


def test_a_program_says_itself_which_torch_wrote_it(tmp_path: Path) -> None:
    path, stage = tmp_path / "a.pt2", tmp_path / "stage"
    stage.mkdir()
    export()(of_corpus("Classifier"), sample("Classifier"), path)
    _rewrite(path, "models/model.json", None, (b'"torch_version": "', b'"torch_version": "99.'))
    proof = prove_file(path, "Classifier", SPECS["Classifier"], stage)
    assert proof.verdict == "pass"
    (finding,) = [one for one in proof.findings if one.id == "environment"]
    assert f"torch {torch.__version__} here, 99.{torch.__version__} where it was made" in finding.words


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"AOTI_PLATFORM": "darwin", "AOTI_MACHINE": "arm64"}, f"native code for Darwin arm64, and this is {HERE}"),
        ({"AOTI_CPU_ISA": "AVX512 AVX512_VNNI AMX_TILE"}, "native code for AVX512, and this machine's processor has"),
        ({"AOTI_CPU_ISA": "AVX2 AVX512_VNNI"}, "native code for AVX512_VNNI, which"),
    ],
)
def test_somebody_elses_package_says_itself_which_machine_it_is_for(
    facts: dict[str, str], words: str, tmp_path: Path
) -> None:
    """Nothing of it is loaded: there is nothing else in it."""
    path, stage = tmp_path / "a.pt2", tmp_path / "stage"
    stage.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/archive_format", "pt2")
        archive.writestr("a/data/aotinductor/model/one.wrapper.so", b"")
        archive.writestr("a/data/aotinductor/model/one.wrapper_metadata.json", json.dumps(facts))
    with (
        patch.object(torch.backends.cpu, "get_cpu_capability", return_value="AVX2"),
        patch.object(torch.cpu, "_is_vnni_supported", return_value=False),
    ):
        proof = prove_file(path, "Classifier", SPECS["Classifier"], stage)
    assert proof.verdict == "error"
    assert words in row(proof, "load").evidence
    assert row(proof, "load").remedy == "Export it again on the machine that it is for."


def test_instructions_that_need_not_be_used_are_told() -> None:
    with patch.object(torch.cpu, "_is_amx_tile_supported", return_value=False):
        assert unfit_here({"kind": "aoti", "platform": HERE, "instructions": ["AMX_TILE"]}, "cpu") == ""
        assert environment_words({"instructions": ["AMX_TILE"]}).startswith("AMX_TILE where it was made, which this")


def test_the_same_machine_has_nothing_to_say() -> None:
    assert environment_words({"versions": {"torch": str(torch.__version__)}, "platform": HERE}) == ""


def _rewrite(path: Path, member: str, data: bytes | None, change: tuple[bytes, bytes] = (b"", b"")) -> None:
    """The archive with one member's bytes replaced, stored and aligned no worse than torch needs."""
    with zipfile.ZipFile(path) as archive:
        held = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            if name.partition("/")[2] == member:
                content = data if data is not None else content.replace(*change)
            archive.writestr(name, content)
