"""A paused run through a real supervisor and client: looked at, a line cancelled, aborted, killed, brought back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from workbench.client.inside import complete, evaluate, look_inside
from workbench.client.launch import launch
from workbench.client.session import Session
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Fire
from workbench.protocol.model import Recipe

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOPPING = Path(__file__).parent / "stopping_models.py"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[Session]:
    """With somebody there to answer."""
    session = Session(launch(bench=True, attended=True), warm=True, attended=True)
    await session.attach()
    await session.started()
    yield session
    await session.close()


async def paused(session: Session, name: str = "Stops") -> asyncio.Future[object]:
    """A fire that stands still."""
    await session.open(Recipe(f"{STOPPING}:{name}", inputs=("x=float32[4,10]",)))
    fire = asyncio.ensure_future(session.request(Fire()))
    await until(lambda: session.state.paused is not None)
    return fire


async def until(holds: object) -> None:
    async with asyncio.timeout(30):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_it_is_looked_at_and_goes_on(session: Session) -> None:
    fire = await paused(session)
    assert session.state.paused is not None
    assert session.state.paused.event.where.startswith("stopping_models.py:")
    assert (await evaluate(session, "factor")).output == "3.0"
    assert (await complete(session, "hid")).words == ("hidden",)
    assert (await evaluate(session, "c")).ended
    row = await fire
    assert session.state.paused is None
    assert "paused for" in row.note  # type: ignore[attr-defined]
    assert session.state.leak is None


async def test_a_cancel_ends_the_line_first_and_then_the_run(session: Session) -> None:
    fire = await paused(session)
    line = asyncio.ensure_future(evaluate(session, "import time; time.sleep(60)"))
    await until(lambda: any(job.name == "Evaluate" for job in session.state.running))
    assert await session.cancel()
    assert (await line).error == "interrupted"
    assert session.state.paused is not None
    assert (await evaluate(session, "factor")).output == "3.0"
    assert await session.cancel()
    with pytest.raises(WorkbenchError) as refused:
        await fire
    assert refused.value.failure.kind == "cancelled"
    assert "Aborted at" in refused.value.failure.message
    assert session.state.paused is None
    assert (await evaluate(session, "1 + 1")).output == "2"


async def test_the_run_itself_can_be_cancelled_while_a_line_runs(session: Session) -> None:
    fire = await paused(session)
    assert session.state.paused is not None
    line = asyncio.ensure_future(evaluate(session, "import time; time.sleep(60)"))
    await until(lambda: any(job.name == "Evaluate" for job in session.state.running))
    await session.cancel(session.state.paused.job)
    with pytest.raises(WorkbenchError):
        await fire
    assert (await line).error == "interrupted"


async def test_it_is_killed_and_brought_back(session: Session) -> None:
    fire = await paused(session)
    await session.kill()
    with pytest.raises(WorkbenchError) as refused:
        await fire
    assert refused.value.failure.kind == "engine"
    assert session.state.paused is None
    await session.recover()
    fire = await paused(session)  # the fresh worker knows that somebody is there
    await evaluate(session, "q")
    with pytest.raises(WorkbenchError):
        await fire


async def test_a_new_engine_in_the_place_of_a_dead_one_knows_that_somebody_is_there() -> None:
    engine = launch(bench=True, attended=True)
    session = Session(engine, warm=True, attended=True)
    session.relaunch = launch  # as K does in the app
    await session.attach()
    try:
        await session.started()
        fire = await paused(session)
        engine.kill()
        with pytest.raises(WorkbenchError) as refused:
            await fire
        assert refused.value.failure.kind == "engine"
        await until(lambda: session.state.engine == "gone")
        assert session.state.paused is None
        await session.recover()
        fire = asyncio.ensure_future(session.request(Fire()))
        await until(lambda: session.state.paused is not None)
        assert (await evaluate(session, "c")).ended
        await fire
    finally:
        await session.close()


async def test_a_segfault_at_a_pause_is_a_death_with_its_cause(session: Session) -> None:
    fire = await paused(session)
    with pytest.raises(WorkbenchError) as refused:
        await evaluate(session, "import ctypes; ctypes.string_at(0)")
    assert "segmentation fault" in refused.value.failure.message
    with pytest.raises(WorkbenchError):
        await fire
    await session.recover()
    assert (await look_inside(session, "fc")).calls


async def test_headless_nothing_stops() -> None:
    session = Session(launch(bench=True), warm=True)
    await session.attach()
    try:
        await session.started()
        await session.open(Recipe(f"{STOPPING}:Stops", inputs=("x=float32[4,10]",)))
        assert (await session.fire()).run == 1
        assert session.state.paused is None
        await until(lambda: any("passed over" in line for _, line in session.state.log))
    finally:
        await session.close()
