"""Several exports: which kinds, where each goes, what they come to together, and whose turn it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.unit.pane_records import export_result, proof
from workbench.client.exports import Ended, ExportQueue, each_kind, kinds_of, run_exports
from workbench.protocol.artifacts import ExportResult
from workbench.protocol.exits import Exit
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import Export
from workbench.protocol.model import Recipe

ASKED = Export(Recipe("net.py:Net"), "export", "/tmp/out")


def test_kinds_are_asked_for_with_commas_or_one_at_a_time() -> None:
    assert kinds_of(("export,onnx", "trace", "onnx")) == ("export", "onnx", "trace")
    with pytest.raises(WorkbenchError, match="no artifact kind 'onxx'"):
        kinds_of(("export,onxx",))
    with pytest.raises(WorkbenchError, match="wants the kind"):
        kinds_of(("export,",))


def test_one_kind_is_the_bundle_itself_and_several_lie_under_their_names() -> None:
    assert [one.out for one in each_kind(ASKED, ("trace",))] == ["/tmp/out"]
    several = each_kind(ASKED, ("trace", "onnx"))
    assert [(one.kind, one.out) for one in several] == [("trace", "/tmp/out/trace"), ("onnx", "/tmp/out/onnx")]


async def test_one_that_fails_does_not_keep_the_others_from_being_tried() -> None:
    asked: list[str] = []
    shown: list[Ended] = []

    async def run(request: Export) -> ExportResult:
        asked.append(request.kind)
        if request.kind == "trace":
            raise error("export", "it cannot be traced")
        if request.kind == "onnx":
            return export_result("onnx", proof("error"), published=False)
        return export_result(request.kind)

    requests = each_kind(ASKED, ("export", "trace", "onnx"))
    ended, code = await run_exports(requests, run, shown.append)
    assert asked == ["export", "trace", "onnx"]
    assert shown == ended
    assert [one.code for one in ended] == [Exit.OK, Exit.VERDICT_NO, Exit.LOAD]
    assert [one.published for one in ended] == [True, False, False]
    assert code == Exit.LOAD


async def test_a_cancel_ends_all_of_them() -> None:
    async def run(request: Export) -> ExportResult:
        raise error("cancelled", "Cancelled.")

    with pytest.raises(WorkbenchError, match="Cancelled"):
        await run_exports(each_kind(ASKED, ("export", "onnx")), run, lambda one: pytest.fail("shown"))


async def test_the_queue_serves_in_the_order_of_asking_and_forgets_who_left() -> None:
    queue, order, gate = ExportQueue(), [], asyncio.Event()

    async def one(kind: str) -> None:
        async with queue.turn(replace(ASKED, kind=kind, out=kind)):
            order.append(kind)
            await gate.wait()

    tasks = [asyncio.create_task(one(kind)) for kind in ("aoti", "onnx", "trace")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (order, queue.kinds) == (["aoti"], ["aoti", "onnx", "trace"])
    tasks[1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert queue.kinds == ["aoti", "trace"]
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (order, queue.kinds, queue.outs) == (["aoti", "trace"], [], [])


async def test_one_that_waits_can_be_dropped_and_the_next_moves_up() -> None:
    queue, order, gate = ExportQueue(), [], asyncio.Event()

    async def one(kind: str) -> None:
        async with queue.turn(replace(ASKED, kind=kind, out=kind)):
            order.append(kind)
            await gate.wait()

    tasks = [asyncio.create_task(one(kind)) for kind in ("aoti", "onnx", "trace")]
    await asyncio.sleep(0)
    assert not queue.drop("aoti"), "it runs"
    assert not queue.drop("weights")
    assert queue.drop("onnx")
    assert not queue.drop("onnx"), "it left already"
    assert queue.kinds == ["aoti", "trace"]
    with pytest.raises(WorkbenchError, match="taken out of the queue"):
        await tasks[1]
    assert order == ["aoti"]
    gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert (order, queue.kinds) == (["aoti", "trace"], [])
