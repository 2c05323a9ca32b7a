"""From the measurements of a proof to its rows: structure, nonfinite, values, sizes, repeat.

Pure: records in, rows out. Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, SIGNS, LeafDiff, Yardstick
from workbench.worker.artifact.prove_cases import CaseResult, Golden
from workbench.worker.judge.cases import LeafVerdict
from workbench.worker.judge.verdict import judge

_ROWS_BAD = (BEYOND, INCOMPARABLE)

_ROWS_NO_NAN = ("onnx", "runner")
"""Kinds whose runtimes promise nothing about NaN."""


def structure_row(results: list[CaseResult], golden: Golden) -> CheckRow:
    """The same tree, shapes and dtypes as eager's answer, in every case that answered."""
    wrong = [one for one in results if one.structure]
    answered = [one for one in results if not one.raised]
    if wrong:
        evidence = f"case {wrong[0].index}: {wrong[0].structure} (eager's is named first)"
        return CheckRow("structure", "fail", evidence, f"{len(wrong)} of {len(answered)} cases differ from eager")
    if not answered:
        return CheckRow("structure", "fail", _rows_raised(results), "no case could be run")
    leaves = len(golden.manifest["output"]["paths"])
    words = f"{leaves} tensor{'s' if leaves != 1 else ''}, shapes and dtypes as eager's in {len(answered)} cases"
    return CheckRow("structure", "pass", words)


def nonfinite_row(results: list[CaseResult], given_nan: list[CaseResult], kind: str) -> CheckRow:
    """NaN and infinity stand where eager has them, and nowhere else; an output that is never finite proves nothing.

    given_nan: cases whose inputs hold a NaN. Runtimes other than torch do not promise what becomes of it (ONNX
    Runtime drops it in max-pooling), so there it does not vote: `nan_finding` says it.
    """
    wrong = [one for one in results if one.nonfinite]
    if wrong:
        evidence = f"case {wrong[0].index}: {wrong[0].nonfinite}"
        return CheckRow("nonfinite", "fail", evidence, f"{len(wrong)} cases have them at other places than eager")
    compared = [one for one in results if not one.raised and not one.structure]
    if not compared:
        return CheckRow("nonfinite", "skip", "no case could be compared")
    barren = _rows_barren(compared)
    if barren:
        evidence = f"eager's {barren} has no finite number in any of {len(compared)} cases"
        remedy = "Mend the model: workbench check names the module at which it begins."
        return CheckRow("nonfinite", "fail", evidence, "answers of NaN or infinity alone agree with anything", remedy)
    found = sum(diff.nan_a + diff.inf_a for one in compared for diff in one.leaves)
    words = f"{found} NaN or infinite, at the same places as eager's" if found else "no NaN, no infinity"
    wrong_nan = _rows_nan_wrong(given_nan)
    if wrong_nan and kind not in _ROWS_NO_NAN:
        return CheckRow("nonfinite", "fail", wrong_nan, "a NaN in the input does not come out where eager has it")
    if given_nan and not wrong_nan:
        spread = sum(diff.nan_a for one in given_nan for diff in one.leaves)
        words += f"; a NaN in the input comes out at eager's {spread} places" if spread else (
            "; a NaN in the input reaches no output, as in eager"
        )  # fmt: skip
    return CheckRow("nonfinite", "pass", words)


def nan_finding(given_nan: list[CaseResult], kind: str) -> Finding | None:
    """What another runtime makes of a NaN that eager lets through; None where it votes."""
    wrong = _rows_nan_wrong(given_nan)
    if kind not in _ROWS_NO_NAN or not wrong:
        return None
    return Finding("nan", f"given a NaN: {wrong}", "Check inputs for NaN before the call: this runtime may hide it.")


def _rows_nan_wrong(given_nan: list[CaseResult]) -> str:
    """How the answer to a NaN differs from eager's; empty where it does not."""
    return next((one.raised or one.structure or one.nonfinite for one in given_nan
                 if one.raised or one.structure or one.nonfinite), "")  # fmt: skip


def values_row(results: list[CaseResult], leaves: list[LeafVerdict], golden: Golden) -> CheckRow:
    """Every output leaf within the yardstick, pooled over the cases."""
    reason = golden.manifest.get("not_comparable") or ""
    if reason:
        remedy = "Make the model repeatable (eval, or a seed of its own), then export again."
        return CheckRow("values", "fail", f"not comparable: {reason}", "eager itself does not repeat", remedy)
    if not leaves:
        return CheckRow("values", "fail", _rows_raised(results) or "no case could be compared", "nothing was compared")
    compared = sum(1 for one in results if not one.raised and not one.structure)
    bad = [leaf for leaf in leaves if leaf.mark in _ROWS_BAD]
    worst = max(bad or leaves, key=lambda leaf: leaf.multiple)
    words = f"{SIGNS[worst.mark]} {worst.path} {_rows_words(worst, f'over {compared} cases')}"
    if not bad:
        return CheckRow("values", "pass", words)
    case = golden.manifest["cases"][worst.case]
    where = f"batch {case.get('batch')}, scale {case.get('scale')}, {case.get('kind')}, seed {case.get('seed')}"
    cause = f"furthest in case {worst.case} ({where}): {_rows_element(worst.worst)}"
    searched = golden.manifest.get("search") or {}
    cause = f"{rows_parts(searched['parts'])}{cause}" if searched.get("parts") else cause
    kind = golden.manifest["kind"]
    remedy = _ROWS_ONE_PATH.get(kind, "") if searched.get("ways") else rows_again(kind)
    return CheckRow("values", "fail", words, cause, remedy)


def rows_parts(words: str) -> str:
    """How a cause begins that says where both part."""
    return f"where they part: {words}; "


def sizes_row(results: list[CaseResult], leaves: list[LeafVerdict], yardstick: Yardstick, golden: Golden) -> CheckRow:
    """Every batch size of the contract answered, and within the yardstick by itself."""
    batch = golden.manifest.get("batch") or {}
    groups: dict[tuple[tuple[str, int], ...], list[CaseResult]] = {}
    for one in results:
        groups.setdefault(_rows_sizes(golden, one), []).append(one)
    beyond: list[tuple[tuple[str, int], ...]] = []
    right: list[tuple[tuple[str, int], ...]] = []
    mixed, others = False, 0
    unserved: dict[str, list[tuple[str, tuple[tuple[str, int], ...]]]] = {}
    for size, cases in sorted(groups.items()):
        raised = next((one.raised for one in cases if one.raised), "")
        shaped = next((one.structure for one in cases if one.structure), "")
        if raised or shaped:  # what differs in its numbers alone is told once
            unserved.setdefault(re.sub(r"\d+", "", raised or shaped), []).append((raised or shaped, size))
            others += not raised
        else:
            share = _rows_bad_share(cases, leaves, yardstick)
            mixed = mixed or 0 < share < 1
            (beyond if share == 1 else right).append(size)
    wrong = [f"{_rows_named([size for _, size in alike])}: {alike[0][0]}" for alike in unserved.values()]
    sizes = _rows_named(sorted(groups))
    if len(groups) > 1 and others == len(groups):
        return CheckRow("sizes", "skip", f"nothing was compared at {sizes}: it is not the size, see structure")
    if not mixed:  # otherwise it is not the size that makes the difference
        wrong += _rows_apart(beyond, right)
    if declared := batch.get("declared"):
        wrong.insert(0, f"{sizes} only, where batch {declared[0]}..{declared[1]} was declared, which eager serves")
    if wrong:
        return CheckRow("sizes", "fail", "; ".join(wrong[:4]), *_rows_unserved(golden.manifest))
    if not batch.get("free"):
        why = batch.get("reason") or "the contract has one batch size"
        return CheckRow("sizes", "pass", f"{sizes} only: {why}")
    return CheckRow("sizes", "pass", sizes)


def _rows_apart(beyond: list[tuple[tuple[str, int], ...]], right: list[tuple[tuple[str, int], ...]]) -> list[str]:
    """In words where values differ and where they do not: by the one dimension that tells it, or by all together."""
    for name in dict.fromkeys(name for pairs in beyond for name, _ in pairs):
        bad, good = (sorted({size for pairs in side for key, size in pairs if key == name}) for side in (beyond, right))
        if bad and good and not set(bad) & set(good):
            return [f"values differ at {name} {', '.join(map(str, bad))}, not at {', '.join(map(str, good))}"]
    if not beyond or not right:
        return []
    return [f"values differ at {_rows_together(beyond)}, and not at {_rows_together(right)}"]


def _rows_together(sizes: list[tuple[tuple[str, int], ...]]) -> str:
    """ "(batch 4, length 7), (batch 5, length 16)": at most three, each with all its dimensions."""
    listed = [f"({', '.join(f'{name} {size}' for name, size in pairs)})" for pairs in sizes[:3]]
    return f"{', '.join(listed)}{' …' if len(sizes) > 3 else ''}"


def _rows_unserved(manifest: dict[str, Any]) -> tuple[str, str]:
    """Why sizes of the contract are not served, down to the line where the export knows it, and what to do."""
    known = manifest.get("worklist") or ()
    remedy = _ROWS_SIZES.get(manifest["kind"], "")
    if not known:
        return "a size of the contract that the artifact does not serve as eager does", remedy
    words = []
    for one in known[:3]:
        place = ": ".join(text for text in (one.get("where"), one.get("line")) if text)
        words.append(f"{one.get('name')} became {one.get('became')}{f' ({place})' if place else ''}")
    return "; ".join(words), known[0].get("remedy") or remedy


def _rows_sizes(golden: Golden, result: CaseResult) -> tuple[tuple[str, int], ...]:
    """Sizes of the dynamic dimensions in a case, the batch first."""
    sizes = golden.manifest["cases"][result.index].get("sizes") or {}
    return (("batch", result.batch), *((str(name), int(size)) for name, size in sorted(sizes.items())))


def _rows_named(sizes: list[tuple[tuple[str, int], ...]]) -> str:
    """ "batch 1, 2, 4; length 3, 11": for each dimension the sizes that it had, in words."""
    found: dict[str, set[int]] = {}
    for pairs in sizes:
        for name, size in pairs:
            found.setdefault(name, set()).add(size)
    return "; ".join(f"{name} {', '.join(map(str, sorted(values)))}" for name, values in found.items())


def repeat_row(words: str, diffs: tuple[LeafDiff, ...], yardstick: Yardstick, kind: str) -> CheckRow:
    """The same inputs twice, the same answer: the same bits, or within the noise (kernels may sum in another order)."""
    if words:
        return CheckRow("repeat", "fail", words, "two calls with the same inputs part")
    judged = [judge(diff, yardstick) for diff in diffs]
    bad = [diff for diff in judged if diff.mark in _ROWS_BAD]
    if bad:
        evidence = f"✗ {bad[0].path}: max|Δ| {bad[0].max_abs:.3g}, {bad[0].mismatched} of {bad[0].elements} differ"
        remedy = _ROWS_REPEAT.get(kind, "Export in eval mode; a random operator is alive in the graph, or a state.")
        return CheckRow("repeat", "fail", evidence, "two calls with the same inputs part", remedy)
    same = all(diff.mark == IDENTICAL for diff in judged)
    return CheckRow("repeat", "pass", "= identical bits twice" if same else "≈ twice within the noise")


_ROWS_REPEAT = {
    "runner": "The command keeps a state between calls, or draws numbers: let it answer from its input alone.",
    "weights": "The model keeps a state between calls, or draws numbers: let it answer from its input alone.",
}
"""Kind without a graph → what to do about answers that vary."""


def searched_findings(manifest: dict[str, Any]) -> list[Finding]:
    """What a search tried when the golden data was made, and the case that it added."""
    searched = manifest.get("search") or {}
    found = [Finding("search", searched["words"], searched.get("remedy") or "")] if searched.get("words") else []
    remedy = "python counterexample.py in the bundle shows both answers."
    for index, case in enumerate(manifest["cases"]):
        if case.get("kind") == "counterexample":
            found.append(Finding("counterexample", f"case {index}, {case.get('words') or ''}", remedy))
    return found


def _rows_bad_share(cases: list[CaseResult], leaves: list[LeafVerdict], yardstick: Yardstick) -> float:
    """Share of one size's cases that are beyond, on a leaf that is beyond over all sizes (one size pools too few)."""
    beyond = {leaf.path for leaf in leaves if leaf.mark in _ROWS_BAD}
    bad = [any(judge(diff, yardstick).mark in _ROWS_BAD for diff in one.leaves if diff.path in beyond) for one in cases]
    return sum(bad) / len(bad)


def _rows_words(leaf: LeafVerdict, over: str) -> str:
    """How far a leaf stands; the |Δ| is of the case that stands furthest, which need not have the largest."""
    if leaf.mark == IDENTICAL:
        return f"identical bits {over}"
    if leaf.worst.reason:
        return f"{leaf.worst.reason} {over}"
    limit = "limit 3" if leaf.yardstick == "float64" else "limit 1"
    of = {"float64": "eager's own noise", "given": "the given tolerance"}.get(leaf.yardstick, "the tolerance")
    if leaf.yardstick == "exact":
        return f"{leaf.worst.mismatched} of {leaf.worst.elements} differ, where none may, {over}"
    return f"{leaf.multiple:.3g}× {of} ({limit}) {over}, max|Δ| {leaf.worst.max_abs:.3g} in the furthest case"


def _rows_element(diff: LeafDiff) -> str:
    place = f"[{', '.join(str(one) for one in diff.worst_index)}]" if diff.worst_index else ""
    return f"{diff.path}{place} {diff.worst_a} became {diff.worst_b}" if diff.worst_a else diff.reason


def _rows_barren(compared: list[CaseResult]) -> str:
    """Path of the first output that is NaN or infinite throughout, in every case; empty when there is none."""
    finite: dict[str, int] = {}
    for diff in (diff for one in compared for diff in one.leaves if diff.elements):
        finite[diff.path] = finite.get(diff.path, 0) + diff.elements - diff.nan_a - diff.inf_a
    return next((path for path, count in finite.items() if count == 0), "")


def _rows_raised(results: list[CaseResult]) -> str:
    return next((f"case {one.index}: {one.raised}" for one in results if one.raised), "")


def rows_again(kind: str) -> str:
    """What to do where nothing nearer is known."""
    word = "Build again what the command runs," if kind == "runner" else "Export it again"
    return f"{word} from this model and these weights."


_ROWS_BOTH = "It keeps one path through the code: torch.where or torch.cond keeps both sides of a test on values."

_ROWS_ONE_PATH = {
    "trace": "A trace keeps one path through the code: use torch.where, or export with --to export.",
    "export": _ROWS_BOTH,
    "aoti": _ROWS_BOTH,
    "onnx": _ROWS_BOTH,
}
"""Kind → what to do where another input takes another way through the code."""

ROWS_OTHER_WEIGHTS = "Export again from this checkpoint, or name the --weights it was made from."

ROWS_DECLARE = "Make it with what may vary declared (dynamic_shapes), or ask for the sizes that it serves: --input."

_ROWS_SIZES = {
    "trace": "A trace keeps sizes that the code computes with: export with --to export, or read them from the tensors.",
    "export": ROWS_DECLARE,
    "aoti": ROWS_DECLARE,
    "onnx": ROWS_DECLARE,
}
"""Kind → what to do where a size is not served."""
