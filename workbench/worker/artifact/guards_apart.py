"""What compiled code does with inputs outside its contract: asked in processes of their own, which may die of it.

AOTInductor checks inputs only under `AOTI_RUNTIME_CHECK_INPUTS=1`, which a process reads once, and which also refuses
sizes that the package serves. So values are judged without it. Every question outside the contract is asked without
it, too, and again with it, so that what is said about either setting was seen. Carried into a bundle's verify.py:
torch, the standard library and carried modules only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.protocol.artifacts import Finding
from workbench.worker.artifact.loading import open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, read_manifest
from workbench.worker.artifact.open_aoti import AOTI_SWITCH
from workbench.worker.artifact.prove_cases import Golden
from workbench.worker.artifact.prove_guards import Tried, Violation, guards_answer, guards_violations
from workbench.worker.artifact.prove_layouts import LAYOUTS
from workbench.worker.tensorfile import load

APART_FLAG = "--guards"
"""With it, the number of a question and that of a case, verify.py answers the questions of this module from there on,
instead of proving."""

APART_REFUSES, APART_ANSWERS, APART_DIES, APART_LATE, APART_UNASKED = (
    "refuses",
    "answers",
    "dies of",
    "finds no end with",
    "was not asked about",
)
"""What can come of a question, in the order in which it is told."""

_APART_SECONDS = 300.0
"""For every question under one setting of the switch, with the import of torch and loading."""

_APART_DEATHS = 4
"""Processes that may die of a question before the rest is not asked."""


@dataclass
class ApartAsked:
    """What the package does under one setting of the switch."""

    plan: list[tuple[str, str]] = field(default_factory=list)
    """(where, words) of each question: "outside" or "inside" its contract, or "layout"."""
    fates: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Number of a question → (what came of it, what was answered)."""
    ended: str = ""
    """Why not everything was asked; empty when everything was."""

    def words(self, where: str, fate: str) -> list[str]:
        """The questions of one kind that came to `fate`, with the answer where there was one."""
        found = []
        for number, (place, words) in enumerate(self.plan):
            came, answer = self.fates.get(number, (APART_UNASKED, ""))
            if (place, came) == (where, fate):
                found.append(f"{words} (with {answer})" if answer else words)
        return found

    def said(self, where: str) -> str:
        """ "refuses x as float64[4,5], dies of no x": everything of one kind."""
        fates = (APART_REFUSES, APART_ANSWERS, APART_DIES, APART_LATE, APART_UNASKED)
        return ", ".join(f"{fate} {', '.join(words)}" for fate in fates if (words := self.words(where, fate)))

    def all(self, where: str, fate: str) -> bool:
        """Whether every question of one kind was asked and came to `fate`."""
        numbers = [number for number, (place, _) in enumerate(self.plan) if place == where]
        return all(self.fates.get(number, ("", ""))[0] == fate for number in numbers)

    def tried(self, violations: Iterable[Violation]) -> list[Tried]:
        """What came of violations of the contract; a death and a call without end are no refusals."""
        outside = {words: number for number, (where, words) in enumerate(self.plan) if where == "outside"}
        found = []
        for one in violations:
            fate, answer = self.fates.get(outside.get(one.words, -1), (APART_UNASKED, ""))
            lost = {APART_DIES: "the death of its process", APART_LATE: f"no end within {_APART_SECONDS:g} s"}
            found.append(Tried(one, lost.get(fate, answer), fate != APART_UNASKED))
        return found


def guards_apart(stage: Path, device: str, staged: bool, base: int) -> tuple[Finding, ApartAsked]:
    """The finding `guards` of a compiled package, and what it does without the switch.

    base: number of a case that it answers, whose inputs the questions change.
    """
    plain = _apart_ask(stage, device, staged, base, False)
    return _apart_finding(plain, _apart_ask(stage, device, staged, base, True)), plain


def _apart_ask(stage: Path, device: str, staged: bool, base: int, switched: bool) -> ApartAsked:
    """Every question, in a new process after each that died of one."""
    asked, until = ApartAsked(), time.monotonic() + _APART_SECONDS
    environment = {name: value for name, value in os.environ.items() if name != AOTI_SWITCH}
    environment.update({AOTI_SWITCH: "1"} if switched else {})
    for _ in range(_APART_DEATHS):
        command = _apart_command(stage, device, staged, base, len(asked.fates))
        lines, code = _apart_run(command, environment, until - time.monotonic())
        if _apart_heard(asked, lines, code) or code is None:
            break
    return asked


def _apart_run(command: list[str], environment: dict[str, str], seconds: float) -> tuple[list[str], int | str | None]:
    """What a process wrote, and its exit code; None: it was ended, for its time was up; words: it did not start."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=max(seconds, 1.0),
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        return (problem.stdout or b"").decode("utf-8", "replace").splitlines(), None
    except OSError as problem:
        return [], f"the process for it does not start: {problem.strerror or problem}"
    return done.stdout.decode("utf-8", "replace").splitlines(), done.returncode


def _apart_heard(asked: ApartAsked, lines: Sequence[str], code: int | str | None) -> bool:
    """Add what a process told to `asked`; whether there is nothing left that another process could be asked."""
    asking = None
    for line in lines:
        try:
            what, number, text = json.loads(line)
        except (ValueError, TypeError):
            continue  # native code may write there, too
        if what == "plan":
            asked.plan = [(str(where), str(words)) for where, words in text]
        elif what == "asking":
            asking = number
        else:
            asked.fates[number], asking = (what, text), None
    if asking is not None:
        asked.fates[asking] = (APART_LATE if code is None else APART_DIES, "")
    if asked.plan and len(asked.fates) == len(asked.plan):
        asked.ended = ""
        return True
    asked.ended = code if isinstance(code, str) else f"the process for it ended with exit code {code}"
    if code is None:
        asked.ended = f"its {_APART_SECONDS:g} s were over"
    return asking is None


def _apart_command(stage: Path, device: str, staged: bool, base: int, first: int) -> list[str]:
    """The same questions in a fresh interpreter: verify.py asks itself, a worker its own package."""
    if __name__ == "__main__":
        here = str(Path(__file__).resolve())
        return [sys.executable, "-I", here, APART_FLAG, str(first), str(base), "--device", device]
    root = str(Path(__file__).resolve().parents[3])
    code = (
        f"import sys; from pathlib import Path; sys.path.insert(0, {root!r})\n"
        "from workbench.worker.artifact.guards_apart import apart_main\n"
        f"apart_main(Path({str(stage)!r}), {device!r}, {staged!r}, {first}, {base})\n"
    )
    return [sys.executable, "-I", "-c", code]


def apart_main(stage: Path, device: str, staged: bool, first: int, base: int) -> None:
    """Ask every question about case `base` from number `first` on; a line before and after each, so that a death says
    during which."""
    manifest = read_manifest(stage, staged)
    golden = Golden(load(str(stage / MANIFEST_GOLDEN)), manifest)
    questions = [("outside", one, base) for one in guards_violations(golden, device, base)]
    if os.environ.get(AOTI_SWITCH) == "1":  # without it the proof itself asks these
        questions += _apart_inside(golden, base)
    _apart_say("plan", 0, [(where, violation.words) for where, violation, _ in questions])
    opened = open_artifact(stage, manifest, device)
    for number, (_, violation, index) in enumerate(questions):
        if number >= first:
            _apart_say("asking", number, "")
            answer = guards_answer(opened, golden, device, violation, index)
            _apart_say(APART_ANSWERS if answer else APART_REFUSES, number, answer)


def _apart_inside(golden: Golden, base: int) -> list[tuple[str, Violation, int]]:
    """One case of each size, and each memory layout: what a setting must not refuse."""
    sizes: dict[int, int] = {}
    for index in range(golden.count):
        sizes.setdefault(golden.batch(index), index)
    found = [("inside", Violation(f"batch {size}" if size else "the example"), at) for size, at in sizes.items()]
    inputs = golden.part(base, "input")
    for name in golden.manifest.get("layouts") or ():
        found.append(("layout", Violation(f"{name} inputs", dict.fromkeys(inputs, LAYOUTS[name])), base))
    return found


def _apart_say(what: str, number: int, text: object) -> None:
    sys.stdout.write(f"{json.dumps([what, number, text])}\n")
    sys.stdout.flush()


def _apart_finding(plain: ApartAsked, switched: ApartAsked) -> Finding:
    """Both settings in words, and the one that the deployment needs."""
    if not plain.fates:
        return Finding("guards", f"could not be asked: {plain.ended}")
    guarded = plain.all("outside", APART_REFUSES)
    words = f"{'guarded' if guarded else 'unguarded'}: without a switch it {plain.said('outside')}"
    words += f" ({plain.ended})" if plain.ended else ""
    words += f"; with {AOTI_SWITCH}=1 "
    if not switched.fates:
        return Finding("guards", f"{words}it could not be asked: {switched.ended}", _APART_CHECK)
    words += (
        "it does the same" if switched.said("outside") == plain.said("outside") else f"it {switched.said('outside')}"
    )
    served = switched.all("inside", APART_ANSWERS)
    if served:
        words += "; every size of the contract is served"
    else:
        other = [f"{fate} {', '.join(found)}" for fate in (APART_REFUSES, APART_DIES, APART_LATE, APART_UNASKED)
                 if (found := switched.words("inside", fate))]  # fmt: skip
        words += f"; but of its own contract it {', '.join(other)}"
    layouts = switched.words("layout", APART_REFUSES)
    words += f"; of memory layouts it refuses {', '.join(layouts)}" if layouts else ""
    if guarded:
        return Finding("guards", words, f"Deploy it without {AOTI_SWITCH}: it guards itself.")
    if not served:
        return Finding("guards", words, f"Deploy it without {AOTI_SWITCH}. {_APART_CHECK}")
    contiguous = " Give it contiguous inputs then." if layouts else ""
    return Finding("guards", words, f"Deploy it with {AOTI_SWITCH}=1 in its environment.{contiguous}")


_APART_CHECK = "Check rank, dtype and sizes before the call."
