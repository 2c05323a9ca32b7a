"""The policy of a model: where it is looked for, what it may say, and what is refused with a near name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from workbench.cli.config import defaults
from workbench.client.policy import policy_for
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.policy import Budgets, Policy

FULL = """
[project]
name = "shop"

[tool.workbench]
stochastic = true
batch-coupled = true
mutates = ["cache.*", "count"]
threads = 2

[tool.workbench.budgets]
latency_median_ms = 20
latency-p99-ms = 50.5
peak_mib = 512

[tool.workbench.domain]
x = [-1, 1]

[tool.workbench.discrete]
"output['class']" = 0.99
"""


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path.parent / "net.py") + ":Net"


def refused(target: str) -> str:
    with pytest.raises(WorkbenchError) as caught:
        policy_for(target)
    assert caught.value.failure.kind == "usage"
    return f"{caught.value.failure.message} {caught.value.failure.remedy}"


def test_everything_that_may_be_declared(tmp_path: Path) -> None:
    target = write(tmp_path / "pyproject.toml", FULL)
    assert policy_for(target) == Policy(
        Budgets(latency_median_ms=20.0, latency_p99_ms=50.5, peak_mib=512.0),
        {"x": (-1.0, 1.0)},
        True,
        True,
        ("cache.*", "count"),
        {"output['class']": 0.99},
        str(tmp_path / "pyproject.toml"),
    )
    assert defaults(target, "check")["threads"] == 2
    assert policy_for(target).declared[0] == "latency_median_ms 20"


def test_a_pyproject_is_looked_for_up_to_the_root_of_the_repository(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.workbench]\nstochastic = true\n")
    target = write(tmp_path / "repo" / "models" / "a.toml", "")
    assert policy_for(target) == Policy()  # in no repository: nothing above counts
    (tmp_path / "repo" / ".git").mkdir()
    assert policy_for(target) == Policy()  # the root is below the file
    (tmp_path / ".git").mkdir()
    (tmp_path / "repo" / ".git").rmdir()
    assert policy_for(target).stochastic
    write(tmp_path / "repo" / "pyproject.toml", "[tool.other]\nx = 1\n")
    assert policy_for(target).stochastic
    write(tmp_path / "repo" / "pyproject.toml", "[tool.workbench]\nmutates = 'count'\n")
    assert policy_for(target) == Policy(mutates=("count",), source=policy_for(target).source)


def test_workbench_toml_counts_more_and_the_table_of_check_most(tmp_path: Path) -> None:
    target = write(tmp_path / "pyproject.toml", FULL)
    write(tmp_path / "workbench.toml", "stochastic = true\n[check]\nstochastic = false\nbudgets = {peak-mib = 7}\n")
    found = policy_for(target)
    assert (found.stochastic, found.batch_coupled) == (False, True)
    assert (found.budgets.peak_mib, found.budgets.latency_median_ms) == (7.0, 20.0)
    assert found.source == str(tmp_path / "workbench.toml")
    assert "skip" not in defaults(target, "check")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("budgets = {latency_p9_ms = 3}", "latency_p99_ms"),
        ("budgets = {peak_mib = -1}", "a number above 0"),
        ("budgets = 3", "wants a table"),
        ("stochastic = 1", "true or false"),
        ("mutates = [1]", "a list of names"),
        ("domain = {x = [1, 0]}", "[smallest, largest]"),
        ("domain = {x = 3}", "[smallest, largest]"),
        ("discrete = {output = 1.5}", "above 0 to 1"),
        ("[check]\nbatch_coupled = 'yes'", "true or false"),
        ('mutates = ["\\u001b[31m"]', "a list of names"),
        ('[domain]\n"\\u001b[31m" = [0, 1]', "names that can be printed"),
        ("[budgets]\npeak_mib = 1" + "0" * 400, "a number above 0"),
        ("[domain]\nx = [0, 1" + "0" * 400 + "]", "[smallest, largest]"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    told = refused(write(tmp_path / "workbench.toml", text))
    assert words in told
    assert "workbench.toml" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stochastik = true", "Did you mean stochastic?"),
        ("[check]\nmutate = 'x'", "Did you mean mutates?"),
        ("allow-code = true", "executes or trusts"),
        ("python = 'p'", "executes or trusts"),
    ],
)
@pytest.mark.parametrize("file", ["workbench.toml", "pyproject.toml"])
def test_unknown_names_and_what_executes_are_refused(tmp_path: Path, file: str, text: str, words: str) -> None:
    inside = (
        text if file == "workbench.toml" else "[tool.workbench]\n" + text.replace("[check]", "[tool.workbench.check]")
    )
    target = write(tmp_path / file, inside)
    with pytest.raises(WorkbenchError) as caught:
        defaults(target, "check")
    assert words in f"{caught.value.failure.message} {caught.value.failure.remedy}"


def test_names_that_may_move() -> None:
    policy = Policy(mutates=("body.*.count", "cache"))
    assert policy.may_move("body.0.count")
    assert policy.may_move("cache[3].keys")
    assert not policy.may_move("cached")
    assert not Policy().may_move("")


def test_workbench_toml_may_say_it_as_a_pyproject_does(tmp_path: Path) -> None:
    target = write(tmp_path / "workbench.toml", FULL[FULL.index("[tool.") :])
    found = policy_for(target)
    (tmp_path / "workbench.toml").rename(tmp_path / "pyproject.toml")
    assert replace(found, source="") == replace(policy_for(target), source="")
    assert found.stochastic
    told = refused(write(tmp_path / "workbench.toml", "stochastic = true\n[tool.workbench]\nstochastic = false\n"))
    assert "sets stochastic twice" in told
