"""What must never make a session hang, lose a result or hurt the bench: listeners, starts, time limits."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_client_session import failure_of, talking_to
from workbench.client import transport
from workbench.client.flows import given_yardstick, run_checks
from workbench.client.session import Session
from workbench.protocol.artifacts import CheckRow
from workbench.protocol.exits import Exit
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.limits import ENDING_SECONDS
from workbench.protocol.messages import PROTOCOL, Export, Inspect, Verify, WorkerReady
from workbench.protocol.model import Recipe

NET = Recipe("net.py:Net")


def told(session: Session, word: str) -> list[str]:
    """What the scripted engine said after `word`, in order."""
    return [line.partition(" ")[2] for _, line in session.state.log if line.split(" ")[0] == word]


async def checked(session: Session, *ids: str) -> tuple[tuple[CheckRow, ...], Exit, list[str]]:
    shown: list[str] = []
    rows, code = await run_checks(session, ids, 0.0, lambda row: shown.append(row.id))
    return rows, code, shown


@pytest.mark.parametrize(("problem", "kind"), [(OSError("stderr is closed"), "write"), (KeyError("x"), "internal")])
async def test_a_listener_that_raises_ends_the_conversation_and_never_hangs_it(problem: Exception, kind: str) -> None:
    def broken(body: object, envelope: object) -> None:
        if isinstance(body, WorkerReady):
            raise problem

    heard: list[object] = []
    async with talking_to("cancels") as session:
        stop = session.listen(broken)
        session.listen(lambda body, envelope: heard.append(body))
        async with asyncio.timeout(5):
            found, message = await failure_of(session.started)
            later = await failure_of(session.fire)
        stop()
    assert (found, later[0]) == (kind, kind)
    assert str(problem) in message
    assert any(isinstance(body, WorkerReady) for body in heard)


async def test_closing_ends_what_is_still_waited_for() -> None:
    async with talking_to("cancels") as session:
        await session.started()
        waiting = asyncio.ensure_future(session.fire(0))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        with pytest.raises(WorkbenchError):
            await waiting


async def test_every_request_has_a_file_of_the_state_of_its_own() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(NET)
        export = asyncio.ensure_future(session.export(Export(NET, "export", "bundle")))
        while not told(session, "exporting"):
            await asyncio.sleep(0.01)
        saved = told(session, "saved")
        await session.measure_noise()
        assert len({*told(session, "saved")}) == 2
        await failure_of(session.fire)  # lets the export end: it answers with what its file holds by then
        with pytest.raises(WorkbenchError) as caught:
            await export
        asked = [number for number in range(10) if str(number) == caught.value.failure.message]
        assert asked == [3]  # the SaveState of the export, not that of the measurement
        assert not Path(saved[0]).exists()
        assert not any(Path(path).exists() for path in told(session, "saved"))
        assert not Path(saved[0]).name.endswith(".safetensors")


async def test_what_others_made_is_proven_against_the_bench_as_it_is() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(NET)
        for request in (Verify("net.pt2", "a" * 64, NET), Verify("bundle", "a" * 64)):
            assert (await failure_of(lambda asked=request: session.verify(asked)))[0] == "artifact"
        assert told(session, "verifying") == ["3", ""]  # the number of its SaveState; a bundle brings its own answers


async def test_no_place_for_the_state_is_a_plain_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    async with talking_to("tells") as session:
        await session.started()
        await session.open(NET)
        assert (await failure_of(session.measure_noise))[0] == "write"


async def test_a_start_that_failed_is_said_and_no_other_interpreter_stands_in() -> None:
    async with talking_to("never starts") as session:
        await failure_of(lambda: session._futures[1])
        assert (await failure_of(session.started))[1] == "There is no such interpreter."
        assert len(told(session, "start")) == 1
        assert session.state.engine == "dead"
        assert (await failure_of(session.start))[1] == "There is no such interpreter."
        assert session.state.engine == "dead"


async def test_recovering_keeps_the_interpreter_and_the_yardstick() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.start("/opt/python")
        await session.open(NET)
        await session.use(given_yardstick(0.1))
        await session.measure_noise()
        await session.use(given_yardstick(0.1))
        await session.recover()
        assert told(session, "start")[-2:] == ["/opt/python"] * 2
        assert told(session, "noise") == ["/opt/python"]
        assert told(session, "yardstick")[-1] == "given"
        assert session.state.yardstick == "given"


async def test_a_recovery_that_fails_costs_the_remaining_checks_and_not_the_report() -> None:
    async with talking_to("starts once") as session:
        await session.started()
        await session.open(NET)
        rows, code, shown = await checked(session, "modes", "dies", "finite", "threads")
    assert [row.status for row in rows] == ["pass", "error", "error", "error"]
    assert shown == ["modes", "dies", "finite", "threads"]
    assert code == Exit.ENGINE
    assert "no such interpreter" in rows[2].evidence


async def test_the_limit_is_waited_out_twice_and_no_more() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(NET)
        rows, code, shown = await checked(
            session, "modes", "late", "late too", "finite", "parameters_finite", "threads"
        )
        again, _, _ = await checked(session, "late", "modes", "late too", "finite")
    assert [row.status for row in rows] == ["pass", "error", "error", "error", "pass", "error"]
    assert shown == [row.id for row in rows]
    assert rows[3].evidence == rows[5].evidence
    assert "Not asked: late and late too" in rows[3].evidence
    assert "--timeout" in rows[3].remedy
    assert code == Exit.ENGINE
    assert [row.status for row in again] == ["error", "pass", "error", "pass"]


async def test_a_recovery_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.client.session.START_SECONDS", 0.05)
    monkeypatch.setattr("workbench.client.conversation.CANCEL_GRACE", 0.05)
    async with talking_to("hangs at its second start") as session:
        await session.started()
        await session.open(NET)
        rows, code, _ = await checked(session, "dies", "finite")
    assert [row.status for row in rows] == ["error", "error"]
    assert code == Exit.ENGINE


async def test_nothing_is_recovered_after_the_last_check() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(NET)
        await checked(session, "dies")
        assert len(told(session, "start")) == 1
        rows, _, _ = await checked(session, "finite", "dies")
        assert [row.status for row in rows] == ["pass", "error"]
        assert len(told(session, "start")) == 2


async def test_out_of_time_in_another_worker_does_not_touch_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.client.conversation.CANCEL_GRACE", 0.05)
    async with talking_to("stubborn") as session:
        await session.started()
        with pytest.raises(WorkbenchError) as caught:
            await session.request(Inspect("x"), 0.05)
        assert caught.value.failure.kind == "timeout"
        assert told(session, "cancel")
        assert not told(session, "kill")
        assert session.state.engine == "ready"


async def test_an_engine_that_ignores_even_a_kill_is_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.client.conversation.CANCEL_GRACE", 0.05)
    monkeypatch.setattr("workbench.client.conversation.KILL_GRACE", 0.05)
    async with talking_to("deaf") as session:
        await session.started()
        async with asyncio.timeout(5):
            assert (await failure_of(lambda: session.fire(0, timeout=0.05)))[0] == "timeout"


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("foreign", ("protocol 99", "workbench 9.9", f"protocol {PROTOCOL}")), ("rude", ("before Hello",))],
)
async def test_an_engine_of_another_protocol_is_not_talked_to(behaviour: str, words: tuple[str, ...]) -> None:
    async with talking_to(behaviour) as session:
        async with asyncio.timeout(5):
            kind, message = await failure_of(session.started)
        assert kind == "engine"
        assert all(word in message for word in words)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [1, {"deep": -math.inf}]])
async def test_a_number_that_cannot_travel_is_refused_before_it_becomes_a_word(value: Any) -> None:
    async with talking_to("tells") as session:
        await session.started()
        with pytest.raises(WorkbenchError) as caught:
            await session.open(Recipe("net.py:Net", {"scale": value}))
        assert caught.value.failure.kind == "usage"
        assert "scale" in caught.value.failure.message
        assert not session.state.jobs


def test_the_engine_has_time_to_end_before_it_is_ended() -> None:
    assert transport.GONE_SECONDS > ENDING_SECONDS


async def test_too_few_cases_for_want_of_time_leave_with_the_code_of_a_time_limit() -> None:
    async with talking_to("tells") as session:
        await session.started()
        await session.open(NET)
        rows, code, _ = await checked(session, "modes", "baseline")
    assert [row.status for row in rows] == ["pass", "error"]
    assert code == Exit.ENGINE
