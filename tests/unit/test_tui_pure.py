"""The app's pure parts: the plan of the board, what the activity line says, options, arguments, paths, the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.client.command import command_for, module_training
from workbench.client.directories import BUNDLE, CAPTURE, FOLDER, MODEL, built_by, kind_of
from workbench.client.intake import engine_gone
from workbench.client.spec_edits import split_specs
from workbench.client.state import OpenJob, State
from workbench.protocol.artifacts import CHECK_IDS
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.messages import Progress, WorkerBusy, WorkerDied
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE, RunRow
from workbench.tui.actions import ACTIONS
from workbench.tui.activity import dead_line, summary, switched, working
from workbench.tui.board import PANES, plan
from workbench.tui.options import speaks_unicode, suited_theme
from workbench.tui.screens.arguments import parse_arguments, print_arguments
from workbench.tui.screens.ask import whole_number
from workbench.tui.screens.open_screen import SUFFIXES
from workbench.tui.screens.paths import completion, free_name, listing
from workbench.tui.screens.verify_screen import no_path

from .pane_records import run_row
from .tui_fake import INFO, spread

# the board


@pytest.mark.parametrize(
    "size", [(80, 20), (80, 14), (100, 30), (104, 21), (120, 21), (120, 37), (200, 60), (400, 110)]
)
@pytest.mark.parametrize("shown", PANES)
@pytest.mark.parametrize("maximised", [False, True])
def test_boxes_fill_the_board_and_never_overlap(size: tuple[int, int], shown: str, maximised: bool) -> None:
    width, height = size
    boxes = plan(width, height, shown, maximised)
    assert shown in boxes
    assert sum(box.width * box.height for box in boxes.values()) == width * height
    for box in boxes.values():
        assert box.width >= 30
        assert box.height >= 5
        assert box.x + box.width <= width
        assert box.y + box.height <= height


def test_a_large_board_shows_every_pane_and_a_small_one_the_runs_and_one_more() -> None:
    assert set(plan(120, 37, "log")) == set(PANES) - {"checks"}
    assert set(plan(120, 37, "checks")) == {"model", "runs", "diff", "checks"}
    assert plan(120, 37, "checks")["checks"].height >= len(CHECK_IDS) + 4
    assert set(plan(80, 20, "memory")) == {"runs", "memory"}
    assert set(plan(80, 20, "runs")) == {"runs", "model"}
    assert set(plan(120, 21, "memory")) == {"model", "runs", "memory"}


# the activity line


def test_a_short_job_is_not_worth_a_clock_and_a_long_one_has_phase_share_and_hint() -> None:
    state = State(engine="ready")
    state.jobs[3] = OpenJob(3, "Export", 100.0)
    assert working(state, 100.2) is None
    state.jobs[3].progress = Progress("proving case 4 of 16", 4, 16, 41.0)
    line = working(state, 141.0)
    assert line is not None
    assert line.clock == "00:41"
    assert line.share == 0.25
    assert "proving case 4 of 16" in line.words
    assert "esc" in line.hint


def test_native_code_is_named_busy_and_not_dead() -> None:
    state = State(engine="ready")
    state.jobs[3] = OpenJob(3, "Fire", 0.0)
    line = working(state, 9.0, WorkerBusy("bench", 8.0, "busy in native code"))
    assert line is not None
    assert "busy in native code for 8 s" in line.words


def test_other_inputs_are_not_called_a_difference_and_what_f_acts_on_is_named() -> None:
    other = run_row(5, mark=INCOMPARABLE, cause="other inputs", mismatched=10, max_abs=0.3, against=1)
    words, severity = summary(other)
    assert severity == "information"
    assert "#5 ran on other inputs than #1" in words
    assert "f finds" not in words
    beyond = run_row(5, mark=BEYOND, mismatched=10, max_abs=0.3, against=1)
    assert "f finds where #2 parts" in summary(beyond, chosen=2)[0]
    assert "f finds where they part" in summary(beyond)[0]


def test_a_dead_worker_has_a_cause_and_a_key() -> None:
    state = State(engine="ready")
    assert dead_line(state) == ""
    state.engine = "dead"
    state.died = WorkerDied("bench", 1, "segmentation fault in native code", -11, "", (), "Fire", False)
    assert "segmentation fault" in dead_line(state)
    assert dead_line(state).startswith("K starts a fresh one"), "the key is there however long the cause is"


def test_an_engine_that_is_gone_is_one_truth_whatever_died_before() -> None:
    state = State(engine="starting", info=INFO)
    state.died = WorkerDied("bench", 1, "killed from outside (SIGKILL)", -9, "", (), "", False)
    engine_gone(state, Failure("engine", "The engine is gone: it closed its end of the pipe."))
    assert dead_line(state) == "K starts a new one · The engine is gone: it closed its end of the pipe"
    for key in ("space", "o", "v", "i", "e", "f", "x"):
        action = next(one for one in ACTIONS if key in one.keys)
        assert "the engine is gone; K starts" in action.when(state)


# options


def test_the_locale_decides_about_unicode() -> None:
    assert speaks_unicode({"LANG": "en_GB.UTF-8"})
    assert speaks_unicode({})
    assert not speaks_unicode({"LANG": "C"})
    assert not speaks_unicode({"LC_ALL": "POSIX", "LANG": "en_GB.UTF-8"})
    assert not speaks_unicode({"LANG": "en_GB.UTF-8", "TERM": "linux"})


def test_the_terminal_decides_about_colours_unless_told() -> None:
    assert suited_theme("light", {"TERM": "xterm-256color"}) == "light"
    assert suited_theme("", {"TERM": "xterm"}) == "ansi"
    assert suited_theme("", {"TERM": "xterm-256color"}) == "dark"
    assert suited_theme("", {"TERM": "xterm", "COLORTERM": "truecolor", "COLORFGBG": "0;15"}) == "light"


# what is typed into the open screen


def test_arguments_are_json_or_name_value_pairs() -> None:
    assert parse_arguments("") == {}
    assert parse_arguments('{"width": 16}') == {"width": 16}
    assert parse_arguments("width=16 deep=true name='a b' rate=1e-3") == {
        "width": 16, "deep": True, "name": "a b", "rate": 1e-3,
    }  # fmt: skip
    assert parse_arguments(print_arguments({"width": 16, "name": "a b"})) == {"width": 16, "name": "a b"}


@pytest.mark.parametrize("text", ["width", "=3", "{width: 3}", "a='b", "1a=2"])
def test_arguments_that_cannot_be_read_say_so(text: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse_arguments(text)
    assert caught.value.failure.kind == "usage"


def test_specs_are_words() -> None:
    assert split_specs(" x=float32[4,10]  ids=int64[2,16]{0..100} ") == ("x=float32[4,10]", "ids=int64[2,16]{0..100}")


def test_paths_are_offered_by_kind_and_completed_as_far_as_they_agree(tmp_path: Path) -> None:
    for name in ("model_a.py", "model_b.py", "net.pt", ".hidden.py"):
        (tmp_path / name).touch()
    (tmp_path / "models").mkdir()
    base = str(tmp_path)
    assert listing("", base, (".py",)) == ["model_a.py", "model_b.py", "models/"]
    assert listing("model_", base, (".py",)) == ["model_a.py", "model_b.py"]
    assert listing("", base, (".pt",)) == ["net.pt", "models/"]
    assert listing("nowhere/", base, (".py",)) == []
    assert listing(f"{base}/model_a", "/", (".py",)) == [f"{base}/model_a.py"]
    assert completion("mod", ["model_a.py", "model_b.py"]) == "model_"
    assert completion("model_a.py", ["model_a.py"]) == "model_a.py"


def test_directories_that_are_something_stand_among_the_files(tmp_path: Path) -> None:
    files = "net.capture/capture.json out/manifest.json out/verify.py hf/config.json site/manifest.json a/x"
    for name in f"{files} model.py model.safetensors.index.json config.json net.onnx".split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"architectures": ["Net"]}' if name == "hf/config.json" else "")
    assert listing("", str(tmp_path), SUFFIXES["path"]) == [
        "hf/", "model.py", "model.safetensors.index.json", "net.capture/", "net.onnx", "out/", "a/", "site/"
    ]  # fmt: skip
    kinds = {name: kind_of(str(tmp_path / name)) for name in ("net.capture", "out", "hf", "site", "a", "nowhere")}
    assert kinds == {
        "net.capture": CAPTURE, "out": BUNDLE, "hf": MODEL, "site": FOLDER, "a": FOLDER, "nowhere": FOLDER
    }  # fmt: skip
    assert (built_by(str(tmp_path / "hf")), built_by(str(tmp_path / "a"))) == ("transformers:", "")
    for text in ('{"architecture": "resnet18"}', "[]", "{", "[" * 100_000):
        (tmp_path / "hf" / "config.json").write_text(text)
        assert built_by(str(tmp_path / "hf")) == ""


def test_a_new_directory_gets_a_free_name(tmp_path: Path) -> None:
    wanted = str(tmp_path / "net-export")
    assert free_name(wanted) == wanted
    Path(wanted).mkdir()
    assert free_name(wanted) == f"{wanted}-2"


@pytest.mark.parametrize("text", ["²", "١٢", "1e3", "-1", "", " ", "9" * 40, "0x10", "1_000"])
def test_what_is_no_number_from_1_to_a_hundred_is_none(text: str) -> None:
    assert whole_number(text, 1, 100) is None


def test_a_typed_number_may_have_blanks_around_it_and_is_held_to_its_bounds() -> None:
    assert [whole_number(text, 1, 100) for text in (" 7 ", "1", "100", "0", "101")] == [7, 1, 100, None, None]


@pytest.mark.parametrize("text", ["", "~nosuchuser/x", "x" * 300, "a\0b", "nowhere.pt"])
def test_a_path_that_is_not_there_is_refused_in_words(text: str) -> None:
    assert no_path(text) == "Nothing is there."


# the command


def test_the_command_names_what_differs_from_its_defaults_and_nothing_else() -> None:
    assert command_for(Recipe("m.py:Net")) == "workbench run m.py:Net"
    assert command_for(Recipe("m.py:Net"), repeat=1) == "workbench run m.py:Net --repeat 1"
    kept = command_for(Recipe("m.py:Net"), Modes(keep_outputs=True), 3, 1e-4, "/opt/other python")
    assert kept == "workbench run m.py:Net --repeat 3 --keep-outputs --tolerance 0.0001 --python '/opt/other python'"
    recipe = Recipe("my model.py:Net", {"width": 8}, "net.pt", inputs=("x=float32[4,10]", "m=bool[4]"), seed=7)
    modes = Modes(training=False, grad="no_grad", dtype="float16", device="cuda", threads=2)
    assert command_for(recipe, modes, repeat=100) == (
        "workbench run 'my model.py:Net' --kwargs '{\"width\": 8}' --weights net.pt --input 'x=float32[4,10]' "
        "--input 'm=bool[4]' --mode eval --grad no_grad --dtype float16 --device cuda --threads 2 --seed 7 --repeat 100"
    )


def test_the_command_takes_the_seed_of_fixed_generators() -> None:
    assert command_for(Recipe("m.py:Net", seed=7), Modes(rng="fixed", seed=3)).endswith("--rng fixed --seed 3")


def test_flags_of_single_modules_follow_from_the_flips_on_the_way_down() -> None:
    modes = Modes(training=False, flips=("body", "body.0.drop"))
    assert [module_training(modes, path) for path in ("", "head", "body", "body.0", "body.0.drop")] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert "--mode eval --mode body=train --mode body.0.drop=eval" in command_for(Recipe("m.py:Net"), modes)


# what a run and a change of modes came to


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (ModeChange(training=False), "eval · grad"),
        (ModeChange(rng="fixed", seed=7), "every run begins with seed 7"),
        (ModeChange(threads=2), "2 threads"),
        (ModeChange(dtype=""), "dtype as loaded"),
        (ModeChange(keep_outputs=True), "every output is kept, as `total += loss` does"),
    ],
)
def test_a_change_of_modes_is_said_in_its_own_words(change: ModeChange, said: str) -> None:
    modes = Modes(training=False, rng="fixed", seed=7, threads=2, keep_outputs=True)
    assert switched(modes, change) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": True}, "is the reference"),
        ({"mark": IDENTICAL}, "is identical to #1"),
        ({"mark": NOISE, "max_abs": 1e-7, "yardstick": "float64"}, "within the noise of #1"),
        ({"mark": NOISE, "max_abs": 1e-7, "yardstick": "given"}, "within the tolerance of #1"),
        ({"mark": NOISE, "max_abs": 1e-7, "yardstick": "tolerance"}, "within the tolerance of #1"),
        ({"mark": BEYOND, "mismatched": 40, "max_abs": 0.5}, "max|Δ| 0.5, 40 of 40 differ"),
        ({"mark": BEYOND, "note": "dtype float32 against float16"}, "dtype float32 against float16"),
        ({"mark": BEYOND, "run": 1, "count": 9, "differing": 8, "compared": 9, "mismatched": 40}, "does not repeat"),
        ({"mark": INCOMPARABLE}, "cannot be compared"),
    ],
)
def test_a_run_is_said_in_one_line(changes: dict[str, Any], said: str) -> None:
    row = RunRow(
        run=2, count=1, running=False, training="eval", grad="grad", rng="free", dtype="float32", device="cpu",
        latency=spread(), reference=False, against=1, mark="", max_abs=0.0, noise_multiple=0.0, mismatched=0,
        elements=40, differing=0, compared=1, cause="", saved_bytes=0, output_bytes=0, rss=0, growth=0.0,
    )  # fmt: skip
    assert said in summary(replace(row, **changes))[0]
