"""A running program's model and its real inputs, recorded by three lines and opened again."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.test_import_contracts import BLOCKED, THIRD_PARTIES
from workbench import capture
from workbench.client.captures import fingerprint_of, with_yes
from workbench.client.trust import TrustStore
from workbench.protocol.captures import is_capture, read_capture
from workbench.protocol.compare import Compare, Side
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.protocol.model import ModeChange, Recipe
from workbench.recorder.samples import Budget, Unfit, plain_call
from workbench.worker.artifact.architecture import architecture_of
from workbench.worker.artifact.inspect import inspect
from workbench.worker.bench import captured as captured_module
from workbench.worker.bench import load
from workbench.worker.job import Job
from workbench.worker.judge.models import compare_models

ROOT = Path(__file__).resolve().parents[2]
JOB = Job(1, lambda body, job: None)
ONLY_TORCH = BLOCKED.format(blocked=tuple(name for name in THIRD_PARTIES if name != "torch"))


@pytest.fixture(autouse=True)
def _imports_taken_back() -> Iterator[None]:
    load.IMPORTS.go_back(None)
    yield
    load.IMPORTS.go_back(None)


def program(directory: Path, text: str, *arguments: str) -> str:
    """Run a script in a clean interpreter that has torch and nothing else; what it printed."""
    (directory / "program.py").write_text(textwrap.dedent(text))
    start = (
        f"{ONLY_TORCH}\nimport runpy, sys\nsys.argv = ['program.py']\nrunpy.run_path('program.py', run_name='__main__')"
    )
    started = [sys.executable, *arguments] if arguments else [sys.executable, "-c", start]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{directory}"}
    ended = subprocess.run(started, cwd=directory, env=environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def opened(path: Path, **recipe: Any) -> load.Built:
    return load.build(Recipe(str(path), trusted=read_capture(str(path)).sha256, **recipe), JOB)


def answer(built: load.Built, number: int = 0) -> torch.Tensor:
    args, kwargs = built.example.sample(number)
    with torch.no_grad():
        return built.model(*args, **kwargs)


SCRIPT = """
    import torch
    from torch import nn
    import torch.nn.functional as F
    from blocks import Block
    from workbench import capture

    WIDTH, DTYPE = 16, torch.float32

    def norm(x):
        return F.layer_norm(x, (WIDTH,))

    class Base(nn.Module):
        pass

    class Net(Base):
        def __init__(self, classes):
            super().__init__()
            self.inp = nn.Linear(8, WIDTH, dtype=DTYPE)
            self.blocks = nn.ModuleList(Block(WIDTH) for _ in range(2))
            self.head = nn.Linear(WIDTH, classes)
            self.tied = self.inp
            self.register_buffer("scale", torch.full((WIDTH,), 2.0), persistent=False)

        def forward(self, x, mask=None):
            x = norm(self.inp(x)) * self.scale
            for block in self.blocks:
                x = block(x)
            return self.head(x if mask is None else x * mask[..., None])

    net = Net(3)
    net.head = nn.Linear(WIDTH, 5)   # what no constructor's argument says
    open("runs.txt", "a").write("x")
    captured = capture.watch(net, "net.capture", samples=8)
    for step in range(20):
        y = net(torch.randn(4 + step % 3, 8), mask=torch.ones(4 + step % 3) if step % 2 else None)
    net.eval()
    captured.close()
    call = torch.load("net.capture/samples/00003.pt")
    torch.save(net(*call["args"], **call["kwargs"]).detach(), "y.pt")
    print(captured.samples, captured.why, len(net._forward_pre_hooks))
"""
BLOCKS = """
    from torch import nn

    class Block(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.fc = nn.Linear(n, n)

        def forward(self, x):
            return x + self.fc(x).relu()
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("program")
    (directory / "blocks.py").write_text(textwrap.dedent(BLOCKS))
    assert program(directory, SCRIPT, "program.py").split() == ["8", "0"]
    os.rename(directory / "blocks.py", directory / "moved.py")  # the capture has what it needs
    return directory


def test_a_script_is_opened_with_its_own_answers_and_is_not_run_again(script: Path) -> None:
    built = opened(script / "net.capture")
    expected = torch.load(script / "y.pt")
    assert torch.equal(answer(built, 3), expected)
    assert built.example.count == 8
    assert [info.spec for info in built.info.inputs] == ["x=float32[4,8]", "mask=None"]
    assert (built.model.training, built.model.tied is built.model.inp) == (False, True)
    assert any("8 samples" in words for words in built.info.warnings)
    assert (script / "runs.txt").read_text() == "x"
    assert not list(script.glob("*.part*"))


def test_what_the_command_line_says_counts_more(script: Path) -> None:
    built = opened(script / "net.capture", inputs=("x=float32[2,8]{zeros}", "mask=None"))
    assert (built.example.count, answer(built).shape) == (1, (2, 5))
    mixed = opened(script / "net.capture", inputs=("mask=None",))
    assert (mixed.example.count, answer(mixed, 3).shape) == (8, (4, 5))


OTHER = """
    from torch import nn

    class Other(nn.Module):
        def __init__(self, width=4):
            super().__init__()
            self.fc = nn.Linear(8, 5)

        def forward(self, x, mask=None):
            return self.fc(x)
"""


def test_a_capture_is_compared_as_either_side(script: Path, tmp_path: Path) -> None:
    path = script / "net.capture"
    yes = Recipe(str(path), trusted=read_capture(str(path)).sha256)
    (tmp_path / "other.py").write_text(textwrap.dedent(OTHER))
    own = Recipe(f"{tmp_path}/other.py:Other", inputs=("x=float32[4,8]", "mask=None"))
    still = (ModeChange(training=False, grad="no_grad"),)
    same = compare_models(Compare(Side(yes, still), Side(yes, still)), JOB)
    assert (same.verdict, same.mark) == ("pass", "identical")
    unlike = compare_models(Compare(Side(own, still), Side(yes, still)), JOB)
    assert (unlike.verdict, unlike.a.name, unlike.b.name) == ("fail", "Other", "Net")
    around = compare_models(Compare(Side(yes, still), Side(own, still)), JOB)
    assert (around.verdict, around.b.name) == ("fail", "Other")
    with pytest.raises(WorkbenchError) as nobody:
        compare_models(Compare(Side(own), Side(Recipe(str(path)))), JOB)
    assert (nobody.value.failure.kind, nobody.value.failure.message.startswith("Side B")) == ("trust", True)


def refused(path: Path, **recipe: Any) -> Failure:
    with pytest.raises(WorkbenchError) as caught:
        load.build(Recipe(str(path), **recipe), JOB)
    return caught.value.failure


def test_nobody_said_yes(script: Path, tmp_path: Path) -> None:
    failure = refused(script / "net.capture")
    assert failure.kind == "trust"
    digest = read_capture(str(script / "net.capture")).sha256
    assert digest in failure.remedy
    assert refused(script / "net.capture", trusted="0" * 64).kind == "trust"
    store = TrustStore(tmp_path / "trust.json")
    recipe = Recipe("net.capture", directory=str(script))
    with pytest.raises(WorkbenchError, match="nobody has trusted"):
        with_yes(recipe, store)
    assert with_yes(recipe, store, allow_code=True).trusted == digest
    assert with_yes(recipe, store, digests=[f"sha256:{digest}"]).trusted == digest
    found = fingerprint_of(recipe)
    assert found is not None
    store.remember(found, "asked")
    assert with_yes(recipe, store).trusted == digest
    assert with_yes(Recipe("file.py:Net"), store) == Recipe("file.py:Net")


@pytest.mark.parametrize("name", ["code/captured.py", "code/blocks.py", "object.pkl", "code/new.py"])
def test_code_that_changed_after_the_yes_is_not_run(script: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "net.capture"
    subprocess.run(["cp", "-r", script / "net.capture", copy], check=True)
    trusted = read_capture(str(copy)).sha256
    with open(copy / name, "ab") as stream:
        stream.write(b"\n")
    failure = refused(copy, trusted=trusted)
    assert failure.kind == "trust"
    assert name in failure.message


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"schema": 9}', '{"schema": 1, "code": {"../x": ""}}'])
def test_a_manifest_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "capture.json").write_text(content)
    assert is_capture(str(tmp_path))
    with pytest.raises(WorkbenchError, match="no manifest of a capture") as caught:
        read_capture(str(tmp_path))
    assert caught.value.failure.kind == "load"


NOTEBOOK = '''
    import linecache, textwrap, torch, __main__
    cells = ["""
    import torch
    from torch import nn
    from typing import Optional
    HIDDEN = 12
    """, """
    class Net(nn.Module):
        def __init__(self, n: Optional[int] = None):
            super().__init__()
            self.fc, self.function = nn.Linear(n or 4, HIDDEN), helper
        def forward(self, x):
            return self.function(self.fc(x))
    """, """
    def helper(x):
        return x * SCALE
    SCALE = 3.0
    net = Net()
    raise_if_run_again = open("cells.txt", "a").write("x")
    """, """
    class Net(nn.Module):
        pass  # the cell was changed and run again: the object is of the former class
    """]
    space = {"__name__": "__main__"}
    vars(__main__).update(__file__=None)
    for number, cell in enumerate(cells):
        name, cell = f"/tmp/ipykernel_99/{number}.py", textwrap.dedent(cell)
        linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
        exec(compile(cell, name, "exec"), vars(__main__))
    from workbench import capture
    with capture.watch(__main__.net, "net.capture") as captured:
        for _ in range(3):
            __main__.net(torch.ones(2, 4))
    torch.save(__main__.net(torch.ones(2, 4)).detach(), "y.pt")
    print(captured.why, captured.samples)
'''


def test_a_notebook(tmp_path: Path) -> None:
    assert program(tmp_path, NOTEBOOK, "program.py").split() == ["3"]
    built = opened(tmp_path / "net.capture")
    assert torch.equal(answer(built), torch.load(tmp_path / "y.pt"))
    assert (tmp_path / "cells.txt").read_text() == "x"


def test_modules_of_a_package_come_along(tmp_path: Path) -> None:
    (tmp_path / "pack" / "parts").mkdir(parents=True)
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "parts" / "__init__.py").write_text("from .layer import Layer\n")
    (tmp_path / "pack" / "parts" / "layer.py").write_text(
        "from torch import nn\nfrom ..sizes import WIDTH\nclass Layer(nn.Linear):\n"
        "    def __init__(self): super().__init__(WIDTH, WIDTH)\n"
    )
    (tmp_path / "pack" / "sizes.py").write_text("WIDTH = 6\n")
    (tmp_path / "pack" / "unused.py").write_text("raise SystemExit\n")
    text = """
        import torch
        from pack.parts import Layer
        from workbench import capture
        with capture.watch(torch.nn.Sequential(Layer(), torch.nn.ReLU()), "net.capture") as captured:
            captured._model(torch.ones(1, 6))
        print("why", captured.why)
    """
    assert program(tmp_path, text).splitlines()[0] == "why "
    os.rename(tmp_path / "pack", tmp_path / "gone")
    assert sorted(one for one in read_capture(str(tmp_path / "net.capture")).code if "pack" in one) == [
        "code/pack/__init__.py", "code/pack/parts/__init__.py", "code/pack/parts/layer.py", "code/pack/sizes.py",
    ]  # fmt: skip
    assert answer(opened(tmp_path / "net.capture")).shape == (1, 6)


def test_a_constructor_whose_arguments_are_known(tmp_path: Path) -> None:
    text = """
        import torch
        from dataclasses import dataclass
        from torch import nn
        from workbench import capture

        @dataclass
        class Sizes:
            width: int = 3

        class Net(nn.Module):
            def __init__(self, sizes, act, shift):
                super().__init__()
                self.fc, self.act, self.shift = nn.Linear(4, sizes.width), act, shift
                self.steps = (one for one in range(3))

            def forward(self, x):
                return self.act(self.fc(x)) + self.shift

        given = {"sizes": Sizes(7), "act": nn.functional.tanh, "shift": torch.ones(7)}
        net = Net(**given).eval()
        one = capture.watch(net, "known.capture", kwargs=given)
        two = capture.watch(net, "unknown.capture")
        torch.save(net(torch.ones(2, 4)).detach(), "y.pt")
        one.close(), two.close()
    """
    said = program(tmp_path, text, "program.py")
    assert "cannot pickle 'generator'" in said
    assert torch.equal(answer(opened(tmp_path / "known.capture")), torch.load(tmp_path / "y.pt"))
    failure = refused(tmp_path / "unknown.capture", trusted=read_capture(str(tmp_path / "unknown.capture")).sha256)
    assert failure.kind == "load"
    assert "kwargs=" in failure.message
    assert "unknown.capture/state.pt" in failure.remedy


ARGUMENTS = """
    import math, torch
    from torch import nn
    from workbench import capture

    class Net(nn.Module):
        def __init__(self, act, dt, width, where, more=None, given=None):
            super().__init__()
            self.fc, self.act = nn.Linear(4, int(width), dtype=dt), act
            self.low = where["low"]
            self.register_buffer("seen", torch.zeros(int(width), device=where["device"]))

        def forward(self, x):
            return self.act(self.fc(x)).clamp_min(self.low) + self.seen

    given = {"act": nn.PReLU(dtype=torch.float64), "dt": torch.float64, "width": torch.tensor(4),
             "more": [torch.Size([1]), 1j, b"x"], "where": {"device": torch.device("cpu"), "low": -math.inf}}
    net = Net(**given).eval()
    one = capture.watch(net, "known.capture", kwargs=given)
    two = capture.watch(net, "stream.capture", kwargs={**given, "given": (number for number in ())})
    print("at once:", two.why)
    three = capture.watch(net, "none.capture", kwargs=given.items())
    y = net(torch.ones(2, 4, dtype=torch.float64))
    for each in (one, two, three):
        each.close()
    print("known:", one.why or "nothing")
    torch.save(y.detach(), "y.pt")
"""


def test_arguments_of_any_kind_are_written_down_or_it_is_said_at_once(tmp_path: Path) -> None:
    said = program(tmp_path, ARGUMENTS, "program.py")
    expected = torch.load(tmp_path / "y.pt")
    assert "at once: kwargs: given is a generator" in said
    assert "known: nothing" in said
    known, stream = (read_capture(str(tmp_path / f"{name}.capture")) for name in ("known", "stream"))
    assert (known.source, stream.source) == ("arguments", "object")
    assert any("given is a generator" in note for note in stream.notes)
    assert "kwargs is a dict_items" in said
    for name in ("known", "stream", "none"):
        assert torch.equal(answer(opened(tmp_path / f"{name}.capture")), expected)


def test_a_model_of_torch_itself_and_one_that_is_wrapped(tmp_path: Path) -> None:
    net = nn.DataParallel(nn.TransformerEncoderLayer(8, 2))
    with capture.watch(net, str(tmp_path / "net.capture")) as captured:
        net(torch.ones(3, 2, 8))
    assert (captured.why, captured.samples) == ("", 1)
    assert type(opened(tmp_path / "net.capture").model) is nn.TransformerEncoderLayer


def test_leaving_python_finishes_it_and_another_process_does_not(tmp_path: Path) -> None:
    text = """
        import os, torch
        from workbench import capture
        net = torch.nn.Linear(2, 2)
        capture.watch(net, "net.capture")
        child = os.fork()
        net(torch.ones(1, 2))
        if not child:
            raise SystemExit
        os.waitpid(child, 0)
    """
    program(tmp_path, text)
    assert read_capture(str(tmp_path / "net.capture")).samples == 1


def test_a_process_that_is_forked_while_a_call_is_written_ends(tmp_path: Path) -> None:
    text = """
        import os, torch
        from workbench import capture
        captured = capture.watch(torch.nn.Linear(2, 2), "net.capture")
        captured._lock.acquire()   # another thread is at it
        child = os.fork()
        if not child:
            captured.close()
            os._exit(0)
        captured._lock.release()
        print(os.waitpid(child, 0)[1])
    """
    assert program(tmp_path, text, "program.py").split()[0] == "0"


def test_an_earlier_capture_makes_room_and_nothing_else_does(tmp_path: Path) -> None:
    for _ in range(2):
        with capture.watch(nn.Linear(2, 2), str(tmp_path / "a")) as captured:
            pass
        assert captured.path == str(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with capture.watch(nn.Linear(2, 2), str(tmp_path / "b")) as captured:
        pass
    assert captured.path == str(tmp_path / "b-2")
    assert (tmp_path / "b" / "mine.txt").read_text() == "mine"


class Odd(nn.Module):
    def forward(self, x: Any, more: Any = None) -> Any:
        return x


def test_what_cannot_be_written_down_is_counted_and_left_out(tmp_path: Path) -> None:
    net = Odd()
    with capture.watch(net, str(tmp_path / "a"), megabytes=1) as captured:
        net(torch.ones(2), object())
        net(torch.ones(2), more={"a": [1, None, "x"], 3: (torch.ones(1), True)})
        net(torch.ones(1 << 20))
        net(torch.ones(2).to_sparse())
    found = read_capture(captured.path)
    assert (found.samples, found.calls, captured.why) == (1, 4, "")
    assert sum("left out: 1 ×" in note for note in found.notes) == 3
    args, _ = opened(tmp_path / "a").example.sample(0)
    assert args[1] == {"a": [1, None, "x"], 3: (torch.ones(1), True)}


def test_a_capture_without_inputs_says_so_when_it_is_closed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Odd()
    with capture.watch(net, str(tmp_path / "a")) as captured:
        net(object())
    assert "the capture has no inputs: calls left out: 1 × object is no tensor" in captured.why
    assert captured.why in capsys.readouterr().err
    with capture.watch(net, str(tmp_path / "b")) as captured:
        pass
    assert "was not called" in capsys.readouterr().err
    with capture.watch(net, str(tmp_path / "c")) as captured:
        net(object())
        net(torch.ones(1))
    assert captured.why == ""
    assert "calls left out: 1 × object" in capsys.readouterr().err


def test_inputs_are_kept_as_they_were_when_the_program_writes_into_them(tmp_path: Path) -> None:
    net, x = Odd(), torch.zeros(2)
    with capture.watch(net, str(tmp_path / "a")):
        for _ in range(3):
            x += 1
            net(x[:1])
    assert [float(opened(tmp_path / "a").example.sample(number)[0][0]) for number in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("path", ["/proc/no/such/place", "/dev/null/x", "a\0b"])
def test_nothing_ever_reaches_the_program(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Linear(2, 2)
    captured = capture.watch(net, path)
    assert net(torch.ones(1, 2)).shape == (1, 2)
    captured.close()
    assert "nothing is captured" in captured.why
    assert "workbench.capture" in capsys.readouterr().err
    assert "no nn.Module" in capture.watch(3, "x").why


@pytest.mark.parametrize(
    "given",
    [{"samples": "8"}, {"samples": None}, {"every": "2"}, {"every": 0.5}, {"megabytes": None}, {"megabytes": math.nan}],
    ids=str,
)
def test_an_amount_that_is_no_number_captures_nothing_and_says_so(
    tmp_path: Path, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"), **given)
    assert net(torch.ones(1, 2)).shape == (1, 2)
    captured.close()
    assert f"{next(iter(given))}=" in captured.why
    assert captured.path == ""
    assert "nothing is captured" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_no_room_for_a_call_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capture.watch(nn.Linear(2, 2), str(tmp_path / "a"), samples=0):
        assert "leave room for no call" in capsys.readouterr().err


def test_a_part_of_a_megabyte_is_an_amount(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    with capture.watch(net, str(tmp_path / "a"), megabytes=0.5) as captured:
        net(torch.ones(1, 2))
    assert (captured.samples, captured.why) == (1, "")


def test_a_class_of_an_exec_is_not_taken_for_another_of_its_name(tmp_path: Path) -> None:
    """Its source is not to be had: that is said, and the script's own class is no stand-in."""
    text = """
        import torch
        from torch import nn
        from workbench import capture
        class Net(nn.Module):
            def forward(self, x): return x * 0 - 777
        exec("class Net(nn.Module):\\n    def forward(self, x): return x + 100\\n")
        with capture.watch(Net(), "net.capture") as captured:
            captured._model(torch.ones(1, 6))
        print("why", captured.why)
    """
    assert "Net, whose source is not to be had" in program(tmp_path, text, "program.py")
    if is_capture(str(tmp_path / "net.capture")):
        with pytest.raises(WorkbenchError):
            opened(tmp_path / "net.capture")


def test_a_disk_that_goes_away_ends_the_recording_alone(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"))
    stage = next(tmp_path.glob("a.part*"))
    os.rename(stage, tmp_path / "elsewhere")
    assert net(torch.ones(1, 2)).shape == (1, 2)
    assert "no more calls" in captured.why
    assert not net._forward_pre_hooks
    captured.close()


def test_the_budget_lets_a_short_program_have_its_samples_and_a_long_one_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("workbench.recorder.samples.time.perf_counter", lambda: now[0])
    budget = Budget(samples=1000, every=1, size=1 << 40)
    taken = 0
    for _ in range(10_000):
        now[0] += 0.001
        if budget.wants():
            taken += 1
            budget.spend(0.01)
            budget.take(1)
    assert 25 <= taken <= 50  # 0.25 s and a fiftieth of 10 s, at 10 ms each
    each_third = Budget(samples=2, every=3, size=1 << 40)
    wanted = [number for number in range(9) if each_third.wants() and (each_third.take(1) or True)]
    assert wanted == [0, 3]


def test_the_same_tensor_twice_is_one_and_depth_has_an_end() -> None:
    x = torch.ones(2)
    args, _, size = plain_call((x, [x]), {}, 1 << 20)
    assert args[0] is args[1][0]
    assert size == 16
    deep: Any = x
    for _ in range(100):
        deep = [deep]
    with pytest.raises(Unfit):
        plain_call((deep,), {}, 1 << 20)


def test_the_manifest_is_json_that_says_what_it_is(script: Path) -> None:
    content = json.loads((script / "net.capture" / "capture.json").read_text())
    assert (content["name"], content["source"], content["torch"]) == ("Net", "object", torch.__version__)
    assert not content["notes"]


def test_a_bundle_of_a_capture_says_how_its_model_is_built(script: Path) -> None:
    built = opened(script / "net.capture")
    entry = architecture_of(built.recipe, built, None)
    assert entry["target"].endswith("captured.py:captured_model")
    assert [os.path.basename(name) for name in built.source_files] == ["captured.py", "blocks.py"]


def test_inspect_says_what_a_capture_holds_and_runs_nothing(tmp_path: Path) -> None:
    model = nn.Linear(6, 3)
    watched = capture.watch(model, str(tmp_path / "net.capture"))
    for _ in range(3):
        model(torch.randn(2, 6))
    watched.close()
    found = inspect(Inspect(str(tmp_path / "net.capture")), JOB)
    assert (found.kind, found.trust, found.tensor_count) == ("capture", "CODE (Python)", 2)
    assert found.metadata["samples"] == "3"
    assert "Linear as a running program had it" in found.words[0]
    assert "code/captured.py" in found.words[1]


# a program that does not live to close it

KILLED = """
    import os, signal, sys, torch
    from torch import nn
    from blocks import Block
    from workbench import capture

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.head = Block(8), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.block(x))

    torch.manual_seed(0)
    net = Net().eval()
    capture.watch(net, sys.argv[1] if len(sys.argv) > 1 else "net.capture")
    x = torch.randn(4, 8)
    torch.save(net(x).detach(), "y.pt")
    net(torch.randn(2, 8))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(directory: Path) -> None:
    (directory / "blocks.py").write_text(textwrap.dedent(BLOCKS))
    (directory / "program.py").write_text(textwrap.dedent(KILLED))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{directory}"}
    ended = subprocess.run([sys.executable, "program.py"], cwd=directory, env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    (directory / "blocks.py").unlink()


def test_a_program_that_is_killed_leaves_what_it_had_and_that_is_said(tmp_path: Path) -> None:
    killed(tmp_path)
    found = read_capture(str(tmp_path / "net.capture"))
    assert (found.cut, found.samples, found.whole_state) == (True, 2, True)
    assert "cut short" in found.notes[0]
    built = opened(tmp_path / "net.capture")
    assert torch.equal(answer(built), torch.load(tmp_path / "y.pt"))
    assert built.example.count == 2
    assert not built.model._forward_pre_hooks, "the recorder's own hook is no part of the model"
    assert any("cut short" in words for words in built.info.warnings)
    said = inspect(Inspect(str(tmp_path / "net.capture")), JOB)
    assert said.metadata["samples"] == "2"
    assert any("cut short" in words for words in said.words)
    assert "calls watched" not in said.metadata, "nobody counted them to their end"


def test_an_earlier_capture_stays_until_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture.watch(nn.Linear(8, 3), str(tmp_path / "net.capture")):
        pass
    killed(tmp_path)
    assert not read_capture(str(tmp_path / "net.capture")).cut
    (left,) = tmp_path.glob("net.capture.part*")
    assert read_capture(str(left)).samples == 2
    monkeypatch.setattr("workbench.recorder.place._BEGAN", time.time_ns())  # a program that begins later
    with capture.watch(nn.Linear(8, 3), str(left)) as captured:
        pass
    assert captured.path == str(left), "its program is gone: it is an earlier capture like any other"


def test_one_that_is_still_written_can_be_opened_and_is_nobody_else_s(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"))
    assert not is_capture(str(tmp_path / "a"))
    net(torch.ones(1, 2))
    assert read_capture(str(tmp_path / "a")).samples == 1
    assert opened(tmp_path / "a").example.count == 1
    other = capture.watch(net, str(tmp_path / "a"))
    assert other.path == str(tmp_path / "a-2")
    net(torch.ones(1, 2))
    captured.close()
    other.close()
    whole = read_capture(str(tmp_path / "a"))
    assert (whole.cut, whole.samples, whole.notes) == (False, 2, ())
    assert sorted(os.listdir(tmp_path)) == ["a", "a-2"]


def test_a_state_that_is_too_large_to_be_written_early_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.recorder.record.EARLY_STATE", 8)
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"))
    net(torch.ones(1, 2))
    found = read_capture(str(tmp_path / "a"))
    assert (found.cut, found.whole_state) == (True, False)
    failure = refused(tmp_path / "a", trusted=found.sha256)
    assert (failure.kind, "--weights" in failure.remedy) == ("load", True)
    torch.save(net.state_dict(), tmp_path / "state.pt")
    built = opened(tmp_path / "a", weights=str(tmp_path / "state.pt"))
    assert torch.equal(built.model.weight, net.weight)
    captured.close()
    assert read_capture(str(tmp_path / "a")).whole_state


def test_a_model_that_cannot_be_written_early_is_recorded_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Moody(Odd):
        def state_dict(self, *given: Any, **more: Any) -> Any:
            if not closing:
                raise RuntimeError("not now")
            return super().state_dict(*given, **more)

    closing: list[bool] = []
    net = Moody()
    captured = capture.watch(net, str(tmp_path / "a"), kwargs={})
    assert net(torch.ones(1)) is not None
    assert (captured.samples, captured.why, is_capture(str(tmp_path / "a"))) == (1, "", False)
    closing.append(True)
    captured.close()
    assert read_capture(str(tmp_path / "a")).samples == 1
    assert any("not now" in note for note in read_capture(str(tmp_path / "a")).notes)


def test_what_is_run_is_what_was_read_and_hashed(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.capture"
    shutil.copytree(script / "net.capture", path)
    checked = captured_module.checked_code

    def changed_after(found: Any) -> dict[str, bytes]:
        sources = checked(found)
        for name in ("captured.py", "blocks.py", "late.py"):
            (path / "code" / name).write_text("raise SystemExit('the bytes of the disk were run')\n")
        return sources

    monkeypatch.setattr(captured_module, "checked_code", changed_after)
    built = opened(path)
    assert torch.equal(answer(built, 3), torch.load(script / "y.pt"))
    assert sys.modules["blocks"].__file__ == str(path / "code" / "blocks.py")
    with pytest.raises(ModuleNotFoundError):
        __import__("late")
    load.IMPORTS.go_back(None)
    assert "blocks" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        __import__("blocks")


# a model that more than one process, or more than the CPU, has a part in

SHARDED = """
    import sys, torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from workbench import capture

    dist.init_process_group("gloo", rank=0, world_size=1, init_method=f"file://{sys.path[0]}/ranks")
    mesh = init_device_mesh("cpu", (1,))
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    late = capture.watch(net, "late")
    fully_shard(net, mesh=mesh)
    net.register_state_dict_pre_hook(lambda *_: print("asked for its state"))
    early = capture.watch(net, "early")
    net(torch.ones(1, 2))
    for one in (late, early):
        one.close()
        print(one.why)
    print(net(torch.ones(1, 2)).shape)
    dist.destroy_process_group()
"""


def test_a_sharded_model_is_not_asked_for_a_state_that_all_its_processes_would_have_to_gather(tmp_path: Path) -> None:
    said = program(tmp_path, SHARDED, "program.py")
    assert "asked for its state" not in said
    assert said.count("is sharded over processes (FSDP); capture the model before it is sharded") >= 2
    assert "torch.Size([1, 2])" in said
    assert not [one for one in os.listdir(tmp_path) if one.startswith(("early", "late"))]


def test_a_module_that_was_spread_by_hand_is_named(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    net.weight._fsdp_flattened = True  # type: ignore[attr-defined]
    assert "weight is spread over processes (Parameter)" in capture.watch(net, str(tmp_path / "a")).why


def test_a_call_that_a_cuda_graph_records_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy to the CPU while one is recorded: it would end the graph of the program."""
    recording = [True]
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.is_current_stream_capturing", lambda: recording[0])
    net = nn.Linear(2, 2)
    captured = capture.watch(net, str(tmp_path / "a"))
    net(torch.ones(1, 2))
    captured.close()
    assert (captured.samples, os.path.exists(tmp_path / "a")) == (0, False)
    recording.clear()
    recording.append(False)
    net(torch.ones(1, 2))
    captured.close()
    assert (captured.samples, captured.why, read_capture(str(tmp_path / "a")).samples) == (1, "", 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_is_recorded_while_its_model_is_watched(tmp_path: Path) -> None:
    net, x = nn.Linear(2, 2).cuda(), torch.ones(1, 2, device="cuda")
    expected = net(x)
    captured = capture.watch(net, str(tmp_path / "a"))
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        y = net(x)
    graph.replay()
    assert torch.equal(y, expected)
    assert captured.samples == 0
    net(x)
    captured.close()
    assert (captured.samples, captured.why) == (1, "")
