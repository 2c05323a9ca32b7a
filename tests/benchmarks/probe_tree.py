"""A module tree of 100,000 nodes: from the message to a tree that can be drawn, and one toggle of its largest part."""

from __future__ import annotations

import statistics
import time

from workbench.protocol.codec import Envelope, decode, encode
from workbench.protocol.messages import REGISTRY, Loaded
from workbench.protocol.model import ModelInfo, Modes, ModuleColumns
from workbench.tui.draw.tree import TreeIndex, training_flags

from .face import key_latency, opened, region_of
from .many import TARGET, write_many
from .measure import Settings, ms_with_spread
from .table import Row

NODES = 100_000
READY, TOGGLE = 0.400, 0.030


def loaded() -> bytes:
    """The message of a model with so many modules, as it comes over the pipe."""
    stages = NODES // 100
    names = ("", *(name for stage in range(stages) for name in (str(stage), *map(str, range(99)))))[:NODES]
    depths = (0, *(depth for _ in range(stages) for depth in (1, *[2] * 99)))[:NODES]
    columns = ModuleColumns(names, depths, (0,) * NODES, ("Identity",), (0,) * NODES, ("",) * NODES)
    info = ModelInfo("Many", "many.py:Many", "", "", "", "", "CODE (Python)", 0, 0, 0, {}, columns, (), 1, 0.0)
    return encode(Envelope(Loaded(info, Modes()), 2, "bench"))


def ready(line: bytes) -> float:
    """Seconds from the line to a tree with its rows and every module's train flag."""
    began = time.perf_counter()
    body = decode(line, REGISTRY, foreign=True).body
    tree = TreeIndex(body.info.modules.names, body.info.modules.depths)
    tree.expand_to_fit(30)
    training_flags(tree, body.modes.training, body.modes.flips)
    return time.perf_counter() - began


def measure(settings: Settings) -> list[Row]:
    line = loaded()
    times = [ready(line) for _ in range(settings.rounds)]
    write_many(settings.folder / "many.py")
    many = str(settings.folder / TARGET)
    with opened(settings, many, "--kwargs", f'{{"count": {NODES}}}', "--input", "x=float32[1,4]") as terminal:
        terminal.send("1", "home")
        terminal.wait_quiet(0.3)
        region = region_of(terminal, "1 model")
        toggles = key_latency(terminal, ("enter",), region, 4 * settings.rounds, 0.05)
    return [
        Row(
            "tree", "module tree of 100,000 nodes, ready", f"≤ {READY * 1000:.0f} ms", ms_with_spread(times),
            statistics.median(times) <= READY, f"from the message's {len(line) / 1e6:.1f} MB line", tuple(times),
        ),
        Row(
            "tree", "the same, toggle", f"≤ {TOGGLE * 1000:.0f} ms", ms_with_spread(toggles),
            statistics.median(toggles) <= TOGGLE, "enter on the root, from the key to the screen", tuple(toggles),
        ),
    ]  # fmt: skip
