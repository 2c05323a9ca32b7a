"""The bounded sample of times and its statistics; how forwards are run, counted and timed, on a device too."""

from __future__ import annotations

import statistics
from types import SimpleNamespace

import pytest

from workbench.worker.judge import latency, pace
from workbench.worker.judge.latency import NO_TIMES, Times, quantile
from workbench.worker.judge.pace import Pace
from workbench.worker.judge.rounds import Ratio


def test_statistics_of_known_times() -> None:
    times = Times()
    times.extend([1000 * value for value in range(1, 102)])
    spread = times.spread(seconds=2.0)
    assert spread.count == 101
    assert spread.median == pytest.approx(51e-6)
    assert spread.p90 == pytest.approx(91e-6)
    assert spread.p99 == pytest.approx(100e-6)
    assert spread.minimum == pytest.approx(1e-6)
    assert spread.iqr == pytest.approx(50e-6)
    assert spread.per_second == pytest.approx(50.5)
    assert Times().spread(1.0) == NO_TIMES


def test_quantiles_as_the_standard_library_has_them() -> None:
    values = sorted([5, 1, 9, 9, 2, 30, 4])
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    assert [quantile(values, share / 100) for share in range(1, 100)] == pytest.approx(cuts)
    assert quantile([7], 0.99) == 7


def test_a_bounded_sample_stands_for_all_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "RESERVOIR", 1000)
    times = Times()
    for start in range(0, 200_000, 777):
        times.extend(list(range(start, min(200_000, start + 777))))
    assert times.count == 200_000
    assert len(times._kept) == 1000
    spread = times.spread(1.0)
    assert spread.median * 1e9 == pytest.approx(100_000, rel=0.1)
    assert spread.p90 * 1e9 == pytest.approx(180_000, rel=0.1)
    assert spread.minimum == 0.0
    assert times.first == 0
    live = times.spread(1.0, live=True)
    assert live.count == 200_000
    assert live.median == pytest.approx(spread.median, rel=0.2)


@pytest.mark.parametrize("expected", [1_000, 20_000, 1_000_000])
@pytest.mark.parametrize(("seeded", "kept"), [(False, False), (True, False), (False, True)])
def test_every_forward_is_run_and_counted_however_it_is_timed(expected: int, seeded: bool, kept: bool) -> None:
    calls: list[int] = []
    seeds: list[int] = []
    outputs: list[int] = []

    def call() -> int:
        calls.append(1)
        return len(calls)

    times = Times()
    subject = Pace(call, "cpu", times, (lambda: seeds.append(1)) if seeded else None, outputs.append if kept else None)
    assert subject.one() == 1
    subject.many(1003, expected)
    assert len(calls) == times.count == 1004
    assert len(seeds) == (1004 if seeded else 0)
    assert outputs == (list(range(1, 1005)) if kept else [])


@pytest.mark.parametrize("expected", [1_000, 20_000, 1_000_000])
def test_what_was_done_before_an_interrupt_is_counted(expected: int) -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        if len(calls) == 50:
            raise KeyboardInterrupt

    times = Times()
    subject = Pace(call, "cpu", times, None, None)
    subject.one()
    with pytest.raises(KeyboardInterrupt):
        subject.many(1000, expected)
    assert times.count == 49


class Device:
    """An accelerator that works on what it was given only while somebody waits for it; its clock is the only one."""

    def __init__(self, launch: int, work: int, calls: int = 1 << 30) -> None:
        self.now = self._pending = 0
        self._launch, self._work, self._calls = launch, work, calls

    def call(self) -> None:
        if not self._calls:
            raise KeyboardInterrupt
        self._calls -= 1
        self.now += self._launch
        self._pending += self._work

    def wait(self) -> None:
        self.now, self._pending = self.now + self._pending, 0


def on_device(monkeypatch: pytest.MonkeyPatch, device: Device) -> tuple[Pace, Times]:
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter_ns=lambda: device.now))
    monkeypatch.setattr(pace, "synchronizer", lambda name: device.wait)
    times = Times()
    return Pace(device.call, "cuda:0", times, None, None), times


@pytest.mark.parametrize("expected", [100_000, 1_000_000, 4_000_000])
def test_what_the_device_still_has_to_do_is_part_of_the_time(monkeypatch: pytest.MonkeyPatch, expected: int) -> None:
    subject, times = on_device(monkeypatch, Device(launch=1_000, work=expected - 1_000))
    subject.one()
    subject.many(41, expected)
    assert times.count == 42
    assert times.total == 42 * expected
    assert times.typical == expected
    assert times.spread(1.0).median == pytest.approx(expected / 1e9)
    assert subject.together(round(times.typical)) == max(1, 2_000_000 // expected)


def test_the_device_is_waited_for_after_an_interrupt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, times = on_device(monkeypatch, Device(launch=1_000, work=99_000, calls=30))
    subject.one()
    with pytest.raises(KeyboardInterrupt):
        subject.many(41, 100_000)
    assert (times.count, times.total) == (30, 30 * 100_000)


def test_a_ratio_within_the_controls_is_no_difference() -> None:
    control = Ratio(1.0, 0.9, 1.1)
    assert Ratio(1.1, 0.5, 2.0).within(control)
    assert Ratio(0.9, 0.9, 0.9).within(control)
    assert not Ratio(1.11, 1.0, 1.2).within(control)
    assert not Ratio(0.89, 0.8, 1.0).within(control)
