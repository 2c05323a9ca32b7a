"""Measurements that have a worker of their own, asked for in the name of the model on the bench. No numerics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from workbench.protocol.matrix import Matrix, MeasureMatrix
from workbench.protocol.memory import AccountMemory, Counterfactual, MeasureCounterfactual, MemoryAccount
from workbench.protocol.model import Modes

from .session import Aside, Session

MATRIX_BUDGET = 300.0
"""Seconds that a mode matrix may take when no limit was given; torch.compile takes most of them."""
FEWEST, MOST = 10, 1000
"""Runs of a counterfactual that nobody counted: a slope wants some, and its own budget of seconds ends it before."""


async def measure_matrix(
    session: Session,
    dtypes: Iterable[str] = (),
    compile: bool = True,
    rounds: int = 0,
    budget: float = MATRIX_BUDGET,
    timeout: float = 0.0,
    aside: Aside = contextlib.nullcontext,
) -> Matrix:
    """The model on the bench under every mode, in a worker of its own; nothing on the bench is changed.

    `budget` in seconds for measuring, 0: none; `timeout` for writing the bench's state. `aside` is entered while the
    bench is needed. `state.matrix` has what is known meanwhile. Raises `WorkbenchError`.
    """
    recipe, modes = session.open_recipe(), session.state.modes or Modes()
    known = session.judged_with
    if known is not None and (known.kind == "tolerance" or known.kind != session.state.yardstick):
        known = None  # of a dtype that was left, or no measurement at all
    async with session.saved_state(timeout, aside) as state:
        wanted = MeasureMatrix(recipe, modes, state, tuple(dtypes), compile, rounds, budget, known, session.python)
        return await session.request(wanted)  # type: ignore[no-any-return]


async def account_memory(session: Session, attribute: bool = True, timeout: float = 0.0) -> MemoryAccount:
    """What the bench worker's memory is used for; with `attribute` one forward more. Raises `WorkbenchError`."""
    return await session.request(AccountMemory(attribute), timeout)  # type: ignore[no-any-return]


async def measure_counterfactual(
    session: Session, runs: int = 0, timeout: float = 0.0, aside: Aside = contextlib.nullcontext
) -> Counterfactual:
    """The same runs under this grad mode and the other, in a worker of its own: as many as the memory's slope was
    measured from, where not told. Raises `WorkbenchError`."""
    if not runs:
        measured = session.state.leak.runs if session.state.leak is not None else 0
        runs = min(max(measured, FEWEST), MOST)
    recipe, modes = session.open_recipe(), session.state.modes or Modes()
    async with session.saved_state(timeout, aside) as state:
        wanted = MeasureCounterfactual(recipe, modes, state, runs, python=session.python)
        return await session.request(wanted, timeout)  # type: ignore[no-any-return]
