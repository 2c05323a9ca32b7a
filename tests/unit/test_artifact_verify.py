"""A bundle's own verify.py: one file, torch alone, and nothing is loaded once a byte is wrong."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.artifact_bench import MODELS, make, write_manifest
from workbench.worker.artifact import verify_text
from workbench.worker.artifact.clean import file_differences, file_sha256
from workbench.worker.artifact.prove import prove


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A published bundle of each kind."""
    made = {}
    for kind in ("weights", "trace", "export"):
        stage = tmp_path_factory.mktemp(kind)
        write_manifest(stage, make(stage, "Net", kind).manifest, "files")
        made[kind] = stage
    return made


ENDINGS = """
import os, signal, sys, torch

class Ending(torch.nn.Module):
    def __init__(self, how=""):
        super().__init__()
        self.fc1, self.norm, self.fc2 = torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 3)
        self.how = how
        if how == "sys.exit":
            sys.exit(0)

    def forward(self, x):
        if self.how == "os._exit":
            os._exit(0)
        if self.how:
            os.kill(os.getpid(), getattr(signal, self.how))
        return self.fc2(torch.relu(self.norm(self.fc1(x))))
"""
"""A module whose weights those of `Net` fit, and which ends the process that calls it."""


@pytest.fixture
def bundle(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the traced one, to be tampered with."""
    import shutil

    return Path(shutil.copytree(bundles["trace"], tmp_path / "bundle"))


def verify(bundle: Path, cwd: Path, *options: str) -> tuple[int, dict[str, object]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-I", str(bundle / "verify.py"), "--json", *options]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=100, check=False)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def listed(bundle: Path) -> dict[str, tuple[int, int]]:
    """Every file of a bundle, with its size and when it was written."""
    found = [(one, one.stat()) for one in bundle.rglob("*")]
    return {str(one.relative_to(bundle)): (facts.st_size, facts.st_mtime_ns) for one, facts in found}


@pytest.mark.parametrize("kind", ["weights", "trace", "export"])
def test_it_proves_its_bundle_with_torch_alone(bundles: dict[str, Path], tmp_path: Path, kind: str) -> None:
    before = listed(bundles[kind])
    code, said = verify(bundles[kind], tmp_path)
    assert code == 0, said
    assert said["verdict"] == "pass"
    assert said["clean"] is True
    modules = said["modules"]
    assert isinstance(modules, list)
    assert "torch" in modules
    assert not {"workbench", "safetensors", "artifact_models"} & set(modules)
    assert listed(bundles[kind]) == before


def test_weights_without_an_architecture_prove_bits_and_say_so(bundles: dict[str, Path], tmp_path: Path) -> None:
    code, said = verify(bundles["weights"], tmp_path)
    rows = {one["id"]: one for one in said["checks"]}  # type: ignore[index, attr-defined]
    assert code == 0
    assert rows["values"]["status"] == "skip"
    assert "names, shapes and bits are compared, and no answer" in rows["values"]["evidence"]
    assert rows["weights_match"]["status"] == "pass"
    code, said = verify(bundles["weights"], tmp_path, "--architecture", f"{MODELS}:Net")
    rows = {one["id"]: one for one in said["checks"]}  # type: ignore[index, attr-defined]
    assert code == 0
    assert rows["values"]["status"] == "pass"
    code, said = verify(bundles["weights"], tmp_path, "--architecture", f"{MODELS}:Branch")
    assert code == 3
    assert "do not fit" in str(said["checks"])


def test_it_exits_3_for_what_does_not_load_and_1_for_what_is_wrong(bundle: Path, tmp_path: Path) -> None:
    artifact = bundle / "model.ts"
    artifact.write_bytes(artifact.read_bytes()[:200])
    code, said = verify(bundle, tmp_path)
    assert code == 1
    assert said["verdict"] == "fail"
    write_manifest(bundle, json.loads((bundle / "manifest.json").read_text()), "files")
    code, said = verify(bundle, tmp_path)
    assert code == 3
    assert said["verdict"] == "error"


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("SIGSEGV", 1, "the process that loaded and ran it died: segmentation fault in native code"),
        ("SIGKILL", 4, "ended without a verdict: killed from outside (SIGKILL)"),
        ("os._exit", 4, "ended without a verdict: it called os._exit(0)"),
        ("sys.exit", 3, "could not be built: SystemExit"),
    ],
)
def test_whatever_ends_the_process_there_is_a_verdict_and_its_code(
    bundles: dict[str, Path], tmp_path: Path, how: str, code: int, words: str
) -> None:
    (tmp_path / "ending.py").write_text(ENDINGS)
    options = ("--architecture", f"{tmp_path}/ending.py:Ending", "--kwargs", json.dumps({"how": how}))
    ended, said = verify(bundles["weights"], tmp_path, *options)
    assert (ended, said["verdict"]) == (code, "fail" if code == 1 else "error")
    assert words in json.dumps(said)


def test_what_goes_wrong_in_the_script_itself_is_no_verdict(bundle: Path, tmp_path: Path) -> None:
    script = bundle / "verify.py"
    script.write_text(
        script.read_text().replace("def prove(", "def prove(*given):\n    raise KeyError('x')\n\n\ndef _(", 1)
    )
    code, said = verify(bundle, tmp_path)
    assert (code, said["verdict"], said["error"]["kind"]) == (70, "error", "internal")  # type: ignore[index]


def test_nothing_goes_on_when_the_script_is_killed(bundles: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time, pathlib\npathlib.Path('pid').write_text(f'{os.getpid()} ')\ntime.sleep(600)\n"
    )
    command = [sys.executable, str(bundles["weights"] / "verify.py"), "--architecture", f"{tmp_path}/slow.py:Net"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        until = time.monotonic() + 100
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith(" "):
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == b""  # the end comes when nobody holds it open any more
    assert process.returncode == -signal.SIGKILL


def flipped(bundle: Path) -> str:
    data = bytearray((bundle / "golden.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "golden.safetensors").write_bytes(data)
    return "golden.safetensors: sha256"


def missing(bundle: Path) -> str:
    (bundle / "golden.safetensors").unlink()
    return "golden.safetensors: missing"


def extra(bundle: Path) -> str:
    (bundle / "sitecustomize.py").write_text("")
    return "sitecustomize.py: not in the manifest"


def cut(bundle: Path) -> str:
    data = (bundle / "model.ts").read_bytes()
    (bundle / "model.ts").write_bytes(data[:-1])
    return f"model.ts: {len(data) - 1} bytes, the manifest says {len(data)}"


def linked(bundle: Path) -> str:
    (bundle / "model.ts").rename(bundle.parent / "elsewhere.ts")
    (bundle / "model.ts").symlink_to(bundle.parent / "elsewhere.ts")
    return "model.ts: a symbolic link, which a bundle may not hold"


def extra_link(bundle: Path) -> str:
    (bundle / "link").symlink_to("/etc/passwd")
    return "link: a symbolic link, which a bundle may not hold"


def linked_folder(bundle: Path) -> str:
    (bundle / "folder").symlink_to("/etc")
    return "folder: a symbolic link, which a bundle may not hold"


def piped(bundle: Path) -> str:
    (bundle / "model.ts").unlink()
    os.mkfifo(bundle / "model.ts")
    return "model.ts is no regular file"


def outside(bundle: Path) -> str:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"]["../elsewhere"] = manifest["files"]["model.ts"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return "../elsewhere: listed outside the bundle"


def unlisted(bundle: Path) -> str:
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["model.ts"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return "the artifact is 'model.ts', which is no file of the bundle with a digest"


@pytest.mark.parametrize(
    "tamper", [flipped, missing, extra, cut, linked, extra_link, linked_folder, piped, outside, unlisted]
)
def test_tampering_is_refused_before_anything_is_loaded(bundle: Path, tamper: object) -> None:
    words = tamper(bundle)  # type: ignore[operator]
    proof = prove(bundle)
    assert proof.verdict == "fail"
    assert words in proof.checks[0].evidence
    assert {one.status for one in proof.checks[1:]} == {"skip"}


@pytest.mark.parametrize("name", ["warnings.py", "torch.py", "argparse.py", "json/__init__.py"])
def test_a_file_beside_the_script_is_refused_and_not_run(bundle: Path, name: str) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("import os\nos._exit(0)\n")
    command = [sys.executable, "verify.py", "--json"]  # as people type it, in the bundle's own directory
    ended = subprocess.run(command, capture_output=True, text=True, cwd=bundle, timeout=100, check=False)
    assert ended.returncode == 1, ended.stderr
    row = {one["id"]: one for one in json.loads(ended.stdout)["checks"]}["integrity"]
    assert (row["status"], name in row["evidence"]) == ("fail", True)


def test_a_hostile_name_in_a_manifest_does_not_steer_the_terminal(bundle: Path, tmp_path: Path) -> None:
    (bundle / "manifest.json").write_text('{"schema": 1, "kind": "trace", "x": "' + "\\u001b[31m" + '"}')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    (bundle / "a\x1b[31m.txt").write_text("")
    command = [sys.executable, "-I", str(bundle / "verify.py")]
    ended = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, timeout=100, check=False)
    assert ended.returncode == 1
    assert b"\x1b" not in ended.stdout


def test_the_carried_sources_are_whole_and_ours_alone() -> None:
    order = verify_text.carried()
    assert order[-1] == "workbench.worker.artifact.verify_main"
    assert order.index("workbench.protocol.runs") < order.index("workbench.worker.judge.compare")
    tree = ast.parse(verify_text.verify_text())
    imported = {
        (node.module or "").partition(".")[0]
        if isinstance(node, ast.ImportFrom)
        else node.names[0].name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert "workbench" not in imported
    assert imported - sys.stdlib_module_names == {"torch", "onnx", "onnxruntime"}
    loaded = {
        alias.name.partition(".")[0]
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert loaded - sys.stdlib_module_names == {"torch"}, "ONNX is asked for by ONNX models alone"


def test_two_carried_modules_may_not_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real = verify_text._source
    monkeypatch.setattr(verify_text, "_source", lambda module: f"{real(module)}\nSIGNS = 1\n")
    with pytest.raises(ValueError, match="SIGNS is defined in"):
        verify_text.verify_text()


def test_digests_are_of_regular_files_only(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest, size = file_sha256(tmp_path / "a")
    assert (digest[:8], size) == ("ba7816bf", 3)
    assert file_differences(tmp_path, {"a": {"sha256": digest, "bytes": 3}}) == []
    with pytest.raises(ValueError, match="no regular file"):
        file_sha256(tmp_path)
