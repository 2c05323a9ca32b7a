"""Wrong usage of the command line: exit code, the words, and the JSON, without any engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.cli.main import command_line


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
        (["run", "m.py:Net", "--repeat", "0"], "0 is not in the range"),
        (["run", "m.py:Net", "--tolerance", "-1"], "a number above 0"),
        (["run", "m.py:Net", "--tolerance", "nan"], "a number above 0"),
        (["check", "m.py:Net", "--only", "modes,modez"], "No such check: modez"),
        (["check", "m.py:Net", "--only", "modes", "--skip", "modes"], "Nothing is left to check"),
        (["export", "m.py:Net", "--to", "onyx", "--out", "o"], "onyx"),
        (["export", "m.py:Net", "--to", "trace"], "Missing option '--out'"),
        (["export", "m.py:Net", "--to", "trace", "--out", ".", "--mode", "a=train"], "whole model in one mode"),
        (["export", "m.py:Net", "--to", "trace", "--out", "."], "is there already"),
        (["verify", "b", "--weights", "w"], "go with --against"),
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


@pytest.mark.parametrize("name", ["python", "trust", "allow-code"])
def test_a_file_beside_a_model_may_not_execute_or_trust(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "workbench.toml").write_text(f'{name} = "x"\n')
    assert command_line(["run", f"{tmp_path}/m.py:Net"], False) == 2
    assert f"sets {name}" in capsys.readouterr().err


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
