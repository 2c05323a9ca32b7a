"""The README says what is there: commands, checks, keys, exit codes, and the command that the tests are run with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.cli.entry import COMMANDS
from workbench.protocol.artifacts import CHECK_IDS, KINDS, PROOF_IDS
from workbench.protocol.exits import Exit
from workbench.tui.actions import table

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def section(name: str) -> str:
    found = re.search(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert found is not None, f"the README has no section {name}"
    return found[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_there(command: str) -> None:
    assert f"workbench {command}" in README


def test_the_keys_are_the_registry_s() -> None:
    assert section("keys").strip() == table().strip()


def test_the_checks_are_those_that_run() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", section("checks"), re.MULTILINE)) == CHECK_IDS


def test_the_proof_s_ids_are_those_that_run() -> None:
    assert " ".join(f"`{name}`" for name in PROOF_IDS) in README.replace("\n", " ")


def test_every_exit_code_is_there() -> None:
    rows = re.findall(r"^\| (\d+) \|", README, re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in Exit]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_artifact_is_named(kind: str) -> None:
    assert kind in README


def test_continuous_integration_finds_the_test_command() -> None:
    block = README.partition("<!-- test command -->\n```sh\n")[2].partition("```")[0]
    assert block.count("\n") == 1
    assert ".venv/bin/pytest" in block.partition("&&")[2]
    assert "-c .ci/constraints.txt" in block
