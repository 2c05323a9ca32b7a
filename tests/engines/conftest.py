"""A real engine, shared by the tests of one module: importing torch once for each test would take minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from workbench.client.launch import launch
from workbench.client.session import Session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[Session]:
    """A session with a real supervisor and a real bench worker."""
    session = Session(launch(bench=True), warm=True)
    await session.attach()
    await session.started()
    yield session
    await session.close()
