"""Keeps a counterexample: as a further golden case that the proof judges, and as a script that shows both answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from workbench.protocol import files
from workbench.worker.artifact.golden import FILE
from workbench.worker.artifact.searched import Searched
from workbench.worker.artifact.subject import Subject
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.artifact.verify_text import verify_text
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.tensorfile import load, save

SCRIPT = "counterexample.py"

VERIFY = "verify.py"
"""What the script needs beside it; exports have it from the start."""

_TEXT = '''#!/usr/bin/env python3
"""Shows an input on which this artifact and the eager model part: python counterexample.py

Needs what verify.py beside it needs. The input is case {index} of golden.safetensors: {words}
"""

import sys

# Python looks for modules beside a script first: a file that was put there would run before it is refused
alone = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
if not alone:
    del sys.path[0]

import os

script = os.path.join(os.path.dirname(os.path.realpath(__file__)), "verify.py")
command = [sys.executable, *(["-I"] if sys.flags.isolated else []), script, "--case", "{index}", *sys.argv[1:]]
os.execv(sys.executable, command)
'''


def keep(searched: Searched, subject: Subject, stage: Path, manifest: dict[str, Any]) -> None:
    """Add what was found to the golden data and to `manifest`, with a script beside them and verify.py, which it needs;
    or only what was covered.

    Raises `WorkbenchError("write")`.
    """
    finding = searched.finding()
    parts = searched.parts
    manifest["search"] = {
        "words": finding.words, "remedy": finding.remedy, "parts": parts.words, "ways": parts.ways,
    }  # fmt: skip
    if searched.rewritten:
        manifest["rewritten"] = searched.rewritten
    found = searched.found
    if found is None:
        return
    index = len(manifest["cases"])
    tensors = load(str(stage / FILE))
    cut = f"case.{index:02d}"
    values = zip(subject.names, (*found.input.args, *found.input.kwargs.values()), strict=True)
    given = [leaf for name, value in values for leaf in flatten_plain(value, name).leaves]
    for word, leaves in (
        ("input", given),
        ("after", list(found.after.items())),
        ("output", found.eager.leaves),
        ("float64", list(found.exact.items())),
    ):
        tensors.update({f"{cut}.{word}.{path}": _whole(leaf) for path, leaf in leaves})
    entry: dict[str, Any] = {
        "seed": found.input.seed, "batch": found.input.batch, "scale": 1.0, "kind": "counterexample",
        "words": f"{found.input.words}: {found.difference}",
    }  # fmt: skip
    if found.input.sizes:
        entry["sizes"] = dict(found.input.sizes)
    if found.eager.structure != manifest["output"]["structure"]:
        entry["output"] = {"structure": found.eager.structure, "paths": [path for path, _ in found.eager.leaves]}
    manifest["cases"].append(entry)
    save_or_raise(lambda path: save(path, tensors, {"made by": "workbench"}), stage / FILE)
    if not (stage / VERIFY).exists():
        files.write_text(stage / VERIFY, verify_text())
    words = entry["words"].replace("\\", "/").replace(chr(34), "'")
    files.write_text(stage / SCRIPT, _TEXT.format(index=index, words=" ".join(words.split())))


def _whole(leaf: torch.Tensor) -> torch.Tensor:
    return leaf.detach().cpu().resolve_conj().resolve_neg().contiguous().clone()
