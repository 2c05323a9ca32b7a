"""What a worker prints: split, bounded, paced."""

from __future__ import annotations

import asyncio

import pytest

from workbench.protocol.messages import LogLines
from workbench.supervisor.log import LINE_LENGTH, WorkerLog


class Listener:
    def __init__(self) -> None:
        self.events: list[LogLines] = []
        self.log = WorkerLog("bench", self.events.append)

    @property
    def lines(self) -> list[str]:
        return [line for event in self.events for line in event.lines]


async def test_lines_are_put_together_from_pieces():
    listener = Listener()
    for piece in (b"one\ntw", b"o\n", b"thr", b"ee\n\nfour \xff\n"):
        listener.log.feed(piece)
    listener.log.flush()
    assert listener.lines == ["one", "two", "three", "", "four �"]


async def test_at_most_ten_events_a_second_with_the_newest_lines():
    listener = Listener()
    began = asyncio.get_running_loop().time()
    for number in range(3000):
        listener.log.feed(b"line %d\n" % number)
        if number % 100 == 0:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.15)
    took = asyncio.get_running_loop().time() - began
    assert len(listener.events) <= took * 10 + 2
    assert all(len(event.lines) <= 200 for event in listener.events)
    assert sum(len(event.lines) + event.dropped for event in listener.events) == 3000
    assert listener.lines[-1] == "line 2999"
    assert listener.log.tail()[-1] == "line 2999"


@pytest.mark.parametrize("chunk", [100, 100_000])
async def test_a_line_without_an_end_is_cut(chunk: int):
    listener = Listener()
    for _ in range(200_000 // chunk):
        listener.log.feed(b"x" * chunk)
    listener.log.feed(b"\nnext\n")
    listener.log.flush()
    assert [len(line) for line in listener.lines] == [LINE_LENGTH, 4]


async def test_a_progress_bar_is_one_line():
    listener = Listener()
    listener.log.feed(b" 10%\r 50%\r100%\nwindows\r\n")
    listener.log.flush()
    assert listener.lines == ["100%", "windows"]


async def test_a_prompt_is_shown_although_its_line_never_ends():
    listener = Listener()
    listener.log.feed(b"(Pdb) ")
    async with asyncio.timeout(2):
        while not listener.events:
            await asyncio.sleep(0.01)
    assert listener.lines == ["(Pdb) "]
