"""Directories that the workbench reads: whole ones to begin with, and how one is damaged. Name inside it → bytes."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.unit.artifact_bench import make as make_bundle
from tests.unit.artifact_bench import write_manifest
from workbench import capture
from workbench.worker import tensorfile

from .mutate import damaged

Files = dict[str, bytes]

_POLICY = b"""seed = 3
input = ["x=float32[4,5]"]
mutates = ["cache.*"]
[budgets]
latency_median_ms = 20
[domain]
x = [-1, 1]
[discrete]
"output['class']" = 0.99
[check]
threads = 2
"""
_PROJECT = b"[project]\nname = 'net'\n[tool.workbench]\nrepeat = 5\nstochastic = false\n"


def make(folder: Path, net: nn.Module) -> dict[str, Files]:
    """Format → a directory of it."""
    state = net.state_dict()
    config = {"architectures": ["BertModel"], "model_type": "bert", "torch_dtype": "float32", "hidden_size": 8}
    captured = capture.watch(net, str(folder / "made.capture"))
    with torch.no_grad():
        net(torch.ones(2, 5))
        net(torch.zeros(3, 5))
    captured.close()
    (folder / "made.bundle").mkdir()
    write_manifest(folder / "made.bundle", make_bundle(folder / "made.bundle", "Net", "weights").manifest, "files")
    one = {"config.json": json.dumps(config).encode(), "model.safetensors": _tensors(folder, state)}
    return {
        "net.capture": _read(folder / "made.capture"),
        "net.bundle": _read(folder / "made.bundle"),
        "hf": one,
        "shards": {"config.json": one["config.json"], **_shards(folder, state)},
        "settings": {"workbench.toml": _POLICY, "pyproject.toml": _PROJECT},
    }


def _shards(folder: Path, state: dict[str, torch.Tensor]) -> Files:
    names = list(state)
    files, placed = {}, {}
    for number, part in enumerate((names[:3], names[3:]), 1):
        name = f"model-0000{number}-of-00002.safetensors"
        files[name] = _tensors(folder, {one: state[one] for one in part})
        placed.update(dict.fromkeys(part, name))
    index = {"metadata": {"total_size": 999}, "weight_map": placed}
    return {"model.safetensors.index.json": json.dumps(index).encode(), **files}


def _tensors(folder: Path, state: dict[str, torch.Tensor]) -> bytes:
    tensorfile.save(str(folder / "part.safetensors"), state, {})
    return (folder / "part.safetensors").read_bytes()


def _read(folder: Path) -> Files:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def write(folder: Path, files: Files) -> None:
    """`folder` holds these files and nothing else."""
    for old in [one for one in folder.rglob("*") if one.is_file()]:
        old.unlink()
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def damaged_folder(files: Files, seed: str) -> Files:
    """The same damage for the same seed: one file damaged, or gone, or with another one's bytes.

    Half of what has digests gets those of the damaged file, so that it is read and not only refused.
    """
    dice = random.Random(seed)
    names = sorted(files)
    name, other = dice.choice([*names, *(one for one in names if one.endswith(".json"))]), dice.choice(names)
    way = dice.randrange(20)
    found = dict(files)
    if way == 0:
        del found[name]
    elif way == 1:
        found[name] = files[other]
    else:
        found[name] = damaged(files[name], seed)
    return _sealed(found, name) if dice.random() < 0.5 else found


def _sealed(files: Files, name: str) -> Files:
    """The digest of a file as its directory's manifest has it; as they are where no manifest names it."""
    if name not in files:
        return files
    digest = hashlib.sha256(files[name]).hexdigest()
    for manifest, key, entry in (
        ("manifest.json", "files", {"sha256": digest, "bytes": len(files[name])}),
        ("capture.json", "code", digest),
    ):
        if manifest in files and manifest != name:
            content: dict[str, Any] = json.loads(files[manifest])
            if name in content[key]:
                content[key][name] = entry
                return {**files, manifest: json.dumps(content).encode()}
    return files
