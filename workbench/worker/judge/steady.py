"""Whether a side answers the same question twice alike: what is random, or goes on from call to call, proves nothing.

Owns the question and the words for what it finds; the search for the cause is `divergence.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.protocol.runs import BEYOND, Yardstick
from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.compare import compare
from workbench.worker.judge.divergence import find_from_here
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.standing import Call, Standing
from workbench.worker.judge.store import same_bits
from workbench.worker.judge.verdict import judge

OTHER_SEED = 1_000_003
"""Added to a case's seed, to see whether the answer depends on the generators."""

SEARCH = 20.0
"""Seconds that the search for the operator may take, when the module is known."""


@dataclass(frozen=True)
class Obstacle:
    """Why a side's answers cannot be compared."""

    words: str = ""
    """Empty when they can."""
    remedy: str = ""


NOTHING = Obstacle()


def unsteady(side: Standing, asked: Iterable[tuple[Call, int, Flat]], job: Job, luck: bool = False) -> Obstacle:
    """Ask `side` these again: inputs, seed, and what it answered.

    `luck`: right after its answer, and only when the forward drew from the generators: once more from another seed.
    Otherwise from the same seed, when much else was asked in between. A dropout that is in train mode and drew is
    random even when its mask happened to change nothing.
    """
    for inputs, seed, answer in asked:
        if luck:
            if side.modes.rng == "fixed" or not side.drawn:
                continue
            drawn = side.drawn
            acting = "torch" in drawn and [path for path, kind in Parts(side.model).active() if kind == "dropout"]
            if acting or not same_bits(answer, _again(side, inputs, seed + OTHER_SEED)):
                words = f"side {side.letter} is random: its forward draws from {_generators(drawn)}"
                if acting:
                    words += f", and {some([path or 'the model' for path in acting], 3)} drops values in train mode"
                return _explained(words, side, inputs, job, seeded=False)
            continue
        structure, diffs = compare(answer, _again(side, inputs, seed))
        if structure or any(judge(one, Yardstick("tolerance")).mark == BEYOND for one in diffs):
            words = f"side {side.letter} does not repeat: it answers the same inputs from the same seed otherwise"
            return _explained(words, side, inputs, job, seeded=True)
    return NOTHING


def _again(side: Standing, inputs: Call, seed: int) -> Flat:
    with untouched_model(side.model):
        return side.answer(inputs, seed)


def _explained(words: str, side: Standing, inputs: Call, job: Job, seeded: bool) -> Obstacle:
    """`words` with the module, the operator and the line, as far as watched runs show them."""
    words = f"Not comparable: {words}."
    job.progress("looking for the cause")
    try:
        found = find_from_here(side.model, side.modes, (inputs, inputs), job, seeded, seconds=SEARCH)
    except (Cancelled, KeyboardInterrupt):
        raise
    except Exception as problem:  # noqa: BLE001 (the model's own code, watched; the answer stands without it)
        return Obstacle(f"{words} The cause was not found: {type(problem).__name__}.")
    if found is None:
        return Obstacle(words, "Compare in eval, or under --rng fixed.")
    return Obstacle(f"{words} {found.words}", found.remedy)


def _generators(names: tuple[str, ...]) -> str:
    known = {"torch": "torch's generator", "random": "Python's random", "numpy": "numpy.random"}
    return " and ".join(known.get(name, name) for name in names)
