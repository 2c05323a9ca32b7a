"""Rules of the house: small files, small classes, empty `__init__.py`, docstrings, no failure swallowed whole."""

from __future__ import annotations

import ast
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


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_failure_is_swallowed_whole(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            assert not (silent and caught in ("everything", "Exception", "BaseException")), f"line {node.lineno}"
