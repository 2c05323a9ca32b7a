"""What is said of a reason, and what to do about it: remedies, another order, another container. Runs nothing."""

from __future__ import annotations

from workbench.worker.artifact.naming_values import alike
from workbench.worker.artifact.naming_weights import SAME
from workbench.worker.artifact.prove_rows import ROWS_DECLARE, ROWS_OTHER_WEIGHTS
from workbench.worker.judge.leaves import Flat


def remedy_of(words: str) -> str:
    """What to do about a reason; empty where nothing particular is known."""
    return next((remedy for key, remedy in REMEDIES.items() if key in words), "")


REMEDIES = {
    "it wants": "Change what is fed to it, or export the model as it is fed.",
    "it normalises": "Feed it without that step, or export the model without it.",
    "it answers as eager does when": "Feed it so, or look for what scales that input or the first weights inside it.",
    "it does not see": "Export the model without that step, or say what may differ: --tolerance.",
    "train mode": "Export in eval mode: model.eval() before.",
    "not made from these weights": ROWS_OTHER_WEIGHTS,
    "weights were rounded": "Export in the dtype it is to be judged in, or say what may differ: --tolerance.",
    SAME: "Export in the dtype of this checkpoint, or name the rounded --weights.",
    "and is given": "Give it what it takes, or export the model for what it is given.",
    "outputs are swapped": "Export outputs in the model's own order, or take them in the artifact's.",
    "another order": "Export outputs and classes in the model's own order.",
    "is missing": "Export the model with it, or verify against the model without it.",
    "logarithm of eager's": "Take exp() of what it answers, or export the model as it is.",
    "eager's": "Export the model as it is, or undo that where the answer is used.",
    "does not depend on": "Export it with that input as an argument: the example's values became constants.",
    "fixed at": ROWS_DECLARE,
    "in each other's place": "Export the model as it is, or change the order where it is called.",
    "inputs than forward": "Export the model with forward's own arguments.",
}
"""A part of the reason → what to do."""


def container_words(wanted: list[Flat], found: list[Flat]) -> str:
    """Eager's tensors, held otherwise; empty where they are others."""
    leaves = [zip(mine.leaves, its.leaves) for mine, its in zip(wanted, found)]  # noqa: B905 (counted before)
    if not all(alike(mine, its) for pairs in leaves for (_, mine), (_, its) in pairs):
        return ""
    own, model = (side[0].structure.partition("\n")[0].partition("\t")[2] for side in (found, wanted))
    if own != model:
        return f"it answers eager's values as {own} in place of {model}"
    own, model = (", ".join(path for path, _ in side[0].leaves) for side in (found, wanted))
    return f"it answers eager's values as {own} in place of {model}" if own != model else ""


def order_words(order: list[int], names: list[str], count: int) -> str:
    if count < len(names):
        lost = [name for place, name in enumerate(names) if place not in order]
        return f"it answers with {count} of {len(names)} tensors; {', '.join(lost)} is left out"
    moved = [f"{names[place]} holds eager's {names[other]}" for place, other in enumerate(order) if place != other]
    return f"the outputs are swapped: {', '.join(moved[:4])}"
