"""A model on the bench of a real worker: what stays when something fails, what comes back, what is carried over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.engines.talking import MODELS, Worker
from workbench.protocol.messages import Load, Restore, SaveState, SetModes
from workbench.protocol.model import ModeChange, Recipe
from workbench.worker import tensorfile
from workbench.worker.bench import weights

SOURCE = MODELS.read_text()
X = ("x=float32[4,10]",)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    worker.greeting()
    worker.receive()
    yield worker
    assert worker.close() == 0


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    return path


def state_of(worker: Worker, path: Path) -> dict[str, torch.Tensor]:
    """The live values on the bench."""
    worker.ask(SaveState(str(path)))
    return dict(weights.read(str(path)).tensors)


def written(path: Path, fill: float) -> str:
    state = {"fc.weight": torch.full((4, 10), fill), "fc.bias": torch.zeros(4)}
    norm = {name: torch.ones(4) for name in ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")}
    tensorfile.save(str(path), {**state, **norm, "norm.num_batches_tracked": torch.tensor(7)})
    return str(path)


def test_the_old_model_stays_when_the_new_one_fails(worker: Worker, model_file: Path, tmp_path: Path) -> None:
    worker.ask(Load(Recipe(f"{model_file}:Plain", {"width": 4}, inputs=X)))
    before = state_of(worker, tmp_path / "before")
    assert worker.refused(Load(Recipe(f"{model_file}:Plain", {"width": "x"}, inputs=X))).kind == "model"
    assert worker.refused(Load(Recipe(f"{model_file}:Plain", inputs=X), ModeChange(device="cuda:77"))).kind == "device"
    assert worker.refused(Load(Recipe(f"{model_file}:Plain", inputs=("y=float32[1]",)))).kind == "inputs"
    after = state_of(worker, tmp_path / "after")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "seen" in after


def test_modes_are_changed_whole_and_the_inputs_follow(worker: Worker, model_file: Path) -> None:
    loaded = worker.ask(Load(Recipe(f"{model_file}:Plain", inputs=X), ModeChange(training=False, grad="no_grad")))
    assert (loaded.modes.training_word, loaded.modes.grad) == ("eval", "no_grad")
    now = worker.ask(SetModes(ModeChange(dtype="float64", module="norm", module_training=True)))
    assert (now.modes.dtype, now.modes.flips, now.note) == ("float64", ("norm",), "")
    assert worker.refused(SetModes(ModeChange(training=True, device="cuda:77"))).kind == "device"
    assert worker.ask(SetModes(ModeChange())).modes == now.modes


def test_a_trip_through_float16_is_said_and_restore_brings_the_checkpoint_back(
    worker: Worker, model_file: Path, tmp_path: Path
) -> None:
    path = written(tmp_path / "w.safetensors", 0.1)
    recipe = Recipe(f"{model_file}:Plain", weights=path, inputs=X)
    loaded = worker.ask(Load(recipe, ModeChange(training=False)))
    assert loaded.info.weights == path
    assert "rounded" in worker.ask(SetModes(ModeChange(dtype="float16"))).note
    assert "restore" in worker.ask(SetModes(ModeChange(dtype=""))).note
    assert not torch.equal(state_of(worker, tmp_path / "s")["fc.weight"], torch.full((4, 10), 0.1))
    restored = worker.ask(Restore())
    assert restored.keep_runs
    assert restored.modes.training_word == "eval"
    assert restored.info.weights_sha256 == loaded.info.weights_sha256
    assert torch.equal(state_of(worker, tmp_path / "s")["fc.weight"], torch.full((4, 10), 0.1))


def test_restore_refuses_other_weights_than_were_loaded(worker: Worker, model_file: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "w.safetensors", 0.25)
    worker.ask(Load(Recipe(f"{model_file}:Plain", weights=path, inputs=X)))
    written(tmp_path / "w.safetensors", 0.5)
    failure = worker.refused(Restore())
    assert failure.kind == "weights"
    assert "changed" in failure.message
    assert state_of(worker, tmp_path / "s")["fc.weight"].unique().tolist() == [0.25]


def test_a_reload_of_edited_source_keeps_values_and_modes(worker: Worker, model_file: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "w.safetensors", 0.25)
    recipe = Recipe(f"{model_file}:Plain", weights=path, inputs=X)
    first = worker.ask(Load(recipe, ModeChange(training=False)))
    written(tmp_path / "w.safetensors", 0.5)
    extra = "self.fc = nn.Linear(10, width)\n        self.extra = nn.Linear(2, 2)"
    model_file.write_text(SOURCE.replace("self.fc = nn.Linear(10, width)", extra))
    change = ModeChange(training=False, flips=("norm", "gone.long.ago"))
    again = worker.ask(Load(recipe, change, keep_runs=True, keep_state=True))
    assert again.keep_runs
    assert again.modes.flips == ("norm",)
    assert "extra" in again.info.modules.names
    assert again.info.weights_sha256 == first.info.weights_sha256
    assert any("extra.weight" in words for words in again.info.warnings)
    assert any("gone.long.ago" in words for words in again.info.warnings)
    assert state_of(worker, tmp_path / "s")["fc.weight"].unique().tolist() == [0.25]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_state_that_finds_no_room_is_a_failure_to_write(worker: Worker, model_file: Path, tmp_path: Path) -> None:
    worker.ask(Load(Recipe(f"{model_file}:Plain", inputs=X)))
    for path in ("/dev/full", str(tmp_path / "nowhere" / "state.pt")):
        failure = worker.refused(SaveState(path))
        assert failure.kind == "write"
        assert failure.where == path
    assert state_of(worker, tmp_path / "s")


def test_a_hundred_thousand_modules_are_told_in_good_time(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(
        "from torch import nn\ndef Net():\n"
        "  return nn.Sequential(*[nn.Sequential(*[nn.Identity() for _ in range(99)]) for _ in range(1000)])\n"
    )
    started = time.monotonic()
    loaded = worker.ask(Load(Recipe(f"{tmp_path}/wide.py:Net", inputs=("float32[2]",))))
    assert len(loaded.info.modules.names) == 100_001
    assert worker.ask(SetModes(ModeChange(training=False))).modes.training_word == "eval"
    assert time.monotonic() - started < 30
