"""The same question again: twice in a row, from a second load, from other memory layouts. One answer is right.

Makes the row `repeat`. Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.runs import Yardstick
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_cases import CaseResult, Golden, case_answer, repeat_case
from workbench.worker.artifact.prove_layouts import layouts_difference, layouts_wrong
from workbench.worker.artifact.prove_rows import repeat_row
from workbench.worker.artifact.prove_writes import writes_row

AGAIN_LONGEST = 30.0
"""Seconds of a load from which it is not loaded a second time."""


@dataclass(frozen=True)
class SecondLoad:
    """What became of an artifact that was loaded again."""

    wrong: str = ""
    """How its answer differs, or why it did not load; empty when it agrees."""
    words: str = ""
    """What to say when nothing is wrong."""
    gone: bool = False
    """It did not load again, and what was loaded first is emptied: nothing can be called any more."""


def second_load(
    first: Opened, load: Callable[[], Opened], golden: Golden, device: str, seconds: float
) -> tuple[Opened, SecondLoad]:
    """(the artifact loaded anew, what its answer to the first case says beside that of `first`).

    `first` is emptied before, so that no more weights are held than one load needs. seconds: that it took.
    """
    if seconds > AGAIN_LONGEST:
        return first, SecondLoad(words=f"loaded once, for that takes {seconds:.0f} s")
    before = case_answer(first, golden, 0, device)
    first.call = first.program = first.tensors = None
    gc.collect()
    try:
        second = load()
        if second.unbuilt:
            raise ValueError(second.unbuilt)
    except (ValueError, OSError) as problem:
        return first, SecondLoad(f"it loads once and not twice: {problem}", gone=True)
    after = case_answer(second, golden, 0, device)
    if isinstance(before, str) or isinstance(after, str):
        if isinstance(before, str) and isinstance(after, str):
            return second, SecondLoad(words="loaded twice")  # that it does not answer is said elsewhere
        return second, SecondLoad(
            f"one of two loads answers, the other raises {before if isinstance(before, str) else after}"
        )
    words = layouts_difference(before, after, golden)
    return second, SecondLoad(f"two loads part: {words}") if words else SecondLoad(words="from two loads")


def again_row(
    opened: Opened, golden: Golden, device: str, yardstick: Yardstick, results: Sequence[CaseResult], loads: SecondLoad
) -> tuple[CheckRow, Finding | None]:
    """The row `repeat`, and what another's compiled code makes of other layouts, which it never promised to look at."""
    remedy = "Look at what it reads when it is loaded: a file, a clock, a random number."
    other = CheckRow("repeat", "fail", loads.wrong, "the same file is another artifact each time", remedy)
    if loads.gone:
        return other, None
    answered = next((one.index for one in results if not one.raised), None)
    if answered is None:
        raised = results[0].raised if results else "there is no case"
        return CheckRow("repeat", "skip", f"could not be asked, for no call answers: {raised}"), None
    row = repeat_row(*repeat_case(opened, golden, answered, device), yardstick, golden.manifest["kind"])
    if row.status != "pass":
        return row, None
    if loads.wrong:
        return other, None
    if spoilt := writes_row(one.writes for one in results):
        return spoilt, None
    wrong = layouts_wrong(opened, golden, device) if answered == 0 else {}  # of the first case eager's are known
    said = [row.evidence, loads.words]
    if not wrong:
        served = (golden.manifest.get("layouts") or ()) if answered == 0 else ()
        said += [f"the same from {', '.join(served)} inputs"] if served else []
        return replace(row, evidence="; ".join(one for one in said if one)), None
    words = "; ".join(f"{name} inputs: {one}" for name, one in wrong.items())
    remedy = "Call .contiguous() on inputs that are views before the call."
    if golden.manifest["kind"] == "aoti" and not _again_copies(golden.manifest):
        finding = Finding("layouts", f"needs contiguous inputs, and reads others as if they were ({words})", remedy)
        return replace(row, evidence="; ".join(one for one in said if one)), finding
    return CheckRow(
        "repeat", "fail", words, "the same values in another memory layout are answered otherwise", remedy
    ), None


def _again_copies(manifest: dict[str, Any]) -> bool:
    """Whether compiled code was made to copy all of its inputs to contiguous memory: ours does where it can."""
    return "as_the_example" in manifest and not manifest["as_the_example"]
