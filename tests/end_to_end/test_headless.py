"""The command line as a user runs it: real processes, exit codes, JSON, what is left on the disk."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_models"
STORY = f"{SAMPLES}/story.py:Net"
STORY_WEIGHTS = str(SAMPLES / "story.safetensors")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user of their own: no trust store, no configuration."""
    homes = {name: str(tmp_path / name) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME")}
    return {**os.environ, **homes, "PYTHONPATH": str(ROOT)}


def start(environment: dict[str, str], *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "workbench", *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, **{**pipes, **options})


def workbench(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = start(environment, *arguments)
    out, err = process.communicate(timeout=110)
    return process.returncode, out, err


def as_json(environment: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, err = workbench(environment, *arguments, "--json")
    assert out, err
    found = json.loads(out)
    assert found["schema"] == 1
    return code, found


def test_run_in_train_mode_shows_that_answers_part_and_names_the_module(environment: dict[str, str]) -> None:
    code, found = as_json(environment, "run", STORY, "--weights", STORY_WEIGHTS, "--repeat", "5")
    assert code == 0
    first, rest = found["runs"]
    assert first["reference"]
    assert first["count"] == 1
    assert rest["count"] == 4
    assert rest["mark"] == "beyond"
    assert rest["differing"] == rest["compared"] >= 2
    assert rest["max_abs"] > 0
    assert rest["saved_bytes"] > 0
    assert found["divergence"]["module"] == "drop1"
    assert found["divergence"]["kind"] == "dropout"
    assert found["modes"]["training"] is True


def test_run_in_eval_is_identical_and_no_grad_saves_nothing(environment: dict[str, str]) -> None:
    code, found = as_json(
        environment, "run", STORY, "--weights", STORY_WEIGHTS, "--mode", "eval", "--grad", "no_grad", "--repeat", "20"
    )
    assert code == 0
    assert found["runs"][1]["mark"] == "identical"
    assert found["runs"][1]["saved_bytes"] == 0
    assert found["divergence"] is None


def test_run_for_people_is_a_table(environment: dict[str, str]) -> None:
    code, out, err = workbench(environment, "run", f"{SAMPLES}/prints.py:Prints", "--repeat", "3", "--mode", "eval")
    assert code == 0, err
    assert "reference" in out
    assert "= identical" in out
    assert "[bench]" in err  # what the model prints is talk, not result


def test_one_module_in_train_mode_is_enough(environment: dict[str, str]) -> None:
    code, found = as_json(environment, "run", STORY, "--mode", "eval", "--mode", "drop2=train", "--repeat", "3")
    assert code == 0
    assert found["modes"]["flips"] == ["drop2"]
    assert found["divergence"]["module"] == "drop2"


def test_check_passes_a_healthy_model_and_fails_one_left_in_train_mode(environment: dict[str, str]) -> None:
    code, found = as_json(environment, "check", STORY, "--weights", STORY_WEIGHTS)
    assert {row["id"]: row["status"] for row in found["checks"] if row["status"] not in ("pass", "skip")} == {}
    assert (code, found["verdict"]) == (0, "pass")
    code, found = as_json(environment, "check", STORY, "--mode", "eval", "--mode", "drop1=train")
    assert (code, found["verdict"]) == (1, "fail")
    failed = {row["id"]: row for row in found["checks"] if row["status"] == "fail"}
    assert {"modes", "repeatable", "randomness"} <= set(failed)
    assert "drop1" in failed["modes"]["evidence"] + failed["modes"]["cause"]


def test_a_check_out_of_time_is_an_error_and_the_rest_go_on(environment: dict[str, str]) -> None:
    slow = ("check", f"{SAMPLES}/slow.py:Slow", "--kwargs", '{"steps": 1000}')  # 50 s a forward
    code, found = as_json(environment, *slow, "--only", "modes,repeatable", "--timeout", "8")
    assert code == 4
    assert found["verdict"] == "error"
    assert [row["status"] for row in found["checks"]] == ["pass", "error"]


def test_one_error_of_every_check_is_told_once(environment: dict[str, str], tmp_path: Path) -> None:
    source = (
        "from torch import nn\nclass Raises(nn.Module):\n    def forward(self, x):\n        raise ValueError('no')\n"
    )
    (tmp_path / "raises.py").write_text(source)
    target = f"{tmp_path / 'raises.py'}:Raises"
    code, out, _ = workbench(
        environment, "check", target, "--input", "x=float32[2,3]", "--only", "finite,buffers", "--only", "reload"
    )
    assert code == 3
    assert out.count("raised ValueError: no") == 1
    assert out.count("as buffers") == 2


def test_a_worker_that_crashes_is_exit_4_with_its_cause(environment: dict[str, str]) -> None:
    code, found = as_json(environment, "run", f"{SAMPLES}/crashes.py:Crashes", "--repeat", "10")
    assert code == 4
    assert "segmentation fault" in found["error"]["message"].lower()


def test_bad_weights_are_exit_3_with_the_complete_difference(environment: dict[str, str]) -> None:
    code, _, err = workbench(environment, "run", STORY, "--weights", str(SAMPLES / "cnn.safetensors"))
    assert code == 3
    assert "fc1.weight" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("inspect", STORY_WEIGHTS), ("inspect", STORY_WEIGHTS, "--json")])
def test_a_reader_that_is_gone_is_exit_6_and_quiet(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        process = start(environment, *arguments, stdout=pipe)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (6, "")


def test_a_terminal_without_unicode_gets_escapes(environment: dict[str, str]) -> None:
    code, out, _ = workbench({**environment, "PYTHONIOENCODING": "ascii"}, "inspect", STORY_WEIGHTS)
    assert code == 0
    assert "\\xb7" in out


def test_a_result_that_cannot_be_printed_is_exit_6(environment: dict[str, str]) -> None:
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        process = start(environment, "inspect", STORY_WEIGHTS, "--json", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 6, err


def test_ctrl_c_ends_everything_with_130(environment: dict[str, str]) -> None:
    process = start(environment, "run", f"{SAMPLES}/slow.py:Slow", "--repeat", "100")
    family = psutil.Process(process.pid)
    deadline = time.monotonic() + 60
    while len(children := family.children(recursive=True)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_inspect_tells_a_state_dict_from_a_pickled_module(environment: dict[str, str], tmp_path: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(3, 2), tmp_path / "module.pt")
    code, found = as_json(environment, "inspect", str(tmp_path / "module.pt"))
    assert code == 0
    assert found["kind"] == "pickle"
    assert any("torch.nn.modules.linear" in name for name in found["unsafe_globals"])
    code, found = as_json(environment, "inspect", STORY_WEIGHTS)
    assert (code, found["trust"]) == (0, "DATA")
    assert {tensor["name"] for tensor in found["tensors"]} >= {"fc1.weight", "head.bias"}
    assert workbench(environment, "inspect", str(tmp_path / "nothing.pt"))[0] == 3


def test_convert_says_what_a_pickle_would_run_and_converts_it_after_a_yes(
    environment: dict[str, str], tmp_path: Path
) -> None:
    import torch

    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()), tmp_path / "module.pt")
    arguments = ("convert", str(tmp_path / "module.pt"), "--out", str(tmp_path / "out"))
    code, found = as_json(environment, *arguments)
    assert (code, found["error"]["kind"]) == (5, "trust")
    assert "torch.nn.modules.linear.Linear" in found["error"]["message"]
    assert not (tmp_path / "out").exists()
    code, found = as_json(environment, *arguments, "--yes")
    assert (code, found["verdict"], found["tensors"]) == (0, "pass", 2)
    assert as_json(environment, "run", found["architecture"], "--weights", found["weights"])[0] == 0
    assert workbench(environment, "convert", STORY_WEIGHTS, "--out", str(tmp_path / "no"))[0] == 2


@pytest.mark.parametrize("kind", ["weights", "trace", "export"])
def test_export_verify_and_the_bundle_s_own_script(kind: str, environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    arguments = ("export", STORY, "--weights", STORY_WEIGHTS, "--to", kind, "--out", str(out))
    code, found = as_json(environment, *arguments)
    assert (code, found["verdict"]) == (0, "pass"), found
    assert found["published"]
    assert found["proof"]["cases"] >= 16
    assert found["proof"]["clean"]
    assert {"golden.safetensors", "manifest.json", "verify.py", "report.md"} <= {path.name for path in out.iterdir()}
    assert workbench(environment, *arguments)[0] == 2  # the target exists
    code, found = as_json(environment, "verify", str(out))
    assert (code, found["verdict"]) == (0, "pass"), found
    alone = subprocess.run(
        [sys.executable, "-I", str(out / "verify.py")], capture_output=True, text=True, cwd="/", timeout=100
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr


def test_a_baked_branch_is_refused_and_kept_under_another_name(environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    code, found = as_json(environment, "export", f"{SAMPLES}/branch.py:Branch", "--to", "trace", "--out", str(out))
    assert (code, found["verdict"]) == (1, "fail")
    assert "values" in [row["id"] for row in found["checks"] if row["status"] == "fail"]
    assert any("branch.py:" in finding["words"] for finding in found["findings"])
    assert not out.exists()
    assert found["path"] == f"{out}.failed"
    code, _, err = workbench(environment, "export", f"{SAMPLES}/branch.py:Branch", "--to", "export", "--out", str(out))
    assert code == 1
    assert "branch.py:" in err
    assert not out.exists()


def test_an_export_in_train_mode_is_refused_unless_forced_and_then_fails_its_proof(
    environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("export", STORY, "--to", "export", "--mode", "train", "--out", str(tmp_path / "b"))
    assert workbench(environment, *arguments)[0] == 2
    code, found = as_json(environment, *arguments, "--force")
    assert code == 1
    assert "train_ops" in [row["id"] for row in found["checks"] if row["status"] == "fail"]
    assert not (tmp_path / "b").exists()


def test_a_tampered_bundle_is_refused_before_it_is_loaded(environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    assert workbench(environment, "export", STORY, "--to", "trace", "--out", str(out))[0] == 0
    artifact = next(path for path in out.iterdir() if path.suffix in (".pt", ".ts"))
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(data)
    code, found = as_json(environment, "verify", str(out))
    assert code == 1
    rows = {row["id"]: row["status"] for row in found["checks"]}
    assert rows["integrity"] == "fail"
    assert rows["load"] == "skip"


def test_an_artifact_made_by_others_asks_for_trust_and_is_then_judged(
    environment: dict[str, str], tmp_path: Path
) -> None:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(10, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.fc(x))

    source = (
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = torch.nn.Linear(10, 4)\n\n    def forward(self, x):\n        return torch.relu(self.fc(x))\n"
    )
    (tmp_path / "net.py").write_text(source)
    net = Net().eval()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.jit.trace(net, torch.randn(2, 10)).save(str(tmp_path / "right.ts"))
    with torch.no_grad():
        net.fc.bias += 1e-3
    torch.jit.trace(net, torch.randn(2, 10)).save(str(tmp_path / "wrong.ts"))
    against = ("--against", f"{tmp_path}/net.py:Net", "--weights", str(tmp_path / "net.pt"))
    code, found = as_json(environment, "verify", str(tmp_path / "right.ts"), *against)
    assert code == 5
    assert "--trust sha256:" in found["error"]["remedy"]
    digest = found["error"]["remedy"].partition("--trust ")[2]
    code, found = as_json(environment, "verify", str(tmp_path / "right.ts"), *against, "--trust", digest)
    assert (code, found["verdict"]) == (0, "pass"), found
    code, found = as_json(environment, "verify", str(tmp_path / "wrong.ts"), *against, "--allow-code")
    assert (code, found["verdict"]) == (1, "fail")
    failed = [row["id"] for row in found["checks"] if row["status"] == "fail"]
    assert "weights_match" in failed
    assert "fc.bias" in next(row for row in found["checks"] if row["id"] == "weights_match")["evidence"]


@pytest.mark.parametrize("command", ["check", "export", "verify"])
def test_a_device_that_is_not_there_is_said(command: str, environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty.ts").write_bytes(b"")
    arguments = {
        "check": (STORY,),
        "export": (STORY, "--to", "trace", "--out", str(out)),
        "verify": (str(tmp_path / "empty.ts"), "--against", STORY, "--allow-code"),
    }
    code, found = as_json(environment, command, *arguments[command], "--device", "cuda:99")
    assert (code, found["error"]["kind"], found["error"]["where"]) == (3, "device", "--device")
    assert "'cuda:99' is not there" in found["error"]["message"]
    assert "This machine has cpu" in found["error"]["remedy"]
    assert not out.exists()


RARE = """import torch


class Rare(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 1000:
            return x * 2
        return x + 1
"""


def test_a_counterexample_to_others_work_is_kept_with_its_script(environment: dict[str, str], tmp_path: Path) -> None:
    import torch

    (tmp_path / "rare.py").write_text(RARE)
    (tmp_path / "here").mkdir()
    spec = importlib.util.spec_from_file_location("rare", tmp_path / "rare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.jit.trace(module.Rare(), torch.zeros(2, 5)).save(str(tmp_path / "rare.ts"))
    against = ("--against", f"{tmp_path}/rare.py:Rare", "--input", "x=float32[2,5]", "--allow-code", "--search", "60")
    keep = str(tmp_path / "here" / "kept")
    code, found = as_json(environment, "verify", str(tmp_path / "rare.ts"), *against, "--keep", keep)
    assert (code, found["verdict"]) == (1, "fail")
    kept = Path(found["kept"])
    assert kept == tmp_path / "here" / "kept.failed"
    assert {"rare.ts", "golden.safetensors", "counterexample.py", "verify.py"} <= {one.name for one in kept.iterdir()}
    script = subprocess.run(
        [sys.executable, "-I", str(kept / "counterexample.py")], capture_output=True, text=True, cwd="/", timeout=100
    )
    assert (script.returncode, "they part" in script.stdout) == (1, True), script.stderr
    code, found = as_json(environment, "verify", str(kept), "--allow-code")
    assert code == 1
    assert {row["id"]: row["status"] for row in found["checks"]}["integrity"] == "pass"


ECHO = """import torch


class Echo(torch.nn.Module):
    def forward(self, output):
        return output * 1
"""


def test_a_command_in_the_model_s_place_is_proven_with_one_s_own_numbers(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "own.py").write_text("def error(a, b):\n    return (a['output'] - b['output']).abs().max()\n")
    model = ("--against", f"{tmp_path}/echo.py:Echo", "--input", "output=float32[batch:1..9,3]")
    runner = ("--runner", "cp {inputs} {outputs}", "--metric", f"{tmp_path}/own.py:error<=0.001")
    code, found = as_json(environment, "verify", *runner, *model)
    assert (code, found["verdict"], found["kind"]) == (0, "pass", "runner"), found
    assert next(row for row in found["checks"] if row["id"] == "metric:error")["status"] == "pass"
    code, found = as_json(environment, "verify", "--runner", "false {inputs} {outputs}", *model)
    assert (code, found["verdict"]) == (3, "error")
    code, found = as_json(environment, "verify", "--runner", "cp {inputs}", *model)
    assert (code, found["error"]["kind"]) == (2, "usage")


def test_compare_judges_b_by_a_and_leaves_with_its_verdict(environment: dict[str, str], tmp_path: Path) -> None:
    weights = ("--weights", STORY_WEIGHTS)
    code, same = as_json(environment, "compare", STORY, *weights, "--b-grad", "inference_mode")
    assert (code, same["verdict"], same["mark"]) == (0, "pass", "identical")
    assert same["cases"] >= 16


def test_compare_names_other_parameters(environment: dict[str, str]) -> None:
    code, other = as_json(environment, "compare", STORY, "--weights", STORY_WEIGHTS, "--b-weights", "")
    assert (code, other["verdict"], other["mark"], other["yardstick"]) == (1, "fail", "beyond", "float64")
    assert "have other values" in other["cause"]
    errors = other["errors"]
    assert errors["calls"][errors["starts"]]["local"] > 1e-3
    assert other["errors_left_out"] == ""
    code, out, _ = workbench(environment, "compare", STORY, "--weights", STORY_WEIGHTS, "--b-weights", "")
    assert code == 1
    assert f"errors: {errors['words']}" in out
    assert "starts" in out


def test_compare_never_passes_what_is_random(environment: dict[str, str]) -> None:
    code, out, _ = workbench(environment, "compare", STORY, "--weights", STORY_WEIGHTS, "--b-mode", "train")
    assert code == 1
    assert "not comparable" in out
    assert "drop" in out


def test_compare_says_which_side_does_not_load(environment: dict[str, str]) -> None:
    code, wrong = as_json(environment, "compare", STORY, "--b-weights", str(SAMPLES / "cnn.safetensors"))
    assert (code, wrong["error"]["kind"]) == (3, "weights")
    assert wrong["error"]["message"].startswith("Side B: ")


def test_a_comparison_that_takes_too_long_is_ended(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time, torch\nclass Slow(torch.nn.Module):\n    def forward(self, x):\n        time.sleep(1)\n"
        "        return x\n"
    )
    target = f"{tmp_path / 'slow.py'}:Slow"
    code, found = as_json(environment, "compare", target, "--input", "x=float32[2]", "--timeout", "2")
    assert (code, found["error"]["kind"]) == (4, "timeout")
