"""Finding the cause of two runs that part, and the table of errors: as multiples of one bare forward, in one run."""

from __future__ import annotations

import statistics

from .child import Child
from .measure import Settings, ms, ratios, with_spread
from .table import Row

ROWS, ROWS_FULL = 2, 16
WORDS = {
    "watched": ("one watched forward", 4.0),
    "dropout": ("cause of dropout: module, operator, line", 25.0),
    "state": ("cause of hidden state: attribute proven", 50.0),
    "errors": ("table of errors of all module calls", 20.0),
}
"""What each word of the child is, and how many forwards it may take."""


def measure(settings: Settings) -> list[Row]:
    seconds: dict[str, list[float]] = {word: [] for word in ("forward", *WORDS)}
    with Child("attributed.py", str(ROWS_FULL if settings.full else ROWS)) as child:
        child.ask("forward")
        for _ in range(settings.rounds):
            for word in seconds:
                seconds[word].append(child.ask(word))
    forward = statistics.median(seconds["forward"])
    rows = []
    for word, (what, most) in WORDS.items():
        times = ratios(seconds[word], seconds["forward"])
        note = f"{ms(statistics.median(seconds[word]))} ms; a forward of 28 module calls takes {ms(forward)} ms"
        held = statistics.median(times) <= most
        rows.append(
            Row("attribution", f"{what}, forwards", f"≤ {most:g}", with_spread(times, "{:.1f}"), held, note, times)
        )
    return rows
