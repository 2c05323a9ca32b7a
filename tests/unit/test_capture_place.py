"""A capture's place on the disk: it takes a name that nobody else has, and deletes nothing that it did not write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.unit.test_capture import ROOT, program
from workbench import capture
from workbench.protocol.captures import is_capture, read_capture
from workbench.recorder.place import Place
from workbench.recorder.record import Recorder

X = torch.ones(1, 2)


def recorded(path: Path, number: float = 0.0) -> Recorder:
    """A whole capture of one call whose values are all this number."""
    net = nn.Linear(2, 2)
    nn.init.constant_(net.weight, number)
    with capture.watch(net, str(path)) as captured:
        net(torch.full((1, 2), number))
    assert not captured.why
    return captured


def numbers_of(path: Path) -> set[float]:
    """Every number among a capture's weight and its samples."""
    found = {float(one) for one in torch.load(path / "state.pt")["weight"].flatten()}
    for sample in (path / "samples").iterdir():
        found |= {float(one) for one in torch.load(sample)["args"][0].flatten()}
    return found


def nothing_else(folder: Path, *names: str) -> None:
    assert sorted(os.listdir(folder)) == sorted(names)


@pytest.mark.parametrize("calls", [0, 1], ids=["before the first call", "after it"])
def test_what_the_program_saves_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str], calls: int) -> None:
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "run"))
    for _ in range(calls):
        net(X)
    os.makedirs(tmp_path / "run" / "logs", exist_ok=True)
    torch.save(net.state_dict(), tmp_path / "run" / "best.pt")
    net(X)
    captured.close()
    nothing_else(tmp_path, "run", "run-2")
    nothing_else(tmp_path / "run", "best.pt", "logs")
    assert torch.equal(torch.load(tmp_path / "run" / "best.pt")["weight"], net.weight)
    assert (captured.path, captured.why) == (str(tmp_path / "run-2"), "")
    assert read_capture(captured.path).samples == calls + 1
    assert not read_capture(captured.path).cut
    assert f"The capture is {tmp_path}/run-2" in capsys.readouterr().err


def overwritten(run: Path) -> None:
    torch.save({"mine": X}, run / "state.pt")


def in_the_code(run: Path) -> None:
    (run / "code" / "mine.py").write_text("mine")


def linked(run: Path) -> None:
    (run / "latest").symlink_to(run.parent / "far")


CHANGES = [overwritten, in_the_code, linked]


def _untouched(found: os.stat_result) -> tuple[int, ...]:
    """Which file it is and what is in it: to look at it, which only moves its access time, is allowed."""
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("earlier", [False, True], ids=["in its own", "in an earlier one"])
def test_of_a_capture_only_what_a_recorder_wrote_is_deleted(
    tmp_path: Path, change: Callable[[Path], None], earlier: bool
) -> None:
    run, far = tmp_path / "run", tmp_path / "far"
    far.mkdir()
    (far / "kept.txt").write_text("kept")
    net = nn.Linear(2, 2)
    if earlier:
        recorded(run)
    captured = capture.watch(net, str(run))
    net(X)
    change(run)
    mine = {path: path.lstat() for path in run.rglob("*") if path.name in ("state.pt", "mine.py", "latest")}
    captured.close()
    assert captured.path == str(tmp_path / "run-2")
    assert read_capture(captured.path).samples == 1
    assert (far / "kept.txt").read_text() == "kept"
    changed = max(mine, key=lambda path: mine[path].st_mtime_ns)
    assert _untouched(changed.lstat()) == _untouched(mine[changed])
    assert is_capture(str(run)) is earlier, "the recording's own files made room, an earlier capture is left whole"
    nothing_else(tmp_path, "run", "run-2", "far")


def test_a_capture_that_somebody_wrote_into_is_no_earlier_capture(tmp_path: Path) -> None:
    recorded(tmp_path / "run", 1.0)
    (tmp_path / "run" / "best.pt").write_text("mine")
    assert recorded(tmp_path / "run", 2.0).path == str(tmp_path / "run-2")
    assert recorded(tmp_path / "run", 3.0).path == str(tmp_path / "run-2"), "and that one is, which makes room"
    assert [numbers_of(tmp_path / name) for name in ("run", "run-2")] == [{1.0}, {3.0}]
    nothing_else(tmp_path, "run", "run-2")


def test_what_took_the_place_of_a_capture_is_left_alone(tmp_path: Path) -> None:
    """The program clears its folder while it is recorded, and another program's capture comes to lie there."""
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "run"))
    net(X)
    os.rename(tmp_path / "run", tmp_path / "moved")
    recorded(tmp_path / "other", 5.0)
    os.rename(tmp_path / "other", tmp_path / "run")
    captured.close()
    assert "deleted or replaced" in captured.why
    assert numbers_of(tmp_path / "run") == {5.0}
    nothing_else(tmp_path, "run", "moved")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    recorded(tmp_path / "real", 1.0)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert recorded(tmp_path / "link", 2.0).path == str(tmp_path / "link-2")
    assert numbers_of(tmp_path / "real") == {1.0}


RANKS = """
    import multiprocessing, torch
    from torch import nn
    from workbench import capture

    def rank(number, all_there):
        net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(net.weight, float(number))
        all_there.wait()
        captured = capture.watch(net, "a")
        for _ in range(6):
            net(torch.full((1, 1), float(number)))
            all_there.wait()
        captured.close()
        with open(f"told.{number}", "w") as stream:
            print(captured.path, captured.samples, captured.why, file=stream)

    if __name__ == "__main__":
        torch.set_num_threads(1)
        fork = multiprocessing.get_context("fork")
        all_there = fork.Barrier(4)
        ranks = [fork.Process(target=rank, args=(number, all_there)) for number in range(1, 5)]
        for one in ranks:
            one.start()
        for one in ranks:
            one.join()
"""


@pytest.mark.parametrize("earlier", [False, True], ids=["nothing there", "an earlier capture there"])
def test_processes_that_are_given_one_path_write_a_capture_each(tmp_path: Path, earlier: bool) -> None:
    if earlier:
        recorded(tmp_path / "a", 9.0)
    program(tmp_path, textwrap.dedent(RANKS), "program.py")
    names = ["a", "a-2", "a-3", "a-4"]
    nothing_else(tmp_path, "program.py", *names, *(f"told.{number}" for number in range(1, 5)))
    told = [(tmp_path / f"told.{number}").read_text().split() for number in range(1, 5)]
    assert sorted(told) == [[str(tmp_path / name), "6"] for name in names]
    for number, (path, _) in enumerate(told, 1):
        assert numbers_of(Path(path)) == {float(number)}, "of one process alone"
        assert read_capture(path).samples == 6


LATER = """
    import os, torch
    from torch import nn
    from workbench import capture

    torch.set_num_threads(1)

    def recording(number):
        net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(net.weight, float(number))
        captured = capture.watch(net, "a")
        net(torch.full((1, 1), float(number)))
        return captured

    def another(number):
        child = os.fork()
        if not child:
            recording(number).close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    another(1)                      # it was done before this one began to record
    late = recording(2)
    another(3)                      # it begins later and is done before
    open(late.path + "/best.pt", "w").write("mine")
    late.close()
    print(os.path.basename(late.path))
"""


def test_what_another_process_of_the_job_has_finished_is_no_earlier_capture(tmp_path: Path) -> None:
    assert "a-4" in program(tmp_path, LATER, "program.py").split()
    nothing_else(tmp_path, "program.py", "a", "a-2", "a-3", "a-4")
    nothing_else(tmp_path / "a-2", "best.pt")
    assert [numbers_of(tmp_path / name) for name in ("a", "a-3", "a-4")] == [{1.0}, {3.0}, {2.0}]


def test_two_recordings_of_one_program_under_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (capture.watch(nn.Linear(2, 2), str(tmp_path / "a")) for _ in range(2))
    assert (one.path, two.path) == (str(tmp_path / "a"), str(tmp_path / "a-2"))
    assert "another recording writes it" in capsys.readouterr().err
    two.close()
    one.close()
    nothing_else(tmp_path, "a", "a-2")


GONE = """
import os, signal, torch
from workbench import capture
net = torch.nn.Linear(2, 2)
capture.watch(net, "a")
for _ in range({calls}):
    net(torch.ones(1, 2))
os.kill(os.getpid(), signal.SIGKILL)
"""


def gone(directory: Path, calls: int) -> None:
    """A program that is killed while it holds the name."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", GONE.format(calls=calls)]
    ended = subprocess.run(command, cwd=directory, env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def test_a_name_that_a_program_held_that_is_gone_is_free(tmp_path: Path) -> None:
    gone(tmp_path, calls=0)
    nothing_else(tmp_path, "a.part")
    assert recorded(tmp_path / "a", 1.0).path == str(tmp_path / "a")
    nothing_else(tmp_path, "a")
    gone(tmp_path, calls=1)
    assert read_capture(str(tmp_path / "a.part")).samples == 1
    assert recorded(tmp_path / "a", 2.0).path == str(tmp_path / "a")
    assert numbers_of(tmp_path / "a") == {2.0}
    (left,) = tmp_path.glob("a.part-*")
    assert read_capture(str(left)).samples == 1, "what a killed program recorded is kept"
    nothing_else(tmp_path, "a", left.name)


def test_a_name_that_another_machine_holds_is_not(tmp_path: Path) -> None:
    held = Place(str(tmp_path / "a"))
    (mark,) = (name for name in os.listdir(held.stage) if name.startswith(".held"))
    parts = mark.split("-")
    os.rename(f"{held.stage}/{mark}", f"{held.stage}/{parts[0]}-0badcafe-999999999-{parts[3]}")
    assert Place(str(tmp_path / "a")).path == str(tmp_path / "a-2")


def test_a_disk_that_is_full_at_the_end_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"))
    net(X)

    def full(source: str, target: str) -> None:
        if target == captured.path and not refused:
            refused.append(source)
            raise OSError(28, "No space left on device")
        rename(source, target)

    rename, refused = os.rename, list[str]()
    monkeypatch.setattr("workbench.recorder.place.os.rename", full)
    captured.close()
    monkeypatch.undo()
    assert "No space left" in captured.why
    nothing_else(tmp_path, "a")
    assert (read_capture(captured.path).cut, read_capture(captured.path).samples) == (True, 1)
    assert len(refused) == 1
