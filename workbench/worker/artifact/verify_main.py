"""The command line of a bundle's verify.py. Last of the carried modules; inside the workbench nobody calls it.

Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import Proof
from workbench.protocol.runs import IDENTICAL, NOISE, SIGNS
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.guards_apart import APART_FLAG, apart_main
from workbench.worker.artifact.loading import open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, read_manifest
from workbench.worker.artifact.prove import prove
from workbench.worker.artifact.prove_cases import Golden, case_answer, yardstick_of
from workbench.worker.judge.compare import compare
from workbench.worker.judge.verdict import judge
from workbench.worker.tensorfile import load

VERIFY_EXITS = {"pass": 0, "fail": 1, "error": 3}
"""The exit codes of `workbench verify` for the same verdicts."""

VERIFY_UNTRUSTED = 5
"""Its exit code for what nobody said yes to."""


def main() -> int:
    """Prove the bundle in which this script lies; print the report; return the exit code."""
    parser = argparse.ArgumentParser(description="Prove this bundle with Python and torch alone.")
    parser.add_argument(
        "--architecture", default="", metavar="file.py:Name", help="for weights: what to fill with them"
    )
    parser.add_argument("--kwargs", default="", metavar="JSON", help="for --architecture; default: the manifest's")
    parser.add_argument(
        "--trust", default="", metavar="sha256:…", help="of manifest.json: nothing is loaded unless it is this one"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(APART_FLAG, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.guards:
        apart_main(Path(__file__).resolve().parent, given.device, False)
        return 0
    try:
        kwargs = json.loads(given.kwargs) if given.kwargs else None
    except ValueError as problem:
        parser.error(f"--kwargs is no JSON: {problem}")
    architecture = given.architecture
    place, separator, name = architecture.rpartition(":")
    if place.endswith(".py") and Path(place).exists():
        architecture = f"{Path(place).resolve()}{separator}{name}"
    stage = Path(__file__).resolve().parent
    if given.trust and (untrusted := _verify_untrusted(stage, given.trust)):
        said = {"schema": 1, "verdict": "error", "error": untrusted}
        sys.stdout.write((json.dumps(said) if given.json else untrusted["message"]) + "\n")
        return VERIFY_UNTRUSTED
    blocked = () if architecture else None
    proof = prove(stage, blocked, given.device, given.threads, architecture, kwargs)
    lines = [_verify_json(proof)] if given.json else _verify_lines(stage, proof)
    sys.stdout.write("\n".join(lines) + "\n")
    return VERIFY_EXITS[proof.verdict]


def _verify_untrusted(stage: Path, trusted: str) -> dict[str, str]:
    """The error when the manifest is not the one of digest `trusted`; empty when it is."""
    try:
        found = file_sha256(stage / "manifest.json")[0]
    except (ValueError, OSError) as problem:
        found = f"not to be had ({problem})"
    if found == trusted.removeprefix("sha256:").lower():
        return {}
    message = _verify_printable(f"manifest.json is not what was trusted: its sha256 is {found}. Nothing was loaded.")
    return {"kind": "trust", "message": message, "where": "manifest.json",
            "remedy": "Get the bundle again from where it was made."}  # fmt: skip


def show_case(stage: Path, index: int) -> int:
    """Print the inputs of one golden case, eager's recorded answer and the artifact's; 1 when they differ, else 0."""
    manifest = read_manifest(stage)
    golden = Golden(load(str(stage / MANIFEST_GOLDEN)), manifest)
    opened = open_artifact(stage, manifest, "cpu")
    lines = [f"case {index}: {manifest['cases'][index].get('words') or ''}"]
    lines += [f"{name}: {_verify_tensor(value)}" for name, value in golden.part(index, "input").items()]
    eager, answer = golden.eager(index), case_answer(opened, golden, index, "cpu")
    lines += [f"eager    {path}: {_verify_tensor(value)}" for path, value in eager.leaves]
    if isinstance(answer, str):
        lines.append(f"artifact raises {answer}")
        parts = True
    else:
        lines += [f"artifact {path}: {_verify_tensor(value)}" for path, value in answer.leaves]
        structure, diffs = compare(eager, answer)
        lines += [structure] if structure else []
        lines += [f"{diff.path} differs by {diff.max_abs:.6g} at {list(diff.worst_index)}" for diff in diffs
                  if diff.mismatched]  # fmt: skip
        bad = [diff for diff in diffs if judge(diff, yardstick_of(manifest)).mark not in (IDENTICAL, NOISE)]
        parts = bool(structure or bad)
    lines.append("they part" if parts else "they agree")
    sys.stdout.write("\n".join(_verify_printable(line) for line in lines) + "\n")
    return int(parts)


def _verify_tensor(value: torch.Tensor) -> str:
    few = value.flatten()[:12].tolist()
    numbers = ", ".join(f"{one:.7g}" if isinstance(one, float) else str(one) for one in few)
    more = f", … {value.numel()} in all" if value.numel() > 12 else ""
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)} {numbers}{more}"


def _verify_lines(stage: Path, proof: Proof) -> list[str]:
    lines = []
    for row in proof.checks:
        cause = f" ({row.cause})" if row.cause else ""
        lines.append(f"{row.status:<6}{row.id:<15}{row.evidence}{cause}")
    lines += [f"{'note':<6}{finding.id:<15}{finding.words}" for finding in proof.findings]
    words = {"pass": "proven", "fail": "refused", "error": "could not be proven"}[proof.verdict]
    sign = SIGNS["beyond"] if proof.verdict == "fail" else SIGNS[proof.mark]
    if proof.verdict == "pass" and not proof.cases:
        words = "hashes, names and shapes hold; no answer was compared, for that wants --architecture"
    lines.append(f"{sign} {words}: {proof.cases} cases, torch {proof.torch}, python {proof.python}")
    try:
        lines.append(f"manifest sha256:{file_sha256(stage / 'manifest.json')[0]}")
    except ValueError:
        lines.append("there is no manifest.json")
    return [_verify_printable(line) for line in lines]


def _verify_printable(line: str) -> str:
    """Nothing of a file's may steer a terminal."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in line)


def _verify_json(proof: Proof) -> str:
    record = _verify_plain(dataclasses.asdict(proof))
    record = {"schema": 1, **record, "modules": sorted({name.partition(".")[0] for name in sys.modules})}
    return json.dumps(record, allow_nan=False)


def _verify_plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _verify_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_verify_plain(item) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(main())
