"""What compiled code does with inputs outside its contract: asked in a process of its own, which may die of it.

AOTInductor checks sizes only under `AOTI_RUNTIME_CHECK_INPUTS=1`, which a process reads once, and which also refuses
sizes that the package serves. So values are judged without it, and this says what it would refuse. Carried into a
bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workbench.protocol.artifacts import Finding
from workbench.worker.artifact.loading import open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, read_manifest
from workbench.worker.artifact.prove_cases import Golden
from workbench.worker.artifact.prove_guards import Violation, guards_answer, guards_violations
from workbench.worker.artifact.prove_layouts import LAYOUTS
from workbench.worker.tensorfile import load

APART_FLAG = "--guards"
"""With it verify.py answers the questions of this module, one line each, instead of proving."""

APART_SWITCH = "AOTI_RUNTIME_CHECK_INPUTS"
"""Environment variable that a compiled package reads (torch/_inductor/codegen/cpp_wrapper_cpu.py)."""

_APART_SECONDS = 300.0
"""For the import of torch, loading, and every question."""


def guards_apart(stage: Path, device: str, staged: bool) -> tuple[Finding | None, list[str]]:
    """The finding `guards` of a compiled package (None where there is nothing to ask with), and the words of those
    violations of its contract that it answered."""
    environment = {**os.environ, APART_SWITCH: "1"}
    try:
        done = subprocess.run(
            _apart_command(stage, device, staged),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_APART_SECONDS,
            text=True,
            check=False,
        )
        lines, died = done.stdout.splitlines(), done.returncode
    except subprocess.TimeoutExpired as problem:
        said = problem.stdout or b""
        lines, died = (said.decode() if isinstance(said, bytes) else said).splitlines(), -9
    except OSError as problem:
        return Finding("guards", f"could not be asked: {problem.strerror or problem}"), []
    told = [line.split("\t", 2) for line in lines if line.count("\t") == 2]
    answered = [words for where, what, words in told if (where, what) == ("outside", "answers")]
    return _apart_finding(told, died), answered


def _apart_command(stage: Path, device: str, staged: bool) -> list[str]:
    """The same questions in a fresh interpreter: verify.py asks itself, a worker its own package."""
    if __name__ == "__main__":
        return [sys.executable, "-I", str(Path(__file__).resolve()), APART_FLAG, "--device", device]
    root = str(Path(__file__).resolve().parents[3])
    code = (
        f"import sys; from pathlib import Path; sys.path.insert(0, {root!r})\n"
        "from workbench.worker.artifact.guards_apart import apart_main\n"
        f"apart_main(Path({str(stage)!r}), {device!r}, {staged!r})\n"
    )
    return [sys.executable, "-I", "-c", code]


def apart_main(stage: Path, device: str, staged: bool) -> None:
    """Ask every question under the switch; a line before and after each, so that a death says during which."""
    manifest = read_manifest(stage, staged)
    opened = open_artifact(stage, manifest, device)
    golden = Golden(load(str(stage / MANIFEST_GOLDEN)), manifest)
    questions = [("outside", one, 0) for one in guards_violations(golden, device)]
    sizes: dict[int, int] = {}
    for index in range(golden.count):
        sizes.setdefault(golden.batch(index), index)
    inside = {index: f"batch {size}" if size else "the example" for size, index in sizes.items()}
    questions += [("inside", Violation(words), index) for index, words in inside.items()]
    inputs = golden.part(0, "input")
    for name in manifest.get("layouts") or ():
        questions.append(("layout", Violation(f"{name} inputs", dict.fromkeys(inputs, LAYOUTS[name])), 0))
    for where, violation, index in questions:
        _apart_say(where, "asking", violation.words)
        answer = guards_answer(opened, golden, device, violation, index)
        _apart_say(where, "answers" if answer else "refuses", violation.words)


def _apart_say(where: str, what: str, words: str) -> None:
    sys.stdout.write(f"{where}\t{what}\t{words}\n")
    sys.stdout.flush()


def _apart_finding(lines: list[list[str]], died: int) -> Finding | None:
    found: dict[tuple[str, str], list[str]] = {}
    for where, what, words in lines:
        found.setdefault((where, what), []).append(words)
    told = {(where, words) for where, what, words in lines if what != "asking"}
    deadly = [words for where, what, words in lines if what == "asking" and (where, words) not in told]
    if not lines:
        return Finding("guards", f"could not be asked: the process for it ended with exit code {died}")
    refuses = ", ".join(found.get(("outside", "refuses"), []))
    answers = ", ".join(found.get(("outside", "answers"), []))
    inside = ", ".join(found.get(("inside", "refuses"), []))
    words = f"with {APART_SWITCH}=1 it " + (f"refuses {refuses}" if refuses else "refuses nothing that was tried")
    words += f", answers {answers}" if answers else ""
    words += f", and dies of {deadly[0]}" if deadly else ""
    if inside:
        words += f"; but it also refuses {inside} of its own contract"
        remedy = f"Deploy it without {APART_SWITCH}, and check rank, dtype and sizes before the call."
    else:
        words += "; every size of the contract is served"
        remedy = f"Deploy it with {APART_SWITCH}=1 in its environment."
    layouts = found.get(("layout", "refuses"), [])
    if layouts:
        words += f"; of memory layouts it refuses {', '.join(layouts)}"
        remedy += "" if inside else " Give it contiguous inputs then."
    return Finding("guards", f"without a switch only declared ranges are checked; {words}", remedy)
