"""The text of a bundle's verify.py: the very source that proves it here, in one file that needs only torch.

Owns which modules are carried and how they are joined. Their order comes from their own imports of each other.
"""

from __future__ import annotations

import ast
from pathlib import Path

from workbench import __version__

ROOT = Path(__file__).resolve().parents[2]
"""The `workbench` folder."""

FIRST = "workbench.worker.artifact.verify_watch"
"""What runs before torch is imported."""

LAST = "workbench.worker.artifact.verify_main"

_HEADER = '''"""Proves the bundle in this directory: python verify.py [--json] [--trust sha256:…] [--device D]
    [--architecture F.py:Name] [--case N]

Needs Python 3.10 and torch, and nothing of the model's source. Joined from the sources of workbench {version}.
Exit codes: 0 proven, 1 refused, 2 wrong usage, 3 would not load, 4 ended without a verdict, 5 not the manifest that
--trust names, 70 an error of its own.
"""

from __future__ import annotations

import sys

# Python looks for modules beside a script first: a file that was put there would run before it is refused
if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]

import warnings

# torch does without numpy, and would say so above the verdict
warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)
'''


def verify_text() -> str:
    """The whole script. Raises ValueError when two carried modules use one name at their top level."""
    modules = carried()
    owners: dict[str, str] = {}
    parts = [_HEADER.format(version=__version__)]
    for module in modules:
        source = _source(module)
        tree = ast.parse(source)
        for name in _top_names(tree):
            if owners.setdefault(name, module) != module:
                raise ValueError(f"{name} is defined in {owners[name]} and in {module}")
        parts.append(f"\n# {module}\n\n{_stripped(source, tree)}")
    return "\n".join(parts)


def carried() -> list[str]:
    """Names of the carried modules: what watches with what it imports, then each after those that it imports."""
    order: list[str] = []

    def visit(module: str) -> None:
        if module not in order:
            for needed in _own_imports(ast.parse(_source(module))):
                visit(needed)
            order.append(module)

    visit(FIRST)
    visit(LAST)
    return order


def _source(module: str) -> str:
    return (ROOT.parent / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def _own_imports(tree: ast.Module) -> list[str]:
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] == "workbench"):
            if node.level or any(alias.asname for alias in node.names):
                raise ValueError(f"line {node.lineno}: carried modules import each other by absolute, own names")
            found.append(node.module or "")
    return found


def _top_names(tree: ast.Module) -> list[str]:
    """Names that a module defines for itself at its top level, without what it imports."""
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            targets = [one for target in node.targets for one in ast.walk(target)]
            found.extend(one.id for one in targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
    return found


def _stripped(source: str, tree: ast.Module) -> str:
    """The source without its module docstring, `from __future__` and imports of carried modules; comments stay."""
    lines = source.splitlines()
    for place, node in enumerate(tree.body):
        docstring = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ours = isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("__future__", "workbench")
        if docstring or ours:
            for number in range(node.lineno - 1, (node.end_lineno or node.lineno)):
                lines[number] = ""
    text = "\n".join(lines)
    while "\n\n\n\n" in text:
        text = text.replace("\n\n\n\n", "\n\n\n")
    return text.strip("\n") + "\n"
