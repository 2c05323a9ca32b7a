"""Manifests that lie: what they name outside the bundle is never run, and what is malformed is said to be that."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.artifact_bench import make, proven, quiet_job, row, write_manifest
from workbench.protocol.messages import Prove
from workbench.worker.artifact import prove_job
from workbench.worker.artifact.prove import prove

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A published bundle of weights, which brings its architecture, and one of a program."""
    made = {}
    for kind in ("weights", "trace"):
        stage = tmp_path_factory.mktemp(kind)
        write_manifest(stage, make(stage, "Net", kind).manifest, "files")
        made[kind] = stage
    return made


@pytest.fixture
def weights(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles["weights"], tmp_path / "bundle"))


@pytest.fixture
def trace(bundles: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles["trace"], tmp_path / "bundle"))


def rewrite(bundle: Path, change: Change) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def evil(tmp_path: Path) -> tuple[Path, Path]:
    """A file that must not run, and what it would leave behind."""
    ran = tmp_path / "ran"
    source = tmp_path / "evil.py"
    source.write_text(f"import pathlib, torch\npathlib.Path({str(ran)!r}).touch()\nNet = torch.nn.Identity\n")
    return source, ran


def published(stage: Path) -> Any:
    return prove_job.prove(Prove(str(stage)), quiet_job())


@pytest.mark.parametrize(
    "name", ["{evil}", "../evil.py", "./architecture.py", "a//architecture.py", "", 3, ["x"], "absent.py"]
)
def test_an_architecture_outside_the_bundle_is_never_run(weights: Path, tmp_path: Path, name: Any) -> None:
    source, ran = evil(tmp_path)
    name = name.format(evil=source) if isinstance(name, str) else name
    rewrite(weights, lambda manifest: manifest["architecture"].update(file=name))
    proof = published(weights)
    assert not ran.exists()
    assert (proof.verdict, row(proof, "integrity").status) == ("fail", "fail"), name
    assert "architecture" in row(proof, "integrity").evidence
    assert {one.status for one in proof.checks[1:]} == {"skip"}


def test_a_file_outside_is_not_run_even_when_it_is_listed(weights: Path, tmp_path: Path) -> None:
    source, ran = evil(tmp_path)

    def change(manifest: dict[str, Any]) -> None:
        manifest["architecture"]["file"] = str(source)
        manifest["files"][str(source)] = manifest["files"]["architecture.py"]

    rewrite(weights, change)
    assert row(published(weights), "integrity").status == "fail"
    assert not ran.exists()


@pytest.mark.parametrize("target", ["{evil}:Net", "../evil.py:Net", "other.module:Net", "pkg:", "pkg", "pkg.:Net", 3])
def test_a_package_does_not_smuggle_a_file_in(weights: Path, tmp_path: Path, target: Any) -> None:
    source, ran = evil(tmp_path)
    target = target.format(evil=source) if isinstance(target, str) else target

    def change(manifest: dict[str, Any]) -> None:
        manifest["architecture"] = {"package": "pkg", "target": target, "helpers": ["architecture.py"], "kwargs": {}}

    rewrite(weights, change)
    proof = published(weights)
    assert not ran.exists()
    assert row(proof, "integrity").status == "fail"


def test_a_bundle_that_lists_only_its_weights_is_refused(weights: Path, tmp_path: Path) -> None:
    _, ran = evil(tmp_path)

    def change(manifest: dict[str, Any]) -> None:
        files = manifest.pop("files")
        manifest["made"] = {"weights.safetensors": files["weights.safetensors"]}

    rewrite(weights, change)
    shutil.copy(tmp_path / "evil.py", weights / "architecture.py")
    for proof in (published(weights), prove(weights), proven(weights)):  # the last one while it is staged
        assert row(proof, "integrity").status == "fail"
    assert not ran.exists()


def test_a_staged_one_says_made_and_a_published_one_says_files(trace: Path) -> None:
    assert published(trace).verdict == "pass"
    assert row(proven(trace), "integrity").status == "fail"
    rewrite(trace, lambda manifest: manifest.update(made=manifest.pop("files")))
    assert proven(trace).verdict == "pass"
    assert row(published(trace), "integrity").status == "fail"


def put(*path: Any) -> Change:
    """Set what lies at `path[:-1]` to `path[-1]`."""

    def change(manifest: Any) -> None:
        *way, last, value = path
        for step in way:
            manifest = manifest[step]
        manifest[last] = value

    change.__name__ = "/".join(map(str, path))[:60]
    return change


MALFORMED = [
    put("yardstick", {}),
    put("yardstick", "kind", "float32"),
    put("yardstick", "leaves", {"output": {"rms": "much"}}),
    put("yardstick", "leaves", {"output": 1}),
    put("cases", []),
    put("cases", 3),
    put("cases", [3]),
    put("cases", 0, "batch", "many"),
    put("cases", 0, "output", {"paths": 3}),
    put("files", "model.ts", 5),
    put("files", []),
    put("files", "model.ts", {"sha256": 3}),
    put("parameters", {"fc1.weight": 3}),
    put("parameters", "fc1.weight", "shape", "big"),
    put("parameters", "fc1.weight", "mean", None),
    put("output", {}),
    put("output", "paths", [1]),
    put("output", "paths", ["elsewhere"]),
    put("inputs", [3]),
    put("inputs", 0, "tree", {}),
    put("inputs", 0, "tree", {"tensor": "absent"}),
    put("inputs", 0, "tree", {"list": 3}),
    put("inputs", 0, "name", None),
    put("batch", 7),
    put("batch", {"free": False, "axes": {"absent": 0}}),
    put("batch", {"free": False, "axes": {"x": 9}}),
    put("artifact", {}),
    put("artifact", "file", ["model.ts"]),
    put("artifact", "file", "../model.ts"),
    put("kind", "tensorrt"),
    put("modes", {"flips": [3]}),
    put("modes", {"dtype": "save"}),
    put("blocked", [3]),
    put("ties", []),
    put("versions", 3),
    put("prefix", 3),
    put("architecture", 3),
    put("architecture", {"name": "Net", "helpers": 3}),
]


@pytest.mark.parametrize("change", MALFORMED, ids=lambda change: change.__name__)
def test_what_is_malformed_is_refused_in_plain_words(trace: Path, change: Change) -> None:
    rewrite(trace, change)
    proof = published(trace)
    assert proof.verdict in ("fail", "error")
    refused = next(one for one in proof.checks if one.status in ("fail", "error"))
    assert refused.id in ("integrity", "load"), refused
    assert "manifest" in refused.evidence or "golden" in refused.evidence, refused


def test_nothing_that_a_manifest_says_is_an_error_of_ours(trace: Path) -> None:
    """Every place of the manifest in turn holds something odd: there is a proof, whatever it says."""
    manifest = json.loads((trace / "manifest.json").read_text())
    manifest["cases"] = manifest["cases"][:2]
    chance = random.Random(0)
    odd = [None, -1, 1e400, "", "\ud800", [], {}, [[]], {"": {}}, True]
    for path in places(manifest):
        broken = copy.deepcopy(manifest)
        put(*path, chance.choice(odd))(broken)
        (trace / "manifest.json").write_text(json.dumps(broken))
        published(trace)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a manifest but the entries that are alike."""
    if len(path) > 1 and path[0] in ("parameters", "files") and path[1] not in ("fc1.weight", "model.ts"):
        return []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, child in children:
        found += places(child, (*path, key))
    return found
