"""Owns that a policy names things that are there: outputs, and what a forward may change.

Which there are is known once the model has run, so it runs here; nothing is changed, and no question is judged.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.policy import CheckPolicy, Policy
from workbench.worker.bench.words import closest, some
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.checks_inputs import names_of_inputs
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.snapshot import untouched
from workbench.worker.judge.switches import SWITCH_NAMES

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

RUNS = 2
"""Forwards: what a first one makes, the next may change."""

_OWN = frozenset(vars(nn.Module()))
"""Attributes that every module has, which nobody would declare."""


def check_policy(bench: Bench, runs: Runs, request: CheckPolicy, job: Job) -> None:
    """Run the model, and see that every name in the policy is one of its own; afterwards it is as before.

    A forward that raises ends it without a word: each check says what it raises. Raises `WorkbenchError("usage")` with
    the names that there are, and `Cancelled`.
    """
    with untouched(bench) as snapshot:
        # run as if nothing were declared: what was declared to move would be put back
        subject = Subject("policy", bench, runs.yardstick, job, 0.0, snapshot, Policy(domain=request.policy.domain))
        outputs: list[str] = []
        try:
            for _ in range(RUNS):
                answer = subject.answer()
                outputs = [path for path, _ in answer.leaves] + [path for path, _ in answer.opaque]
        except (Cancelled, KeyboardInterrupt):
            raise
        except BaseException:  # noqa: BLE001 (the forward is the user's code; the checks run it too, and say what it does)
            return
        likely, known = _changeable(subject, snapshot)
    for path in request.policy.discrete:
        if path not in outputs:
            raise _unknown("discrete", path, outputs, request.policy)
    for pattern in request.policy.mutates:
        alone = dataclasses.replace(request.policy, mutates=(pattern,))
        if not any(alone.may_move(name) for name in known):
            raise _unknown("mutates", pattern, likely, request.policy)


def _changeable(subject: Subject, snapshot: Snapshot) -> tuple[list[str], list[str]]:
    """Names of what a forward could change: those that somebody may want to declare, and all that there are."""
    moved = [name for name, _ in snapshot.moved()]
    buffers = [name for name, _ in subject.bench.model.named_buffers(remove_duplicate=False)]
    held = snapshot.names()
    own = [name for name in held if not _OWN.intersection(re.split(r"[.\[]", name))]
    likely = list(dict.fromkeys([*moved, *buffers, *names_of_inputs(subject), *own]))
    return likely, [*likely, *held, *SWITCH_NAMES]


def _unknown(key: str, name: str, known: Sequence[str], policy: Policy) -> WorkbenchError:
    words = f"{key} names {name!r}, and the model has no such {'output' if key == 'discrete' else 'state or input'}."
    remedy = " ".join(part for part in (closest(name, known), f"There is {some(known, 8)}.") if part)
    return error("usage", words, policy.source, remedy)
