"""The command line of a bundle's verify.py. Last of the carried modules; inside the workbench nobody calls it.

Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path

import torch

from workbench.protocol.runs import IDENTICAL, NOISE
from workbench.worker.artifact.clean import file_differences, file_sha256
from workbench.worker.artifact.guards_apart import APART_FLAG, apart_main
from workbench.worker.artifact.loading import Opened, open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, read_manifest, require_golden
from workbench.worker.artifact.open_aoti import aoti_unswitched
from workbench.worker.artifact.prove import prove
from workbench.worker.artifact.prove_cases import Golden, case_answer, yardstick_of
from workbench.worker.artifact.prove_environment import load_advice, unfit_here
from workbench.worker.artifact.verify_said import (
    VERIFY_EXITS,
    VERIFY_INTERNAL,
    VERIFY_INTERRUPTED,
    VERIFY_UNTRUSTED,
    VERIFY_USAGE,
    verify_printable,
    verify_say_error,
    verify_say_lines,
    verify_say_proof,
)
from workbench.worker.artifact.verify_watch import watch_begun, watch_ended
from workbench.worker.judge.compare import compare
from workbench.worker.judge.verdict import judge
from workbench.worker.tensorfile import load


def main() -> int:
    """Prove the bundle in which this script lies, or show one case of it; print what came of it; return the exit code.

    Whatever is raised on the way ends in words and a code of its own: 1 is for a verdict.
    """
    given, stage = _verify_options(), Path(__file__).resolve().parent
    if given.guards:
        apart_main(stage, given.device, False, *given.guards)
        return 0
    watch_begun(stage, given.json)
    try:
        code = _verify_bundle(given, stage)
    except KeyboardInterrupt:
        code = VERIFY_INTERRUPTED
    except (Exception, SystemExit) as problem:  # noqa: BLE001 (whatever it is, it is told, and is no verdict)
        traceback.print_exc()
        words = f"An error of verify.py's own, and no verdict: {type(problem).__name__}: {problem}"
        remedy = "The traceback is on standard error; workbench verify proves the same bundle."
        verify_say_error("internal", words, str(stage), remedy, given.json)
        code = VERIFY_INTERNAL
    watch_ended(code)
    return code


def _verify_options() -> argparse.Namespace:
    """The command line, read; leaves with 2 for what makes no sense."""
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
    parser.add_argument("--case", type=int, metavar="N", help="instead of proving, show both answers to one case")
    parser.add_argument(APART_FLAG, type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        given.kwargs = json.loads(given.kwargs) if given.kwargs else None
    except ValueError as problem:
        parser.error(f"--kwargs is no JSON: {problem}")
    if given.case is not None and given.json:
        parser.error("--case prints text: leave --json away")
    place, separator, name = given.architecture.rpartition(":")
    if place.endswith(".py") and Path(place).exists():
        given.architecture = f"{Path(place).resolve()}{separator}{name}"
    return given


def _verify_bundle(given: argparse.Namespace, stage: Path) -> int:
    if given.trust and (found := _verify_untrusted(stage, given.trust)):
        words = f"manifest.json is not what was trusted: its sha256 is {found}. Nothing was loaded."
        remedy = "Get the bundle again from where it was made."
        verify_say_error("trust", verify_printable(words), "manifest.json", remedy, given.json)
        return VERIFY_UNTRUSTED
    if given.case is not None:
        return _verify_case(given, stage)
    blocked = () if given.architecture else None
    proof = prove(stage, blocked, given.device, given.threads, given.architecture, given.kwargs)
    verify_say_proof(stage, proof, given.json)
    return VERIFY_EXITS[proof.verdict]


def _verify_untrusted(stage: Path, trusted: str) -> str:
    """The digest of the manifest when it is not `trusted`, or why it has none; empty when it is."""
    try:
        found = file_sha256(stage / "manifest.json")[0]
    except (ValueError, OSError) as problem:
        found = f"not to be had ({problem})"
    return "" if found == trusted.removeprefix("sha256:").lower() else found


def _verify_case(given: argparse.Namespace, stage: Path) -> int:
    """Print the inputs of one golden case, eager's recorded answer and the artifact's; 1 when they differ, else 0.

    Nothing is loaded unless every digest holds.
    """
    try:
        manifest = read_manifest(stage)
        wrong = file_differences(stage, manifest["files"])
    except ValueError as problem:
        wrong = [str(problem)]
    if wrong:
        verify_say_lines([*wrong[:6], "Nothing was loaded: get the bundle again from where it was made."])
        return VERIFY_EXITS["fail"]
    index, count = given.case, len(manifest["cases"])
    if not 0 <= index < count:
        verify_say_error("usage", f"There is no case {index}.", "--case", f"The cases are 0 to {count - 1}.", False)
        return VERIFY_USAGE
    try:
        if why := unfit_here(manifest, given.device):
            raise ValueError(f"not loaded: {why}")
        aoti_unswitched()
        golden = Golden(load(str(stage / MANIFEST_GOLDEN)), manifest)
        require_golden(golden.tensors, manifest)
        opened = open_artifact(stage, manifest, given.device, given.architecture, given.kwargs)
        if opened.unbuilt:
            raise ValueError(opened.unbuilt)
    except (ValueError, OSError) as problem:
        verify_say_error("artifact", str(problem), str(stage), load_advice(manifest, str(problem)), False)
        return VERIFY_EXITS["error"]
    if opened.call is None:
        remedy = "Name what to fill: --architecture file.py:Name"
        verify_say_error("usage", "Weights alone answer nothing.", "--architecture", remedy, False)
        return VERIFY_USAGE
    lines, parts = _verify_compared(opened, golden, index, given.device)
    verify_say_lines(lines)
    return int(parts)


def _verify_compared(opened: Opened, golden: Golden, index: int, device: str) -> tuple[list[str], bool]:
    """Both answers in words, and whether they part."""
    manifest = golden.manifest
    case = manifest["cases"][index]
    lines = [f"case {index}: {case.get('words') or case.get('kind') or 'an input'}"]
    lines += [f"{name}: {_verify_tensor(value)}" for name, value in golden.part(index, "input").items()]
    eager, answer = golden.eager(index), case_answer(opened, golden, index, device)
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
    return lines, parts


def _verify_tensor(value: torch.Tensor) -> str:
    few = value.flatten()[:12].tolist()
    numbers = ", ".join(f"{one:.7g}" if isinstance(one, float) else str(one) for one in few)
    more = f", … {value.numel()} in all" if value.numel() > 12 else ""
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)} {numbers}{more}"


if __name__ == "__main__":
    sys.exit(main())
