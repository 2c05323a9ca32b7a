"""What the app itself costs while it shows a model that runs: processor and memory of the face, not of the engine."""

from __future__ import annotations

import psutil

from .face import READY, STORY, cpu_share, opened
from .many import TARGET, write_many
from .measure import MIB, Settings
from .table import Row

CPU, RSS, RSS_MANY = 0.05, 45, 60
"""Share of a core; MiB; MiB with 100,000 modules."""
MODULES = 100_000


def measure(settings: Settings) -> list[Row]:
    seconds = 10.0 if settings.full else 5.0
    with opened(settings, *STORY) as terminal:
        app = psutil.Process(terminal.pid)
        terminal.send("R")
        terminal.watch(1.5)
        share = cpu_share(app, terminal, seconds)
        rss = app.memory_info().rss / MIB
    write_many(settings.folder / "many.py")
    many = str(settings.folder / TARGET)
    with opened(settings, many, "--kwargs", f'{{"count": {MODULES}}}', "--input", "x=float32[1,4]") as terminal:
        terminal.wait_for(READY)
        rss_many = psutil.Process(terminal.pid).memory_info().rss / MIB
    return [
        Row("face", "face CPU, live", f"≤ {CPU:.0%} of a core", f"{share:.1%}", share <= CPU),
        Row("face", "face RSS", f"≤ {RSS} MB", f"{rss:.0f} MB", rss <= RSS),
        Row("face", "face RSS with 100,000 modules", f"≤ {RSS_MANY} MB", f"{rss_many:.0f} MB", rss_many <= RSS_MANY),
    ]
