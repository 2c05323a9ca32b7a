"""A worker for the flows: makes and proves files as the recipe's `how` says, without torch."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # an isolated interpreter does not do that

import speech

from workbench.protocol.artifacts import CheckRow, Finding, Inspection, Made, Proof
from workbench.protocol.failures import Failure
from workbench.protocol.messages import Inspect, MakeArtifact, MakeGolden, MeasureNoise, Progress, Prove
from workbench.protocol.results import done, failed
from workbench.protocol.runs import Yardstick


def behave(how: str, job: int) -> None:
    """What may go wrong on the way."""
    if how == "crash":
        os.abort()
    if how == "hang":
        speech.send(Progress("hanging", 0.0, 0.0, 0.0), job)
        time.sleep(60)


def make(request: Any, job: int) -> Any:
    stage, how = Path(request.stage), request.recipe.kwargs.get("how", "fine")
    speech.send(Progress("building the model", 0.0, 0.0, 0.0), job)
    (stage / "model.pt2").write_bytes(b"artifact")
    (stage / "golden.safetensors").write_bytes(b"golden")
    behave(how, job)
    if how == "fail":
        return failed(Failure("export", "Could not be traced.", "net.py:41"))
    manifest = {"kind": "export", "how": request.recipe.kwargs.get("proof", "fine"), "yardstick": {"kind": "float64"},
                "blocked": request.recipe.kwargs.get("blocked", ["net.py"]), "made_by": sys.executable,
                "cases": request.recipe.kwargs.get("cases", [])}  # fmt: skip
    digest = getattr(request, "sha256", "") or "0" * 64
    return done(Made("export", "model.pt2", 8, 0.1, digest, None, ("x[0] = batch",), (), (), manifest))


def prove(request: Prove, job: int) -> Any:
    stage = Path(request.stage)
    manifest = json.loads((stage / "manifest.json").read_text())
    files = sorted(str(path.relative_to(stage)) for path in stage.rglob("*") if path.is_file())
    print("proving", {
        "cwd": os.listdir("."), "isolated": sys.flags.isolated, "files": files, "blocked": request.blocked,
        "links": sorted(str(path.relative_to(stage)) for path in stage.rglob("*") if path.is_symlink()),
        "made_by": manifest.get("made_by"), "staged": request.staged, "python": sys.executable,
        "made": sorted(manifest.get("made", {})), "yardstick": manifest["yardstick"]["kind"],
    }, file=sys.stderr, flush=True)  # fmt: skip
    behave(manifest["how"], job)
    verdict = "fail" if manifest["how"] == "no" else "pass"
    row = CheckRow("values", verdict, "max|Δ| 0.1" if verdict == "fail" else "16 cases hold")
    found = tuple(Finding(case["kind"], "a case") for case in manifest.get("cases", ()))
    return done(Proof(
        verdict, "beyond" if verdict == "fail" else "identical", (row,), found, (), 16, 1.0, "float64", "", 0.5, 0.1,
        "3.11", "2.13", True,
    ))  # fmt: skip


def answer(body: Any, job: int) -> Any:
    match body:
        case MakeArtifact() | MakeGolden():
            return make(body, job)
        case Prove():
            return prove(body, job)
        case MeasureNoise():
            behave(body.recipe.kwargs.get("how", "fine"), job)
            return done(Yardstick("tolerance", reason="a test"))
        case Inspect():
            return done(Inspection(body.path, "unknown", "DATA", 0, "", (), 0, 0, (), (), {}, (), ()))
    return done()


if __name__ == "__main__":
    speech.greet(ready=speech.ROLE != "inspect")
    for envelope in speech.requests():
        threading.Thread(target=lambda one=envelope: speech.send(answer(one.body, one.job), one.job)).start()
    os._exit(0)
