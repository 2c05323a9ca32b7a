"""Owns the check that several threads may call the model at once."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.runs import IDENTICAL
from workbench.worker.bench.failing import first_line, is_users, users_place
from workbench.worker.bench.modes import grad_context, seed_generators
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.bench.words import some
from workbench.worker.judge import leak, memory
from workbench.worker.judge.checks_again import SAME, already, differs_already
from workbench.worker.judge.checks_luck import unwritten_site
from workbench.worker.judge.checks_run import Subject, fresh
from workbench.worker.judge.digest import digest
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.interleaved import eager_switching, giving_way
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.store import output_bytes
from workbench.worker.judge.taken import Answer, taken_apart

THREADS = 8
"""Threads that call the model at once."""
ROUNDS = 20
"""Calls of each, where time allows."""
SHARE = 0.25
"""Share of the budget that they may take together."""
SLOWER = 4 * THREADS
"""Times what a call takes alone, from which one among others is taken for stuck."""
OPENING = 10.0
"""Seconds that a thread's first calls on an accelerator may take: each thread has handles and workspaces of its own."""
LEAVING = 5.0
"""Seconds at most that threads are waited for once they were told to stop: what they still write would outlive it."""
PATIENCE = 0.05
"""Seconds between two looks at whether they have ended."""
SLOWLY = 2
"""Calls of each, the first ones, that give way between operators."""

REMEDY = "Keep what a call needs in local variables, and nothing of it on self; or let one thread at a time call it."


@dataclass
class _Caller:
    """What one thread asked and what came of it."""

    args: Any
    kwargs: Any
    serial: Answer
    bits: bytes
    """Digest of the serial answer."""
    since: float = 0.0
    """Clock at which its present call of the model began; 0 while it is in none."""
    answers: list[Answer] = field(default_factory=list)
    """Answers that are not the very bits of the serial one; one of each kind is enough."""
    calls: int = 0
    problem: BaseException | None = None


def check_threads(subject: Subject) -> CheckRow:
    """Eight threads that call the model at once, each with an input of its own, get the answers they get alone."""
    if subject.bench.modes.rng == "fixed":
        seed_generators(subject.bench.modes.seed)  # as the forward will, so that seeding is no use of a generator
    generators = Generators.take()
    size = output_bytes(flatten(subject.forward()))
    available, _ = memory.available()
    if available and 2 * THREADS * size > available:
        return subject.skipped(
            f"{THREADS} outputs of {leak.size(size)} at once do not fit into the memory that is free."
        )
    if generators.moved(Generators.take()):
        if subject.policy.stochastic:
            subject.excuse("stochastic")
        return subject.skipped("The forward draws random numbers, and threads share one generator: nothing to compare.")
    if not subject.room_for(4 * THREADS):
        return subject.slow(4 * THREADS)
    callers = []
    for number in range(THREADS):
        args, kwargs = (
            (subject.args, subject.kwargs) if number == 0 else subject.example.sample(subject.seed_of(number))
        )
        serial = subject.answer(args, kwargs)
        again = subject.compared(serial, subject.answer(args, kwargs))
        if again.nothing:
            return subject.unanswered(again.left_out)
        if again.differs:
            return subject.skipped(already(subject, "The same input asked twice differs already"))
        callers.append(_Caller(args, kwargs, serial, digest(serial)))
    _grad_mode_finding(subject)
    watched = Snapshot(subject.bench.model, (), {})
    still, stuck = _together(subject, callers)
    if stuck:
        words = f"did not come back from a call that takes {subject.last:.2g} s alone"
        evidence = f"{len(stuck)} of {THREADS} threads {words}: each waits for another, or for ever."
        return subject.failed(evidence, f"They stand at {some(list(dict.fromkeys(stuck)), 4)}.", REMEDY)
    if still:
        return subject.slow(THREADS * ROUNDS)
    return _judged(subject, callers, watched)


def _judged(subject: Subject, callers: list[_Caller], watched: Snapshot) -> CheckRow:
    calls, moved = sum(one.calls for one in callers), watched.moved()
    start = f"{THREADS} threads, {calls} calls at once"
    raised = [one.problem for one in callers if one.problem is not None]
    if raised:
        place = users_place(raised[0])
        cause = f"Raised at {place.rpartition('/')[2]}, and not when it is called alone." if place else ""
        words = f"{start}: {len(raised)} of {THREADS} raised {first_line(raised[0])}."
        if by_itself := _by_itself(subject):
            return subject.skipped(by_itself)
        return subject.failed(words, cause or _shared(subject, callers, moved), REMEDY)
    bits = True
    words = ""
    for one in callers:
        for answer in one.answers:
            found = subject.compared(one.serial, answer)
            bits = bits and found.mark == IDENTICAL
            words = words or (found.words if found.mark != IDENTICAL else "")
            if found.differs:
                wrong = sum(1 for caller in callers if caller.answers)
                evidence = f"{start}: {wrong} of {THREADS} got another answer than alone: {found.words}."
                if by_itself := _by_itself(subject):
                    return subject.skipped(by_itself)
                return subject.failed(evidence, _shared(subject, callers, moved), REMEDY)
    return subject.passed(
        f"{start}: the serial answers, {'identical bits' if bits else f'within the noise ({words})'}."
    )


def _by_itself(subject: Subject) -> str:
    """In words, that one thread alone gets other answers too, or memory that nobody wrote; empty where it does not."""
    subject.snapshot.restore()
    words = differs_already(subject, seed=subject.bench.recipe.seed)
    return words or (already(subject, SAME) if unwritten_site(subject) is not None else "")


def _shared(subject: Subject, callers: list[_Caller], moved: list[tuple[str, str]]) -> str:
    if subject.policy.mutates:
        subject.excuse(f"mutates {some(subject.policy.mutates, 4)}, which threads share")
    if _thread_alone(subject, callers[0]):
        return (
            "A single thread of its own gets that other answer too: the forward asks which thread it is in, "
            "or what Python or torch keep for each thread (threading.local, autocast)."
        )
    moved = moved or _moved_alone(subject, callers)
    if not moved:
        return "They share something that the modules do not hold: a global, a cache, a private generator."
    return f"Shared and written by every call: {some([f'{name} ({how})' for name, how in moved], 4)}."


def _thread_alone(subject: Subject, one: _Caller) -> bool:
    """Whether one thread, with no other beside it, already gets another answer than the main thread."""
    subject.snapshot.restore()
    found: list[Answer] = []

    def call() -> None:
        with contextlib.suppress(Exception), grad_context(subject.bench.modes.grad):  # (the others' words say it)
            output = subject.bench.model(*map_tensors(one.args, fresh), **map_tensors(one.kwargs, fresh))
            found.append(taken_apart(output))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    _wait([thread], time.monotonic() + max(1.0, SLOWER * subject.last))
    if thread.is_alive():
        _end(thread)
        _wait([thread], time.monotonic() + LEAVING)
    return bool(found) and subject.compared(one.serial, found[0]).differs


def _moved_alone(subject: Subject, callers: list[_Caller]) -> list[tuple[str, str]]:
    """What calls write that nothing disturbs: the last of the threads may have left what was there before them."""
    for one in callers[:2]:  # of two inputs, one at least leaves something else than there is
        watched = Snapshot(subject.bench.model, (), {})
        subject.forward(one.args, one.kwargs)
        if moved := watched.moved():
            return moved
    return []


def _together(subject: Subject, callers: list[_Caller]) -> tuple[int, list[str]]:
    """Call the model from every thread at once: how many did not end in time, and where those stand that are in a call
    which takes much longer than it does alone."""
    modes = subject.bench.modes
    barrier = threading.Barrier(len(callers))
    stop = threading.Event()
    deadline = time.monotonic() + SHARE * subject.budget

    def call(one: _Caller) -> None:
        try:
            with contextlib.suppress(threading.BrokenBarrierError):  # on a machine that is slow to start them
                barrier.wait(10)
            with grad_context(modes.grad):
                for number in range(ROUNDS):
                    one.since = time.monotonic()
                    with giving_way() if number < SLOWLY else contextlib.nullcontext():
                        output = subject.bench.model(*map_tensors(one.args, fresh), **map_tensors(one.kwargs, fresh))
                    one.since = 0.0
                    answer = taken_apart(output)
                    one.calls += 1
                    if not one.answers and digest(answer) != one.bits:
                        one.answers.append(answer)
                    if stop.is_set() or time.monotonic() > deadline:
                        return
        except BaseException as problem:  # noqa: BLE001 (it is the answer to the question, and shown)
            one.problem = problem

    threads = [threading.Thread(target=call, args=(one,), daemon=True) for one in callers]
    subject.job.progress(f"check {subject.id}: {THREADS} threads at once")
    with eager_switching():
        for thread in threads:
            thread.start()
        limit = time.monotonic() + max(SHARE, 0.9 - subject.spent) * subject.budget
        try:
            while (left := _alive(threads)) and time.monotonic() < limit:
                subject.job.raise_if_cancelled()
                left[0].join(PATIENCE)
        finally:
            stop.set()
            now = time.monotonic()
            _wait(threads, now + min(LEAVING, 3 * subject.last + 0.5))
            alive = [(thread, one) for thread, one in zip(threads, callers) if thread.is_alive()]  # noqa: B905
            stand = {id(one): _standing(thread) for thread, one in alive}
            for thread, _ in alive:
                _end(thread)
    opening = 0.0 if torch.device(modes.device or "cpu").type == "cpu" else OPENING
    patience = max(SHARE * subject.budget / 2, SLOWER * subject.last, opening)
    return len(alive), [stand[id(one)] for _, one in alive if one.since and now - one.since > patience]


def _alive(threads: list[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threads if thread.is_alive()]


def _wait(threads: list[threading.Thread], until: float) -> None:
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _end(thread: threading.Thread) -> None:
    """Have a thread end as soon as it runs Python again, before the forward that it is in can write to the model."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))


def _standing(thread: threading.Thread) -> str:
    """file.py:line of the user's code in which a thread is."""
    frame = sys._current_frames().get(thread.ident or 0)
    for one, line in traceback.walk_stack(frame) if frame is not None else ():
        if is_users(one.f_code.co_filename):
            return f"{one.f_code.co_filename.rpartition('/')[2]}:{line}"
    return "a place outside of the model's code"


def _grad_mode_finding(subject: Subject) -> None:
    """A thread of its own begins with grad mode on, whatever its maker is in: what that costs here."""
    if subject.bench.modes.grad == "grad":
        return
    found: list[Any] = []

    def call() -> None:
        with contextlib.suppress(Exception, SystemExit):  # (the threads that are judged will say it)
            found.append((torch.is_grad_enabled(), subject.bench.model(
                *map_tensors(subject.args, fresh), **map_tensors(subject.kwargs, fresh)
            )))  # fmt: skip

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    until = time.monotonic() + max(1.0, SHARE * subject.budget)
    try:
        while thread.is_alive() and time.monotonic() < until:
            thread.join(PATIENCE)
            subject.job.raise_if_cancelled()
    finally:
        if thread.is_alive():
            _end(thread)
    if not found or not found[0][0]:
        return
    leaves = [leaf for _, leaf in flatten(found[0][1]).leaves]
    if not any(leaf.grad_fn is not None for leaf in leaves):
        return
    held = memory.saved_bytes(leaves, subject.bench.model.parameters())
    subject.found(
        "thread_grad_mode",
        f"A thread of its own has grad mode on, though this one is under {subject.bench.modes.grad}: its output keeps "
        f"a graph with {leak.size(held)} for backward.",
        "Enter no_grad inside the thread's own function, or decorate forward with @torch.no_grad().",
    )
