"""What is held to account: every reader of a stranger's file, and what counts as a fair answer of one."""

from __future__ import annotations

import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.unit.artifact_bench import MODELS
from workbench.cli.config import defaults
from workbench.client.arguments import arguments_in
from workbench.client.policy import policy_for
from workbench.client.spec_edits import split_specs
from workbench.protocol.captures import is_capture, read_capture
from workbench.protocol.exits import KINDS
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.inspected import InspectPair
from workbench.protocol.messages import Inspect
from workbench.protocol.model import Recipe
from workbench.protocol.spec_reader import parse
from workbench.supervisor.bundles import copy_files
from workbench.supervisor.fingerprint import fingerprint, parse_manifest, read_manifest_bytes
from workbench.supervisor.scan import scan
from workbench.worker.artifact.inspect import inspect
from workbench.worker.artifact.inspect_pair import inspect_pair
from workbench.worker.artifact.prove import prove
from workbench.worker.bench import input_files, weights
from workbench.worker.bench.captured import expanded
from workbench.worker.bench.samples import Samples
from workbench.worker.job import Job

Reader = Callable[[str], object]


def _job() -> Job:
    return Job(1, lambda body, number: None)


def _inputs(path: str) -> object:
    samples = Samples(input_files.find_files((path,), ""))
    return [samples[number] for number in range(min(len(samples), 20))]


def _pair(path: str) -> object:
    """Beside itself, with the values of what can be read."""
    return inspect_pair(InspectPair(path, path, True), _job())


def _proof(path: str) -> object:
    """As `verify` does once somebody trusted the manifest; the source is our own. Its verdict may be any; it must be
    one."""
    if not Path(path, "manifest.json").exists():
        return None
    with tempfile.TemporaryDirectory() as private:
        data = read_manifest_bytes(Path(path))
        parse_manifest(Path(path), data)
        copy_files(Path(path), Path(private), threading.Event())
        Path(private, "manifest.json").write_bytes(data)
        proof = prove(Path(private), blocked=(), architecture=f"{MODELS}:Net")
    if proof.verdict not in ("pass", "fail", "error") or not all(row.evidence for row in proof.checks):
        raise AssertionError(f"a proof that says nothing: {proof}")
    return proof


def _captured(path: str) -> object:
    """As a capture opens once somebody trusted it, but for the source: that runs."""
    if not is_capture(path):
        return None
    made = expanded(Recipe(path, trusted=read_capture(path).sha256)).recipe
    return weights.read(made.weights), [_inputs(one) for one in made.inputs_files]


def _settings(path: str) -> object:
    if not path.endswith("settings"):
        return None
    return defaults(f"{path}/model.py:Net", "check"), policy_for(f"{path}/model.py:Net")


def _specs(path: str) -> object:
    if not path.endswith("spec.txt"):
        return None
    text = Path(path).read_bytes().decode("utf-8", "replace")
    split_specs(text)
    words = [line for line in text.split("\n") if unfair(lambda line: str(parse(line)), line)]
    if words:
        raise AssertionError(unfair(lambda line: str(parse(line)), words[0]))
    return None


READERS: dict[str, Reader] = {
    "inspect": lambda path: inspect(Inspect(path), _job()),
    "pair": _pair,
    "fingerprint": lambda path: fingerprint(path, threading.Event()),
    "weights": lambda path: weights.read(path),
    "inputs": _inputs,
    "scan": lambda path: scan(path, threading.Event()) if path.endswith(".py") else None,
    "arguments": lambda path: arguments_in(path) if path.endswith((".toml", ".json")) else None,
    "proof": _proof,
    "captured": _captured,
    "settings": _settings,
    "specs": _specs,
}
"""In the order in which each file is given to them."""


def unfair(read: Reader, path: Path | str) -> str:
    """Why an answer is none: an exception that says nothing to a person. Empty for a result or a plain refusal."""
    try:
        read(str(path))
    except WorkbenchError as problem:
        failure = problem.failure
        if failure.kind not in KINDS or failure.kind == "internal":
            return f"the kind {failure.kind!r}: {failure.message}"
        if len(failure.message) < 15 or "Traceback" in failure.message:
            return f"words that say nothing: {failure.message!r}"
    except Exception as problem:  # noqa: BLE001 (whatever else a reader raises is what is looked for)
        where = traceback.extract_tb(problem.__traceback__)[-1]
        return f"{type(problem).__name__}: {problem} at {Path(where.filename).name}:{where.lineno}"
    return ""
