"""Rules of the house: small files, small classes, empty `__init__.py`, docstrings, no failure swallowed whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "workbench"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]

LONGEST_MODULE = 320
LONGEST_CLASS = 210


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def test_there_is_something_to_look_at() -> None:
    assert "protocol/messages.py" in NAMES
    assert len(FILES) > 50


def test_init_files_are_empty_and_the_package_holds_its_version_only() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        text = path.read_text("utf-8").strip()
        if path.parent == PACKAGE:
            assert text.startswith("__version__ = ")
            assert "\n" not in text
        else:
            assert text == "", path


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_modules_and_classes_can_be_held_in_one_head(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines <= LONGEST_MODULE
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_CLASS, node.name


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_module_says_what_it_owns(path: Path) -> None:
    if path.name not in ("__init__.py", "__main__.py"):
        assert ast.get_docstring(parsed(path))


EVERYTHING = {"", "Exception", "BaseException"}


def swallows(text: str) -> list[int]:
    """Lines that let go of any exception at all: without a word of it, and without a comment on the line that says why.

    Those that only pass or continue may not even with one.
    """
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        place, silent = 0, False
        if isinstance(node, ast.ExceptHandler) and names(node.type) & EVERYTHING:
            silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            left = all(isinstance(step, ast.Pass | ast.Continue | ast.Break | ast.Return) for step in node.body)
            used = any(isinstance(one, ast.Name) and one.id == node.name for one in ast.walk(node))
            place = node.lineno if left and not used else 0
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress":
            caught = {name for argument in node.args for name in names(argument)}
            place = node.lineno if caught & EVERYTHING else 0
        why = lines[place - 1].partition("# ")[2].removeprefix("noqa: BLE001") if place else ""
        if place and (silent or len(re.findall(r"\w+", why)) < 3):
            found.append(place)
    return found


def names(node: ast.expr | None) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {ast.unparse(part) if part else "" for part in parts}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_failure_is_swallowed_whole(path: Path) -> None:
    assert swallows(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("try: f()\nexcept Exception:  # it may raise anything\n    pass", [2]),
        ("for x in y:\n    try: f()\n    except:  # it may raise anything\n        continue", [3]),
        ("def g():\n    try: f()\n    except (OSError, Exception):\n        return None", [3]),
        ("def g():\n    try: f()\n    except Exception:  # noqa: BLE001\n        return None", [3]),
        (
            "def g():\n    try: f()\n    except Exception:  # noqa: BLE001 (it may raise)\n        return None",
            [],
        ),
        ("def g():\n    try: f()\n    except Exception as problem:\n        return str(problem)", []),
        ("def g():\n    try: f()\n    except OSError:\n        return None", []),
        ("with contextlib.suppress(Exception):\n    f()", [1]),
        ("with suppress(OSError, BaseException):\n    f()", [1]),
        ("with suppress(Exception):  # it may raise anything\n    f()", []),
        ("with suppress(OSError):\n    f()", []),
    ],
)
def test_the_rule_on_failures_sees_what_it_is_for(lines: str, found: list[int]) -> None:
    assert swallows(lines) == found
