"""What a bundle's verify.py prints and the codes that it ends with: a proof as lines for people, or as one JSON object.

Carried into a bundle's verify.py: the standard library and carried modules only, so that it can be said without torch.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

from workbench.protocol.artifacts import Proof
from workbench.protocol.proven import UNCOMPARED, proof_words
from workbench.protocol.runs import SIGNS
from workbench.worker.artifact.clean import file_sha256

VERIFY_EXITS = {"pass": 0, "fail": 1, "error": 3}
"""The exit codes of `workbench verify` for the same verdicts."""

VERIFY_USAGE = 2
"""Its exit code, and argparse's, for what makes no sense."""

VERIFY_ENGINE = 4
"""Its exit code when the process that proves was ended, or ended by itself without a verdict."""

VERIFY_UNTRUSTED = 5
"""Its exit code for what nobody said yes to."""

VERIFY_INTERNAL = 70
"""Its exit code for an error of our own."""

VERIFY_INTERRUPTED = 130


def verify_say_proof(stage: Path, proof: Proof, as_json: bool) -> None:
    """Print a proof of what lies in `stage`."""
    _verify_print([_verify_json(proof)] if as_json else _verify_lines(stage, proof))


def verify_say_error(kind: str, message: str, where: str, remedy: str, as_json: bool) -> None:
    """Print what kept a verdict from being reached, in the form of the command line's errors."""
    failure = {"kind": kind, "message": message, "where": where, "remedy": remedy}
    said = json.dumps({"schema": 1, "verdict": "error", "error": failure})
    _verify_print([said] if as_json else [verify_printable(line) for line in (message, remedy) if line])


def verify_say_lines(lines: list[str]) -> None:
    """Print lines, cleaned."""
    _verify_print([verify_printable(line) for line in lines])


def verify_printable(line: str) -> str:
    """Nothing of a file's may steer a terminal."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in line)


def _verify_print(lines: list[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _verify_lines(stage: Path, proof: Proof) -> list[str]:
    lines = []
    for row in proof.checks:
        cause = f" ({row.cause})" if row.cause else ""
        lines.append(f"{row.status:<6}{row.id:<15}{row.evidence}{cause}")
    lines += [f"{'note':<6}{finding.id:<15}{finding.words}" for finding in proof.findings]
    sign, words = SIGNS["beyond"] if proof.verdict == "fail" else SIGNS[proof.mark], proof_words(proof)
    if words == UNCOMPARED:
        words += " (an answer wants --architecture)"
    versions = "".join(f", {name} {one}" for name, one in (("torch", proof.torch), ("python", proof.python)) if one)
    cases = f": {proof.cases} cases" if proof.cases else ""
    lines.append(f"{sign} {words}{cases}{versions}")
    try:
        lines.append(f"manifest sha256:{file_sha256(stage / 'manifest.json')[0]}")
    except ValueError:
        lines.append("there is no manifest.json")
    return [verify_printable(line) for line in lines]


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
