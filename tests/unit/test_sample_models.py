"""The shipped samples: each shows the behaviour that its docstring claims, and the shipped weights fit."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"
FILES = sorted(path.stem for path in SAMPLES.glob("*.py"))
MODELS = {
    "story": "Net",
    "cnn": "Cnn",
    "transformer": "TinyTransformer",
    "branch": "Branch",
    "validation_loop": "NetWithLoss",
    "slow": "Slow",
    "prints": "Prints",
    "crashes": "Crashes",
    "pickled": "Net",
}


def sample(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"sample_{name}", SAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SAMPLES))
    return sample("train_samples")


def run_script(*arguments: str) -> str:
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=100, cwd=SAMPLES)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", FILES)
def test_a_sample_needs_only_torch_and_says_what_it_shows(name: str) -> None:
    tree = ast.parse((SAMPLES / f"{name}.py").read_text("utf-8"))
    assert len(ast.get_docstring(tree) or "") > 80
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for imported in names:
            root = imported.partition(".")[0]
            assert root == "torch" or root in sys.stdlib_module_names or root in FILES, imported


def test_every_sample_with_a_model_is_listed_here() -> None:
    assert set(FILES) == {*MODELS, "train_samples"}


@pytest.mark.parametrize("name", MODELS)
def test_a_sample_says_how_it_is_opened(name: str) -> None:
    text = sample(name).__doc__ or ""
    assert f"sample_models/{name}.py:{MODELS[name]}" in text or f"python sample_models/{name}.py" in text


@pytest.mark.parametrize("name", ["story", "cnn", "transformer"])
def test_shipped_weights_fit_and_are_trained(name: str, trainer: ModuleType) -> None:
    path = SAMPLES / f"{name}.safetensors"
    assert path.stat().st_size < {"story": 100, "cnn": 300, "transformer": 100}[name] * 1024
    kind, batch = next((kind, batch) for label, kind, batch, *_ in trainer.SAMPLES if label == name)
    model = kind().eval()
    model.load_state_dict(load_file(path), strict=True)
    torch.manual_seed(5)
    inputs, wanted = batch(128)
    with torch.no_grad():
        share = (trainer.logits(model, inputs).argmax(-1) == wanted).float().mean().item()
    assert share > 0.9


def test_the_writer_of_weights_agrees_with_safetensors(trainer: ModuleType, tmp_path: Path) -> None:
    state = {"a": torch.randn(3, 5), "count": torch.tensor(7), "empty": torch.zeros(0, 2), "turned": torch.ones(2, 3).T}
    trainer.save(tmp_path / "x.safetensors", state)
    read = load_file(tmp_path / "x.safetensors")
    assert set(read) == set(state)
    for name, tensor in state.items():
        assert torch.equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype


def test_story_differs_in_train_and_repeats_in_eval() -> None:
    model = sample("story").Net()
    x = torch.randn(4, 10)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_cnn_moves_its_statistics_in_train_and_keeps_much_for_backward() -> None:
    module = sample("cnn")
    model, inputs = module.Cnn(), module.example_inputs()
    before = model.stem[1].running_mean.clone()
    model(**inputs)
    assert not torch.equal(model.stem[1].running_mean, before)
    saved: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = model.eval()(**inputs)
    assert sum(saved.values()) > 20 * 2**20
    assert output.shape == (4, 10)


def test_transformer_returns_a_dict_and_looks_back_only() -> None:
    module = sample("transformer")
    model, ids = module.TinyTransformer().eval(), module.example_inputs()["ids"]
    changed = ids.clone()
    changed[:, -1] = (ids[:, -1] + 1) % module.VOCABULARY
    with torch.no_grad():
        first, second = model(ids), model(changed)
    assert list(first) == ["logits", "hidden"]
    assert first["logits"].shape == (*ids.shape, module.VOCABULARY)
    assert torch.allclose(first["hidden"][:, :-1], second["hidden"][:, :-1], atol=1e-5)
    assert not torch.allclose(first["hidden"][:, -1], second["hidden"][:, -1], atol=1e-3)


def test_a_trace_of_branch_is_wrong_on_the_other_side() -> None:
    model, x = sample("branch").Branch().eval(), torch.ones(2, 8)
    with torch.no_grad(), pytest.warns(torch.jit.TracerWarning):
        traced = torch.jit.trace(model, (x,))
    assert torch.equal(traced(x), model(x))
    assert not torch.allclose(traced(-x), model(-x))


def test_the_validation_loop_climbs_with_grad_only() -> None:
    text = run_script("validation_loop.py")
    without, with_grad = (float(number) for number in re.findall(r"([+-]\d+\.\d) MB a batch", text))
    assert with_grad > 20
    assert without < with_grad / 10


def test_slow_sleeps_between_steps() -> None:
    model = sample("slow").Slow()
    assert 1.5 <= model.steps * model.pause <= 3
    assert sample("slow").Slow(steps=2, pause=0.0)(torch.randn(3, 16)).shape == (3, 16)


def test_prints_from_python_and_past_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert sample("prints").Prints()(torch.randn(2, 6)).shape == (2, 3)
    sys.stdout.flush()
    captured = capfd.readouterr()
    assert "print: run 1, input (2, 6)\n" in captured.out
    assert "descriptor 1: run 1\n" in captured.out
    assert "\x1b[31m" in captured.out
    assert "stderr: run 1\n" in captured.err


CRASH = """
import os, resource, signal, sys, torch
from crashes import Crashes
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for how in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        model = Crashes(how, after=1)
        model(torch.zeros(1, 6))
        try:
            model(torch.zeros(1, 6))
        except RuntimeError:
            os._exit(17)
        os._exit(0)
    print(how, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_crashes_end_as_told_on_the_second_run() -> None:
    text = run_script("-c", CRASH, *sample("crashes").WAYS)
    ends = {how: int(code) for how, code in (line.split() for line in text.splitlines())}
    # "loop" and "native" never end by themselves: the alarm (14) of the test does it.
    assert ends == {"segfault": -11, "abort": -6, "exit": 3, "raise": 17, "loop": -14, "native": -14}
    with pytest.raises(ValueError, match="must be one of"):
        sample("crashes").Crashes(how="explode")


def test_a_pickled_module_fails_without_its_source_and_a_state_dict_loads() -> None:
    whole, state = run_script("pickled.py").splitlines()
    assert "AttributeError" in whole
    assert state.endswith("loads")
