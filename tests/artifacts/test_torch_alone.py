"""Bundles written here, proven by their own verify.py where there is torch and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STORY = f"{ROOT / 'sample_models' / 'story.py'}:Net"
STORY_WEIGHTS = str(ROOT / "sample_models" / "story.safetensors")

ABSENT = ("numpy", "safetensors", "psutil", "textual", "click", "rich", "onnx", "workbench", "pytest")
"""What must not be found there."""


def required(name: str) -> Iterator[metadata.Distribution]:
    """A distribution and those that it cannot do without, as they are installed here."""
    seen, waiting = set(), [name]
    while waiting:
        one = re.split(r"[^\w.-]", waiting.pop(), maxsplit=1)[0].lower().replace("_", "-")
        if one in seen:
            continue
        seen.add(one)
        try:
            found = metadata.distribution(one)
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python; what is lacking shows when torch is imported
        yield found
        waiting += [line for line in found.requires or () if "extra ==" not in line]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose site-packages hold links to torch and to what torch requires."""
    place = tmp_path_factory.mktemp("torch-alone") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    packages = next((place / "lib").glob("python*/site-packages"))
    for distribution in required("torch"):
        if not distribution.files:
            pytest.skip(f"{distribution.metadata['Name']} does not say which files it consists of")
        tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
        for top in tops:
            source, link = Path(str(distribution.locate_file(top))), packages / top
            if source.exists() and not link.exists():
                link.symlink_to(source)
    found = place / "bin" / "python"
    asked = alone(found, "-c", "import torch")
    if asked.returncode:
        pytest.skip(f"torch cannot be imported from links: {asked.stderr.strip().splitlines()[-1]}")
    return found


def alone(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run(
        [str(python), "-I", *arguments], capture_output=True, text=True, cwd="/", env=environment, timeout=300
    )


def proven(python: Path, bundle: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = alone(python, str(bundle / "verify.py"), "--json", *options)
    assert done.stdout, done.stderr
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_there_is_torch_and_nothing_else(python: Path) -> None:
    for name in ABSENT:
        done = alone(python, "-c", f"import {name}")
        assert f"No module named '{name}'" in done.stderr


@pytest.mark.parametrize("kind", ["weights", "trace", "export"])
def test_a_bundle_proves_itself_where_there_is_torch_alone(kind: str, python: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    command = [sys.executable, "-m", "workbench", "export", STORY, "--weights", STORY_WEIGHTS, "--to", kind]
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [*command, "--out", str(bundle), "--json"], capture_output=True, text=True, env=environment, timeout=300
    )
    assert made.returncode == 0, made.stdout + made.stderr
    listed = sorted(path.name for path in bundle.iterdir())

    code, said = proven(python, bundle)
    assert (code, said["verdict"]) == (0, "pass"), said
    assert "torch" in said["modules"]
    assert not set(ABSENT) & set(said["modules"])
    if kind == "weights":  # built from the architecture that somebody names, values are proven, too
        code, said = proven(python, bundle, "--architecture", STORY)
    rows = {row["id"]: row["status"] for row in said["checks"]}
    assert (code, rows["values"], rows["weights_match"]) == (0, "pass", "pass")
    assert said["cases"] >= 16

    artifact = next(bundle / name for name in listed if name in ("weights.safetensors", "model.ts", "model.pt2"))
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(data)
    code, said = proven(python, bundle)
    assert (code, said["verdict"], said["checks"][1]["status"]) == (1, "fail", "skip")
    assert sorted(path.name for path in bundle.iterdir()) == listed, "it writes nothing"
