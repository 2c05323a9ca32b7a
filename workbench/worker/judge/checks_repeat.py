"""Owns the checks on whether an answer depends on anything but its input: repeatable, hidden_state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.runs import BEYOND, IDENTICAL
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled
from workbench.worker.judge.aliases import told_aliases
from workbench.worker.judge.checks_again import already
from workbench.worker.judge.checks_cause import cause_of
from workbench.worker.judge.checks_identity import IDENTITY_REMEDY, by_identity
from workbench.worker.judge.checks_luck import by_luck, unwritten_site, unwritten_words
from workbench.worker.judge.checks_places import located
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.checks_seldom import Seldom, counted_words, seldom
from workbench.worker.judge.checks_switches import SWITCH_REMEDY, left_otherwise, setter
from workbench.worker.judge.checks_written import parameters_written
from workbench.worker.judge.digest import digest
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.switches import Switches
from workbench.worker.judge.taken import Answer, taken_apart

REPEATS = 8
"""Runs of one input that are compared."""


def check_repeatable(subject: Subject) -> CheckRow:
    """The same input gives the same answer, bit for bit or within the noise; a stochastic model under one seed."""
    first: Answer | None = None
    differing, runs, since, mark = 0, 0, 0, IDENTICAL
    words = left_out = ""
    if subject.policy.stochastic:
        subject.excuse("stochastic, so every run began with the same seed")
    for _ in subject.times(REPEATS, least=2):
        answer = subject.answer(seed=subject.seed)
        runs += 1
        if first is None:
            first = answer
            continue
        found = subject.compared(first, answer)
        left_out = found.left_out
        if found.nothing:
            if any(reason.startswith("generator ") for _, reason in answer.opaque):
                left_out += " Nothing of the forward has run: it has a yield, and calling it makes a generator alone."
            return subject.unanswered(left_out)
        if found.mark != IDENTICAL:
            differing += 1
            since = since or runs
        if found.mark not in (IDENTICAL, mark) and mark != BEYOND:
            mark, words = found.mark, found.words
    if mark == IDENTICAL:
        evidence = f"{runs} runs of the same input: identical bits.{left_out}"
        return by_luck(subject, evidence) or subject.passed(evidence)
    evidence = f"{differing} of {runs - 1} repeats differ from the first run: {words}.{left_out}"
    asked = (subject.args, subject.kwargs)
    moved = [(name, how) for name, how in subject.snapshot.moved() if not subject.policy.may_move(name)]
    cause, remedy = cause_of(subject, (asked, asked), seeded=subject.policy.stochastic, warm=since - 2)
    if mark != BEYOND:
        evidence = f"{evidence} Within the noise."
        return by_luck(subject, evidence) or subject.passed(f"{evidence} {cause}".rstrip())
    if not cause and (site := unwritten_site(subject)):
        cause, remedy = unwritten_words(site)
    return subject.failed(
        evidence,
        cause or _unseen(moved, since),
        remedy or "Look for state or randomness that outlives a run.",
    )


def _unseen(moved: list[tuple[str, str]], since: int) -> str:
    """The cause where watched runs do not show the difference: what moved, if anything did."""
    start = f"Run {since} was the first to differ, and with every module watched it does not"
    if moved:
        return f"{start}. What moves on with the runs: {counted_words(moved)}."
    return f"{start}; nothing that the model holds moved: a clock, a race between threads, or the world outside."


def check_hidden_state(subject: Subject) -> CheckRow:
    """What was asked before does not change an answer: A, B, A after a warm-up, and B, A from the start.

    Every run begins with the same seed, so that randomness is no matter here.
    """
    inputs = {"A": (subject.args, subject.kwargs), "B": subject.example.sample(subject.bench.recipe.seed + 1)}
    if digest(flatten(inputs["A"])) == digest(flatten(inputs["B"])):
        return subject.skipped("There is no second input: another seed draws the same values.")
    switches = Switches()
    subject.need(14)
    cold = _ask(subject, inputs["A"])
    subject.need(13, of=14)
    _ask(subject, inputs["A"])  # what does not run, or not twice, is an error, and no matter of order
    try:
        _ask(subject, inputs["B"])
    except Cancelled:
        raise
    except Exception as problem:  # noqa: BLE001 (the user's forward; its second input is drawn by us)
        reason = f"Another input of the same spec makes it raise: {first_line(problem)}."
        return subject.skipped(reason, "Declare what it takes: --input 'ids=int64[2,16]{0..100}'.")
    switched = [*switches.moved(), *left_otherwise(subject).items()]
    answers, moved, going_on = _in_turn(subject, inputs)
    twice = subject.compared(answers[0], answers[1])
    if twice.nothing:
        return subject.unanswered(twice.left_out)
    undeclared = [(name, how) for name, how in moved if not subject.policy.may_move(name)]
    if declared := [name for name, _ in moved if subject.policy.may_move(name)]:
        subject.excuse(f"mutates {some(declared, 4)}, put back before every run")
    if twice.differs and not undeclared:
        return subject.skipped(already(subject, "The same input asked twice in a row differs already"))
    marks = set()
    for words, one, other, order in _PAIRS:
        found = subject.compared(answers[one], answers[other])
        marks.add(found.mark)
        if found.differs:
            evidence = f"The answer depends on what was asked before: {words}: {found.words}.{found.left_out}"
            if site := unwritten_site(subject):  # what lay in memory is of an earlier call, and no state of its own
                return subject.failed(evidence, *unwritten_words(site))
            return _depends(subject, evidence, [inputs[who] for who in order], 1, undeclared)
    first = subject.compared(cold, answers[0])
    if first.differs:
        evidence = f"The first call answers otherwise than the later ones: {first.words}.{first.left_out}"
        return _depends(subject, evidence, [inputs["A"]] * 2, 0, undeclared)
    if over := _written_over(subject, inputs):
        return subject.failed(*over, OVER_REMEDY)
    if evidence := by_identity(subject, inputs["A"], inputs["B"]):
        cause = _moved_words(subject.bench.model, undeclared)
        return subject.failed(evidence, f"It knows an input by its id or address. {cause}", IDENTITY_REMEDY)
    seen = _seldom(subject, inputs["A"], [one for one in undeclared if one[0] in going_on])
    if seen is not None and seen.evidence:
        return subject.failed(seen.evidence, seen.cause, HIDDEN_REMEDY)
    if flipped := [(name, how) for name, how in switched if not subject.policy.may_move(name)]:
        words = f"The forward sets {counted_words(flipped)}, and leaves it so: every model after it computes otherwise."
        return subject.failed(words, f"Set in {setter(subject, switches, flipped)}.", SWITCH_REMEDY)
    told_aliases(subject)
    _ask(subject, inputs["B"])  # a parameter may be written only by what looks at more of it
    written, remedy = parameters_written(subject)
    if written:
        subject.found("parameter_written", f"{written} No answer was seen to depend on it.", remedy)
    bits = "identical bits" if marks == {IDENTICAL} else "within the noise"
    idle = f" Moved without an effect: {counted_words(undeclared)}." if undeclared else ""
    if seen is not None:
        idle = f" Moves on with every run, without an effect in {seen.runs} of them: {counted_words(undeclared)}."
    return subject.passed(f"Order does not matter: A, B, A and B, A after a warm-up: {bits}.{idle}{twice.left_out}")


def _depends(subject: Subject, evidence: str, calls: list[Any], warm: int, moved: _Moved) -> CheckRow:
    """The row of a model of which the last of `calls` answers otherwise than the first, `warm` runs of it before."""
    written, remedy = parameters_written(subject)
    cause, _ = cause_of(subject, calls, seeded=True, warm=warm)
    cause = f"{cause or _moved_words(subject.bench.model, moved)} {written}".rstrip()
    return subject.failed(evidence, cause, remedy or HIDDEN_REMEDY)


def _seldom(subject: Subject, given: Any, moved: list[tuple[str, str]]) -> Seldom | None:
    """Whether what moves with every run has an effect that is seldom; told where none was seen. None: nothing moves."""
    if not moved:
        return None
    seen = seldom(subject, given, moved, lambda: _ask(subject, given))
    if not seen.evidence:
        further = ", nor with counters put forward to round numbers" if seen.ahead else ""
        words = f"{counted_words(moved)} moves on with every run. No effect was seen in {seen.runs} runs{further}."
        subject.found("moving_state", words, "If it is meant, declare it: mutates.")
    return seen


_Moved = list[tuple[str, str]]
"""(name, how)."""

_PAIRS = (
    ("A asked twice in a row", 0, 1, "AA"),
    ("A again after B", 0, 3, "ABA"),
    ("A after B alone", 0, 6, "ABA"),
    ("B again after A", 2, 4, "BAB"),
    ("B after A, and B alone", 5, 2, "BAB"),
)
"""What is compared, by places in the answers of `_in_turn`, and in which order the cause is looked for."""


def _in_turn(subject: Subject, inputs: dict[str, Any]) -> tuple[list[Answer], _Moved, set[str]]:
    """The answers to A, A, B, A, B after a warm-up with A, and to B, A after one with B from the beginning; what moved.

    Two runs are over by now: what moved in these is told where nothing moves once warm. Third: what moves even when
    the same is asked again.
    """
    model = subject.bench.model
    since_cold = subject.snapshot.moved()
    subject.snapshot.restore()
    _ask(subject, inputs["A"])
    args, kwargs = inputs["A"]
    watched = Snapshot(model, args, kwargs)
    answers = [_ask(subject, inputs[who]) for who in "AA"]
    again = watched.moved()
    answers += [_ask(subject, inputs[who]) for who in "BAB"]
    warm = watched.moved()
    subject.snapshot.restore()
    _ask(subject, inputs["B"])
    return [*answers, *(_ask(subject, inputs[who]) for who in "BA")], warm or since_cold, {name for name, _ in again}


def _written_over(subject: Subject, inputs: dict[str, Any]) -> tuple[str, str] | None:
    """Evidence and cause where the next call writes over an answer that was given before; None where none does."""
    args, kwargs = inputs["A"]
    output = subject.forward(args, kwargs, seed=subject.bench.recipe.seed)
    before = taken_apart(output)
    _ask(subject, inputs["B"])
    found = subject.compared(before, taken_apart(output))
    if found.nothing or found.mark == IDENTICAL:
        return None
    evidence = f"The answer to A is another once B was asked: {found.words}. It was not copied out of the model."
    changed = {leaf.path for leaf in found.leaves if leaf.mark != IDENTICAL}
    places = {leaf.untyped_storage().data_ptr() for path, leaf in flatten(output).leaves if path in changed}
    shared = [
        f"{path}.{name}".lstrip(".")
        for path, module in subject.bench.model.named_modules()
        for name, value in (*vars(module).items(), *module.named_buffers(recurse=False))
        if isinstance(value, torch.Tensor) and value.layout is torch.strided
        if value.untyped_storage().data_ptr() in places
    ]
    if not shared:
        return evidence, "It shares memory with something that the modules do not hold as an attribute."
    owner, _, name = shared[0].rpartition(".")
    module = subject.bench.model.get_submodule(owner)
    return evidence, f"It shares its memory with {name} of {located(owner, module)}, which every call writes into."


def _ask(subject: Subject, given: tuple[Any, Any]) -> Answer:
    subject.job.progress(f"check {subject.id}")
    return subject.answer(*given, seed=subject.bench.recipe.seed)


OVER_REMEDY = "Return a copy, out.clone(), or compute into a new tensor."
HIDDEN_REMEDY = (
    "Return such state and take it as an argument, or reset it at the start of forward; if it is meant, declare it: "
    'mutates = ["NAME"].'
)


def _moved_words(model: nn.Module, moved: list[tuple[str, str]]) -> str:
    """What moved while the runs went, and whose it is."""
    if not moved:
        return "Nothing that the modules hold moved: look for a cache or a closure outside of them."
    modules = dict(model.named_modules())
    owner = moved[0][0]
    while owner and owner not in modules:
        owner = owner.rpartition(".")[0]
    return f"Moved meanwhile: {counted_words(moved)}; of {located(owner, modules[owner])}."
