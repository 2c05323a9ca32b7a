"""Who may import whom: the contracts of pyproject.toml, and what clean interpreters really load.

import-linter reads the source and sees every import statement; the interpreters see what happens at run time,
through third parties too. Both are needed: the face must never pay for torch, the engine never for Textual.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workbench"
THIRD_PARTIES = ("torch", "numpy", "textual", "rich", "click", "psutil", "platformdirs", "safetensors")

LOADED = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""
BLOCKED = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (there is only torch here)")
sys.meta_path.insert(0, Nothing())
"""


def modules(folder: str) -> list[str]:
    """Names of all modules of one part, without those that run something when imported."""
    paths = sorted((PACKAGE / folder).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith(("__main__", "worker.boot"))]


def load(names: list[str], before: str = "") -> set[str]:
    """Everything that a clean interpreter has loaded after it imported `names`."""
    command = [sys.executable, "-c", before + LOADED, json.dumps(names)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


def third_parties(loaded: set[str]) -> set[str]:
    return {name for name in THIRD_PARTIES if name in loaded}


def test_the_contracts_of_pyproject_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0, capsys.readouterr().out


def test_the_entry_loads_nothing_heavy_before_its_splash() -> None:
    loaded = load(["workbench.cli.entry"])
    assert third_parties(loaded) == set()
    assert "asyncio" not in loaded


def test_the_first_frame_waits_for_none_of_the_messages() -> None:
    assert "workbench.protocol.messages" not in load(["workbench.tui.app"])


@pytest.mark.parametrize("folder", ["protocol", "report", "client", "cli", "tui"])
def test_the_face_never_loads_torch_numpy_or_an_engine(folder: str) -> None:
    loaded = load(modules(folder))
    assert third_parties(loaded) & {"torch", "numpy"} == set()
    assert {name for name in loaded if name.startswith(("workbench.worker", "workbench.supervisor"))} == set()


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [("protocol", set()), ("report", set()), ("client", {"platformdirs"}), ("supervisor", {"psutil"})],
)
def test_a_part_loads_only_the_third_parties_it_is_allowed(folder: str, allowed: set[str]) -> None:
    assert third_parties(load(modules(folder))) <= allowed


def test_the_whole_app_loads_without_ssl_once_the_entry_said_so() -> None:
    loaded = load(modules("tui"), "from workbench.cli.entry import _without_ssl; _without_ssl()")
    assert {"asyncio", "textual"} <= loaded
    assert "_ssl" not in loaded


def test_a_look_at_a_model_does_not_load_the_compiler() -> None:
    look = "from workbench.worker.judge.snapshot import untouched_model\nimport torch\n"
    loaded = load([], f"{look}with untouched_model(torch.nn.Linear(2, 2)): pass\n")
    assert "torch" in loaded
    assert "torch._inductor" not in loaded


def test_textual_comes_with_the_app_only() -> None:
    assert "textual" not in load(modules("cli"))
    assert "textual" in load(["workbench.tui.app"])


def test_the_worker_runs_where_there_is_only_torch() -> None:
    blocked = tuple(name for name in THIRD_PARTIES if name != "torch")
    loaded = load(modules("worker"), BLOCKED.format(blocked=blocked))
    assert "torch" in loaded
    assert {name for name in loaded if name.startswith("workbench.")} == {
        name for name in loaded if name.startswith(("workbench.worker", "workbench.protocol"))
    }


def test_the_block_of_that_test_blocks() -> None:
    with pytest.raises(AssertionError, match="there is only torch here"):
        load(["psutil"], BLOCKED.format(blocked=("psutil",)))


NEWER = {"tomllib", "StrEnum", "Self", "TaskGroup", "ExceptionGroup", "BaseExceptionGroup", "file_digest", "UTC"}
NEWER |= {"add_note", "assert_never", "reveal_type", "LiteralString", "override", "batched", "walk_up"}
"""Names that Python 3.10 lacks and that are easily written by somebody who has 3.11."""


@pytest.mark.parametrize("folder", ["worker", "protocol"])
def test_engine_code_is_python_3_10(folder: str) -> None:
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 10))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                used |= {alias.name for alias in node.names}
        assert used & NEWER == set(), path
