"""The queue to the face: bounded, coalescing, never losing an end."""

from __future__ import annotations

import asyncio
from typing import Any

from workbench.protocol.codec import Envelope, decode
from workbench.protocol.memory import MemoryMark, MemorySample
from workbench.protocol.messages import REGISTRY, Done, LogLines, Progress, WorkerDied
from workbench.supervisor.outbox import Outbox, merge_lines


class Pipe:
    """A sink that can be stopped up."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.envelopes: list[Envelope] = []
        self.times: list[float] = []
        self.free = asyncio.Event()
        self.free.set()

    def write(self, data: bytes) -> None:
        envelope = decode(data, REGISTRY, foreign=False)
        self.envelopes.append(envelope)
        self.bodies.append(envelope.body)
        self.times.append(asyncio.get_running_loop().time())

    async def room(self) -> None:
        await self.free.wait()


def sample(rss: int) -> Envelope:
    return Envelope(MemorySample(0.0, "bench", rss, rss, rss, 0.0), None, "supervisor")


def taken(outbox: Outbox) -> list[Any]:
    return [entry.envelope.body for entry in outbox.take()]


async def test_newer_live_events_take_the_place_of_older_ones():
    outbox = Outbox()
    for number in range(100):
        outbox.put(sample(number))
        outbox.put(Envelope(Progress("building", float(number), 100.0, 0.0), 7, "bench"))
        outbox.put(Envelope(Progress("tracing", float(number), 100.0, 0.0), 8, "export"))
    bodies = taken(outbox)
    assert [getattr(body, "rss", None) or body.done for body in bodies] == [99, 99.0, 99.0]
    assert len(outbox) == 0


async def test_ends_and_deaths_are_kept_when_live_events_are_shed():
    outbox = Outbox(live_limit=10)
    died = WorkerDied("bench", 1, "it called os._exit(3)", 3, "", (), "", False)
    outbox.put(Envelope(died, None, "bench"))
    for number in range(1000):
        outbox.put(Envelope(MemoryMark(float(number), f"#{number}"), None, "supervisor"))
        outbox.put(Envelope(Done(), number, "bench"))
    bodies = taken(outbox)
    assert bodies[0] == died
    assert sum(isinstance(body, Done) for body in bodies) == 1000
    assert [body.label for body in bodies if isinstance(body, MemoryMark)] == [
        f"#{number}" for number in range(990, 1000)
    ]


def test_log_lines_merge_and_count_what_they_lose():
    older = LogLines("bench", tuple(f"a{number}" for number in range(150)), 2)
    newer = LogLines("bench", tuple(f"b{number}" for number in range(100)), 3)
    both = merge_lines(older, newer, 200)
    assert len(both.lines) == 200
    assert both.lines[-1] == "b99"
    assert both.lines[0] == "a50"
    assert both.dropped == 2 + 3 + 50


async def test_live_events_wait_for_the_next_tick_and_ends_do_not():
    outbox, pipe = Outbox(hertz=5.0), Pipe()
    loop = asyncio.get_running_loop()
    pump = loop.create_task(outbox.run(pipe))
    outbox.put(sample(1))
    await asyncio.sleep(0.02)
    assert [body.rss for body in pipe.bodies] == [1]  # the first one goes at once
    outbox.put(sample(2))
    outbox.put(sample(3))
    await asyncio.sleep(0.05)
    assert len(pipe.bodies) == 1
    began = loop.time()
    outbox.put(Envelope(Done(), 1, "bench"))
    while len(pipe.bodies) < 3:
        await asyncio.sleep(0.001)
    assert loop.time() - began < 0.1
    assert [type(body).__name__ for body in pipe.bodies] == ["MemorySample", "MemorySample", "Done"]
    assert pipe.bodies[1].rss == 3
    pump.cancel()


async def test_rate_bounds_live_traffic():
    outbox, pipe = Outbox(hertz=20.0), Pipe()
    pump = asyncio.get_running_loop().create_task(outbox.run(pipe))
    for number in range(100):
        outbox.put(sample(number))
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.06)
    pump.cancel()
    span = pipe.times[-1] - pipe.times[0]
    assert 2 <= len(pipe.bodies) <= span * 20 + 2
    assert pipe.bodies[-1].rss == 99


async def test_a_stopped_face_leaves_one_event_a_key():
    outbox, pipe = Outbox(), Pipe()
    pump = asyncio.get_running_loop().create_task(outbox.run(pipe))
    pipe.free.clear()
    outbox.put(sample(0))
    await asyncio.sleep(0.02)
    for number in range(1, 5000):
        outbox.put(sample(number))
        outbox.put(Envelope(LogLines("bench", ("x" * 100,) * 50), None, "bench"))
    await asyncio.sleep(0.15)
    assert len(pipe.bodies) == 1
    assert len(outbox) == 2
    pipe.free.set()
    await asyncio.sleep(0.15)
    assert pipe.bodies[1].rss == 4999
    assert pipe.bodies[2].dropped == 4999 * 50 - 200
    pump.cancel()


async def test_a_line_that_came_encoded_goes_out_as_it_came():
    outbox, pipe = Outbox(), Pipe()
    from workbench.protocol.codec import encode

    line = encode(Envelope(Done(), 4, "bench"))
    outbox.put(Envelope(Done(), 9, "ignored"), line)
    outbox.flush(pipe)
    assert pipe.envelopes == [Envelope(Done(), 4, "bench")]
    assert outbox.written == len(line)


def test_rate_has_bounds():
    outbox = Outbox()
    for given, kept in ((0.0, 0.2), (1000.0, 30.0), (2.0, 2.0)):
        outbox.set_rate(given)
        assert outbox.hertz == kept
