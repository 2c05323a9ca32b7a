"""What belongs to which model: recipe, yardstick and artifacts never outlive the model they were made of."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from tests.unit.test_client_faults import told
from tests.unit.test_client_session import failure_of, talking_to
from workbench.client.flows import given_yardstick
from workbench.client.intake import take
from workbench.client.session import Session
from workbench.client.state import State
from workbench.protocol.artifacts import ExportResult, VerifyResult
from workbench.protocol.codec import Envelope
from workbench.protocol.messages import Export, Loaded
from workbench.protocol.model import ModeChange, Modes, Recipe

from .pane_records import export_result, proof
from .tui_fake import INFO, RECIPE

OTHER = Recipe("other.py:Net")


async def test_a_model_that_is_there_when_its_load_is_called_off_brings_its_recipe() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(Recipe("net.py:Net"))
        before = session.state.info
        opening = asyncio.ensure_future(session.open(Recipe("late.py:Net")))
        while len(session.state.jobs) == 0:
            await asyncio.sleep(0)
        (number,) = session.state.jobs
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await session.scan("x.py")
        assert told(session, "cancel") == [str(number)]
        assert session.state.info is not before
        assert session.state.recipe == Recipe("late.py:Net")


async def test_a_caller_who_is_cancelled_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.client.conversation.CALLED_OFF_GRACE", 0.05)
    async with talking_to("stubborn") as session:
        await session.started()
        firing = asyncio.ensure_future(session.fire(0))
        await asyncio.sleep(0)
        firing.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await firing


def loaded(keep_runs: bool = False) -> Envelope:
    return Envelope(Loaded(INFO, Modes(), keep_runs=keep_runs))


def made(state: State) -> tuple[ExportResult, VerifyResult]:
    exported, verified = export_result("export"), VerifyResult("x.pt2", "pt2", proof(), 1.0)
    take(state, Envelope(exported), state.recipe)
    take(state, Envelope(verified))
    return exported, verified


def test_artifacts_are_those_of_the_model_on_the_bench() -> None:
    state = State()
    take(state, loaded(), RECIPE)
    made(state)
    for again in (loaded(), loaded(keep_runs=True)):
        take(state, again, dataclasses.replace(RECIPE))
        assert (len(state.exports), len(state.verified)) == (1, 1), "a restart or a reload keeps them"
    take(state, loaded(keep_runs=True))
    assert state.exports, "so does going back to the checkpoint"
    take(state, loaded(), OTHER)
    assert (state.exports, state.verified) == ({}, {})
    take(state, Envelope(export_result("export")), RECIPE)
    assert state.exports == {}, "an export of the model before ended late"


@pytest.mark.parametrize(
    ("change", "used"),
    [
        (lambda session: session.open(OTHER), False),
        (lambda session: session.change(ModeChange(dtype="bfloat16")), False),
        (lambda session: session.change(ModeChange(training=True)), True),
    ],
)
async def test_noise_is_used_for_the_model_and_dtype_it_was_asked_for_only(
    change: Callable[[Session], Awaitable[object]], used: bool
) -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(Recipe("noisy.py:Net"))
        measuring = asyncio.ensure_future(session.measure_noise())
        while not told(session, "noise"):
            await asyncio.sleep(0.01)
        await change(session)
        await session.scan("x.py")
        assert (await measuring).kind == "float64"
        assert told(session, "yardstick") == (["float64"] if used else [])
        assert session.state.yardstick == ("float64" if used else "tolerance")


async def test_another_dtype_wants_noise_of_its_own_and_a_given_tolerance_stays() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(OTHER)
        await session.measure_noise()
        await session.change(ModeChange(training=True))
        assert session.state.yardstick == "float64"
        await session.change(ModeChange(dtype="bfloat16"))
        assert session.state.yardstick == "tolerance"
        assert session.state.noise_asked != session.state.epoch
        await session.use(given_yardstick(0.1))
        await session.change(ModeChange(dtype="float64"))
        assert session.state.yardstick == "given"


async def test_parameters_of_another_model_are_not_exported_under_this_recipe() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(OTHER)
        opening = asyncio.ensure_future(session.open(RECIPE))
        await asyncio.sleep(0)
        assert (await failure_of(lambda: session.export(Export(OTHER, "export", "bundle"))))[0] == "usage"
        await opening
        assert not told(session, "exporting")
