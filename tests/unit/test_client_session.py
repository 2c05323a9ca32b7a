"""The client's conversation with an engine: requests and their ends, deaths, time limits, foreign strings."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from workbench.client.intake import CUT_OFF
from workbench.client.launch import launch
from workbench.client.session import Session
from workbench.protocol.codec import Envelope
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import LogLines, WorkerDied
from workbench.protocol.model import ModeChange, Recipe

from .pane_records import run_row

NET = Recipe("net.py:Net")

SCRIPT = Path(__file__).parents[1] / "engines" / "scripted_engine.py"


@asynccontextmanager
async def talking_to(behaviour: str) -> AsyncIterator[Session]:
    session = Session(launch([sys.executable, str(SCRIPT), behaviour], bench=True), warm=True)
    await session.attach()
    try:
        yield session
    finally:
        await session.close()


async def failure_of(call: Callable[[], Awaitable[object]]) -> tuple[str, str]:
    with pytest.raises(WorkbenchError) as caught:
        await call()
    return caught.value.failure.kind, caught.value.failure.message


async def test_what_a_shell_prints_before_the_preamble_is_not_the_conversation() -> None:
    async with talking_to("cancels") as session:
        ready = await session.started()
        assert ready.torch == "2.13.0"
        assert session.state.engine == "ready"


async def test_an_engine_that_says_nothing_is_a_failure_and_not_a_wait() -> None:
    async with talking_to("silent") as session:
        kind, message = await failure_of(session.started)
    assert kind == "engine"
    assert "never said hello" in message


async def test_death_of_the_engine_ends_every_open_request_with_its_last_words() -> None:
    async with talking_to("dies") as session:
        await session.started()
        with pytest.raises(WorkbenchError) as caught:
            await session.fire()
        assert caught.value.failure.kind == "engine"
        assert session.state.engine == "gone"
        assert session.state.gone == caught.value.failure
        later = await failure_of(session.fire)
    assert later[0] == "engine"
    assert "Its last words: last words" in caught.value.failure.message


async def test_another_engine_takes_the_place_of_one_that_is_gone_with_the_same_model() -> None:
    heard: list[object] = []
    script = [sys.executable, str(SCRIPT)]
    session = Session(launch([*script, "dies"], True), warm=True)
    session.relaunch = lambda: launch([*script, "tells"])
    await session.attach()
    session.listen(lambda body, envelope: heard.append(body))
    await session.started()
    session.state.recipe = NET
    session.state.rows[1] = run_row(1, running=True)
    await failure_of(session.fire)
    cut_off = session.state.rows[1]
    assert not cut_off.running
    assert cut_off.note == CUT_OFF
    assert cut_off in heard, "its row is painted again"
    assert session.state.engine == "gone"
    assert await failure_of(session.start) == await failure_of(session.fire)
    assert session.state.engine == "gone", "nothing starts where nobody listens"
    loaded = await session.recover()
    assert loaded is not None
    assert (session.state.engine, session.state.gone, session.state.died) == ("ready", None, None)
    await session.close()


async def test_a_line_that_is_no_message_ends_the_conversation_and_says_so() -> None:
    async with talking_to("garbage") as session:
        await session.started()
        kind, message = await failure_of(session.fire)
    assert kind == "engine"
    assert "not a message" in message


async def test_a_request_out_of_time_is_cancelled() -> None:
    async with talking_to("cancels") as session:
        await session.started()
        assert (await failure_of(lambda: session.fire(0, timeout=0.05)))[0] == "timeout"
        assert not session.state.jobs


async def test_a_request_that_ignores_being_cancelled_costs_the_worker_its_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.client.conversation.CANCEL_GRACE", 0.05)
    deaths = []

    def note(body: object, envelope: Envelope) -> None:
        if isinstance(body, WorkerDied):
            deaths.append(body.rung)

    async with talking_to("stubborn") as session:
        session.listen(note)
        await session.started()
        assert (await failure_of(lambda: session.fire(0, timeout=0.05)))[0] == "timeout"
        assert deaths == ["kill"]
        assert session.state.engine == "dead"


async def test_foreign_strings_are_cleaned_where_they_are_decoded() -> None:
    lines: list[str] = []

    def note(body: object, envelope: Envelope) -> None:
        if isinstance(body, LogLines):
            lines.extend(body.lines)

    async with talking_to("cancels") as session:
        session.listen(note)
        await session.started()
        _, message = await failure_of(lambda: session.fingerprint("x"))
        assert lines[-2] == "\\x1b]52;c;AAAA\\x07 stolen"
        assert message == "no such \\x1b[31mfile"
        assert list(session.state.log)[-1] == ("bench", "… 3 lines left out")


async def test_undo_goes_back_through_the_modes() -> None:
    async with talking_to("cancels") as session:
        await session.started()
        await session.change(ModeChange(training=True))
        await session.change(ModeChange(training=False, flips=("drop",)))
        assert session.state.modes is not None
        assert session.state.modes.training_word == "mix"
        back = await session.undo()
        assert back is not None
        assert back.modes.training_word == "train"
        assert await session.undo() is None


async def test_closing_leaves_no_process() -> None:
    async with talking_to("stubborn") as session:
        await session.started()
        process = session._transport._process
    assert process.poll() is not None


async def test_a_command_that_does_not_exist_is_a_plain_failure() -> None:
    with pytest.raises(WorkbenchError) as caught:
        launch(["/no/such/engine"])
    assert caught.value.failure.kind == "engine"
