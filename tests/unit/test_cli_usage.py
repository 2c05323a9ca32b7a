"""Wrong usage of the command line: exit code, the words, and the JSON, without any engine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from workbench.cli.config import OWN
from workbench.cli.main import command_line
from workbench.cli.talk import DIFFERENCE_LINES, fail
from workbench.protocol.compare import Compare
from workbench.protocol.exits import Exit
from workbench.protocol.failures import Failure, error


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    monkeypatch.setattr("workbench.cli.config.user_config_path", lambda _name: folder)
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Missing argument 'MODEL'"),
        (["run", "m.py:Net", "--nope"], "No such option"),
        (["run", "m.py:Net", "--mode", "evil"], "a mode is train or eval"),
        (["run", "m.py:Net", "--kwargs", "{width: 1}"], "--kwargs is not JSON"),
        (["run", "m.py:Net", "--kwargs", "[1]"], "wants a JSON object"),
        (["run", "m.py:Net", "--kwargs", '{"low": -Infinity}'], "-Infinity is not JSON"),
        (["run", "m.py:Net", "--kwargs", "[" * 100_000], "--kwargs is not JSON"),
        (["run", "m.py:Net", "--repeat", "0"], "0 is not in the range"),
        (["run", "m.py:Net", "--input", "x=float33[4]"], "float33 is no dtype"),
        (["check", "m.py:Net", "--input", "x=float32[4"], "cannot be read"),
        (["export", "m.py:Net", "--to", "trace", "--out", "o", "--input", "nonsense"], "cannot be read"),
        (["verify", "f.pt2", "--against", "m.py:Net", "--input", "x=float32[4,y]"], "cannot be read"),
        (["verify", "f.pt2", "--against", "m.py:Net", "--json", "--input", "x=float32[4,y]"], "cannot be read"),
        (["compare", "m.py:Net", "n.py:Net", "--input", "x=float32[-1]"], "cannot be read"),
        (["verify", "b", "--metric", f"{__file__}:no_such_function<=1"], "has no function no_such_function"),
        (["run", "m.py:Net", "--tolerance", "-1"], "a number above 0"),
        (["run", "m.py:Net", "--tolerance", "nan"], "a number above 0"),
        (["check", "m.py:Net", "--only", "modes,modez"], "No such check: modez"),
        (["check", "m.py:Net", "--only", "modes", "--skip", "modes"], "Nothing is left to check"),
        (["check", "m.py:Net", "--only", "modez", "--only", "modes"], "No such check: modez"),
        (["compare"], "Missing argument 'A'"),
        (["compare", "m.py:Net", "--b-mode", "evil"], "a mode is train or eval"),
        (["compare", "m.py:Net", "--b-kwargs", "[1]"], "wants a JSON object"),
        (["compare", "m.py:Net", "n.py:Net", "o.py:Net"], "unexpected extra argument"),
        (["export", "m.py:Net", "--to", "onyx", "--out", "o"], "onyx"),
        (["export", "m.py:Net", "--to", "trace"], "Missing option '--out'"),
        (["export", "m.py:Net", "--to", "trace", "--out", ".", "--mode", "a=train"], "whole model in one mode"),
        (["export", "m.py:Net", "--to", "trace", "--out", "."], "is there already"),
        (["verify", "b", "--weights", "w"], "--weights: a bundle brings its own"),
        (["verify", "b", "--dtype", "float16", "--seed", "1"], "--seed, --dtype: a bundle brings its own"),
        (["verify", "b", "--rng", "fixed"], "--rng is not for it"),
        (["verify", "b", "--search", "60"], "bundles and runners are not"),
        (["verify", "--runner", "r {inputs} {outputs}", "--against", "m.py:Net", "--search", "9"], "runners are not"),
        (["export", "m.py:Net", "--to", "trace", "--out", "o", "--rng", "free"], "--rng is not for it"),
        (["m.py:Net", "--timeout", "3"], "esc cancels"),
        (["inspect"], "Missing argument 'FILE'"),
        (["--json"], "prints no JSON"),
    ],
)
def test_wrong_usage_is_exit_2_and_plain(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(arguments, False) == 2
    shown = capsys.readouterr()
    if "--json" in arguments:
        assert words in json.loads(shown.out)["error"]["message"]
    else:
        assert words in shown.err
        assert shown.out == ""


def test_a_bundle_that_is_not_to_be_searched_is_not_refused_for_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line(["verify", str(tmp_path / "none"), "--search", "0"], False) != 0
    assert "searched" not in capsys.readouterr().err


def test_wrong_usage_with_json_is_an_error_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["run", "--json", "m.py:Net", "--repeat", "0"], False) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["verdict"] == "error"
    assert found["error"]["kind"] == "usage"


def test_the_app_without_a_terminal_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line([], False) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line(["--help"], False) == 0
    assert "workbench verify BUNDLE" in capsys.readouterr().out
    assert command_line(["--version"], False) == 0
    assert command_line(["run", "--help"], False) == 0


@pytest.mark.parametrize(
    "line",
    ["python", "trust", "allow-code", "digests", "junit", "out", "metric", "runner-shell", "keep", "wieghts", "json"],
)
@pytest.mark.parametrize("table", ["", "[run]\n", "[verify]\n"])
def test_a_file_beside_a_model_may_not_execute_trust_or_write(
    line: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "workbench.toml").write_text(f'{table}{line} = "x"\n')
    assert command_line(["run", f"{tmp_path}/m.py:Net"], False) == 2
    assert f"sets {line}" in capsys.readouterr().err


def test_the_model_is_found_behind_other_words_with_a_colon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "workbench.toml").write_text("nonsense = 1\n")
    arguments = ["run", "--input", "x=float32[batch:1..64,10]", "--kwargs", '{"low": 1}', f"{tmp_path}/m.py:Net"]
    assert command_line(arguments, False) == 2
    assert "sets nonsense" in capsys.readouterr().err


def test_a_fifo_in_the_place_of_the_file_does_not_hang(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "workbench.toml")
    assert command_line(["run", f"{tmp_path}/m.py:Net"], False) == 2
    assert "no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run", "check", "export", "verify"])
def test_what_files_may_set_are_options_that_exist(name: str) -> None:
    from importlib import import_module

    from workbench.cli.app import app

    commands = [app, getattr(import_module(f"workbench.cli.{name}"), name)]
    every = {
        option: parameter.name for command in commands for parameter in command.params for option in parameter.opts
    }
    for option, parameter in OWN.items():
        assert every.get(f"--{option}", parameter) == parameter


def test_every_option_that_files_may_set_exists_somewhere() -> None:
    from importlib import import_module

    from workbench.cli.app import app

    names = ("run", "check", "matrix", "verify")
    commands = [app] + [getattr(import_module(f"workbench.cli.{name}"), name) for name in names]
    every = {option for command in commands for parameter in command.params for option in parameter.opts}
    assert {f"--{option}" for option in OWN} <= every


def test_a_toml_that_does_not_parse_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "workbench.toml").write_text("= 3")
    assert command_line(["check", f"{tmp_path}/m.py:Net"], False) == 2
    assert "workbench.toml cannot be read" in capsys.readouterr().err


def test_options_from_files_are_used_and_the_nearer_one_wins(tmp_path: Path, own_configuration: Path) -> None:
    from workbench.cli.config import defaults

    (own_configuration / "config.toml").write_text('python = "/usr/bin/python3"\nseed = 1\n[check]\nseed = 2\n')
    (tmp_path / "workbench.toml").write_text(
        'weights = "net.pt"\nmode = "eval"\n[kwargs]\nwidth = 3\n[run]\nrepeat = 5\n'
    )
    found = defaults(f"{tmp_path}/m.py:Net", "run")
    assert found == {
        "python": "/usr/bin/python3",
        "seed": 1,
        "weights": str(tmp_path / "net.pt"),
        "modes": ["eval"],
        "kwargs": '{"width": 3}',
        "repeat": 5,
    }
    assert defaults("m.py:Net", "check")["seed"] == 2


def test_a_difference_is_shown_whole_and_a_traceback_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "\n".join(f"missing: layer{number}.weight" for number in range(DIFFERENCE_LINES + 5))
    failure = Failure("weights", "They do not fit.", "net.pt", "Look.", "Traceback (most recent call last)", lines)
    assert fail(failure, as_json=False, traceback=False) == Exit.LOAD
    said = capsys.readouterr().err
    assert "layer0.weight" in said
    assert "5 more lines" in said
    assert "Traceback (" not in said
    fail(failure, as_json=False, traceback=True)
    said = capsys.readouterr().err
    assert f"layer{DIFFERENCE_LINES + 4}.weight" in said
    assert "Traceback (" in said
    fail(failure, as_json=True, traceback=False)
    assert json.loads(capsys.readouterr().out)["error"]["difference"] == lines


@pytest.mark.parametrize("kind", ["inputs", "weights", "usage", "forward"])
def test_no_kind_of_failure_shows_its_traceback_first(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    fail(Failure(kind, "It failed.", details="Traceback (most recent call last)\n  File"), False, False)
    said = capsys.readouterr().err
    assert "--traceback" in said
    assert "File" not in said


def test_verify_says_what_it_wants_before_it_asks_for_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.ts"
    file.write_bytes(b"PK")
    assert command_line(["verify", str(file)], False) == Exit.USAGE
    assert "--against" in capsys.readouterr().err
    assert command_line(["verify", str(tmp_path), "--trust", "sha256:zz"], False) == Exit.USAGE
    assert "64 hexadecimal" in capsys.readouterr().err


def test_b_has_what_a_has_and_its_own_in_its_place() -> None:
    from workbench.cli.compare import _given_to_b

    given = {"weights": "a.pt", "kwargs": "{}", "modes": ("train", "drop=eval"), "dtype": None}
    of_b = {"weights": None, "kwargs": None, "modes": ("fc=eval",), "dtype": "float16"}
    expected = {"weights": "a.pt", "kwargs": "{}", "modes": ("train", "drop=eval", "fc=eval"), "dtype": "float16"}
    assert _given_to_b(given, dict(of_b)) == expected
    whole = _given_to_b(given, {**of_b, "modes": ("eval",), "weights": ""})
    assert (whole["modes"], whole["weights"]) == (("eval",), "")


def test_a_capture_as_b_is_not_given_the_weights_and_arguments_of_a(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {"schema": 1, "name": "Net", "source": "object", "why": "", "samples": 1, "calls": 1, "notes": [],
                "code": {}}  # fmt: skip
    (tmp_path / "net.capture").mkdir()
    (tmp_path / "net.capture" / "capture.json").write_text(json.dumps(manifest))
    asked: list[Compare] = []

    class Session:
        async def request(self, body: Compare) -> None:
            asked.append(body)
            raise error("engine", "enough")

    def converse(work: Any, bench: bool, quiet: bool) -> int:
        return int(asyncio.run(work(Session(), None)))

    monkeypatch.setattr("workbench.cli.compare.converse", converse)
    both = ["--weights", "w.pt", "--kwargs", '{"width": 3}', "--seed", "4", "--allow-code"]
    capture = str(tmp_path / "net.capture")
    assert command_line(["compare", "m.py:Net", capture, *both], False) == Exit.ENGINE
    a, b = asked[0].a.recipe, asked[0].b.recipe
    assert (a.weights, a.kwargs, a.seed) == ("w.pt", {"width": 3}, 4)
    assert (b.weights, b.kwargs, b.seed, len(b.trusted)) == ("", {}, 4, 64)
    command_line(["compare", "m.py:Net", capture, *both, "--b-weights", "other.pt"], False)
    assert asked[1].b.recipe.weights == "other.pt"
    command_line(["compare", capture, "--allow-code", "--b-weights", "other.pt"], False)
    assert (asked[2].a.recipe.weights, asked[2].b.recipe.weights) == ("", "other.pt")
