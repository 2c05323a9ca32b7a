"""The benchmarks' own arithmetic and table: a number that is printed wrongly is worse than none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks import run
from tests.benchmarks.measure import Settings, in_turns, percentile, ratios, with_spread
from tests.benchmarks.table import Row, draw, machine, save

ROWS = [
    Row("bytes", "bytes/s, idle", "0", "0", True, samples=(0.0,)),
    Row("keys", "key to screen", "≤ 5 ms", "7 ms", False, "150 keys"),
    Row("face", "something new", "", "3", None),
]


def test_percentiles_are_samples() -> None:
    samples = [float(number) for number in range(100, 0, -1)]
    assert [percentile(samples, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([3.0], 0.99) == 3.0


def test_sides_are_taken_in_turns_and_compared_round_by_round() -> None:
    turns: list[str] = []

    def side(name: str, value: float) -> float:
        turns.append(name)
        return value * len(turns)

    first, second = in_turns(lambda: side("a", 1.0), lambda: side("b", 2.0), 2)
    assert turns == ["a", "b", "a", "b"]
    assert ratios(second, first) == (4.0, 8 / 3)
    assert with_spread([1.0, 3.0, 2.0], "{:.1f}") == "2.0 [1.0 … 3.0]"


def test_the_table_says_what_held() -> None:
    lines = draw(ROWS).splitlines()
    assert lines[0].split() == ["what", "goal", "measured", "held"]
    assert [line.split()[-1] for line in lines[2:5]] == ["yes", "NO", "-"]
    assert lines[-1] == "  key to screen: 150 keys"


def test_the_json_has_everything(tmp_path: Path) -> None:
    save(tmp_path / "out.json", ROWS, machine())
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert record["schema"] == 1
    assert record["rows"][0]["samples"] == [0.0]
    assert [row["holds"] for row in record["rows"]] == [True, False, None]


def test_every_probe_is_there_and_one_that_fails_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(run.__file__).parent
    assert {path.stem.removeprefix("probe_") for path in folder.glob("probe_*.py")} == set(run.PROBES)

    def broken(name: str, package: str | None = None) -> object:
        raise RuntimeError("no terminal here")

    monkeypatch.setattr(run.importlib, "import_module", broken)
    (row,) = run.run("keys", Settings())
    assert row.holds is False
    assert "no terminal here" in row.note
