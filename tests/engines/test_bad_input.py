"""What a person can get wrong when opening and firing a model: the kind, the words, and what stays on the bench."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import torch

from workbench.client.session import Session
from workbench.protocol.exits import exit_for
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.model import ModeChange, Recipe

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE = Path(__file__).parent
AWKWARD = str(HERE / "awkward.py")
X = ("x=float32[4,10]",)


async def refused(session: Session, recipe: Recipe, change: ModeChange | None = None) -> Failure:
    """The failure of opening `recipe`, with the plain model still on the bench and answering."""
    await session.open(Recipe(f"{AWKWARD}:Plain", inputs=X))
    with pytest.raises(WorkbenchError) as caught:
        await session.open(recipe, change)
    assert session.state.info is not None
    assert session.state.info.name == "Plain"
    assert (await session.fire()).count == 1
    return caught.value.failure


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ("nowhere.py:Net", "load", "nowhere.py"),
        (f"{AWKWARD}:Nope", "load", "Nope"),
        (f"{AWKWARD}", "usage", "after a colon"),
        (f"{AWKWARD}:number", "load", "int"),
        (f"{AWKWARD}:not_a_module", "load", "int"),
        (f"{AWKWARD}:ConstructorRaises", "model", "no such preset"),
        (f"{AWKWARD}:WantsArguments", "model", "width"),
        ("no.such.package:Net", "load", "no.such.package"),
    ],
)
async def test_a_target_that_cannot_be_opened(session: Session, target: str, kind: str, words: str) -> None:
    failure = await refused(session, Recipe(target, inputs=X))
    assert int(exit_for(failure.kind)) in ((2,) if kind == "usage" else (3,)), failure
    assert words in failure.message + failure.where
    assert "\x1b" not in failure.message + failure.details + failure.difference
    assert failure.remedy


async def test_a_file_that_is_no_python(session: Session, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("class Net(:\n    pass\n")
    failure = await refused(session, Recipe(f"{tmp_path}/broken.py:Net", inputs=X))
    assert exit_for(failure.kind) == 3
    assert "broken.py:1" in failure.where


async def test_a_file_that_raises_when_it_is_imported(session: Session, tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text("import torch\n\nimport not_installed_here\n")
    failure = await refused(session, Recipe(f"{tmp_path}/raises.py:Net", inputs=X))
    assert exit_for(failure.kind) == 3
    assert "not_installed_here" in failure.message
    assert "raises.py:3" in failure.where


async def test_an_instance_and_a_factory_open(session: Session) -> None:
    assert (await session.open(Recipe(f"{AWKWARD}:instance", inputs=X))).info.parameters == 55
    assert (await session.open(Recipe(f"{AWKWARD}:factory", inputs=X))).info.parameters == 33
    wide = await session.open(Recipe(f"{AWKWARD}:WantsArguments", {"width": 6}, inputs=("x=float32[2,6]",)))
    assert wide.info.parameters == 14


async def test_weights_that_do_not_fit_show_the_complete_difference(session: Session, tmp_path: Path) -> None:
    state = {"fc.weight": torch.zeros(5, 10), "module.fc.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "w.pt")
    failure = await refused(session, Recipe(f"{AWKWARD}:Plain", weights=str(tmp_path / "w.pt"), inputs=X))
    assert failure.kind == "weights"
    whole = failure.message + failure.details + failure.difference
    for name in ("fc.weight", "fc.bias", "module.fc.bias"):
        assert name in whole
    assert "[5,10] in the file" in whole


async def test_a_pickled_module_is_explained_and_not_loaded(session: Session, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(10, 4), tmp_path / "pickled.pt")
    failure = await refused(session, Recipe(f"{AWKWARD}:Plain", weights=str(tmp_path / "pickled.pt"), inputs=X))
    assert failure.kind in ("weights", "trust")
    assert "state_dict" in failure.remedy + failure.message


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04broken", b"\xff" * 64])
async def test_weights_that_are_no_weights(session: Session, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    failure = await refused(session, Recipe(f"{AWKWARD}:Plain", weights=str(tmp_path / "w.pt"), inputs=X))
    assert exit_for(failure.kind) == 3
    assert "w.pt" in failure.message + failure.where


@pytest.mark.parametrize(
    "spec", ["x", "x=float32", "x=float33[4]", "x=float32[4,", "x=float32[-1]", "y=float32[4,10]", "=float32[1]"]
)
async def test_an_input_spec_that_is_wrong(session: Session, spec: str) -> None:
    failure = await refused(session, Recipe(f"{AWKWARD}:Plain", inputs=(spec,)))
    assert failure.kind in ("usage", "inputs")
    assert failure.remedy


@pytest.mark.parametrize("kind", ["load", "weights", "inputs"])
async def test_a_fifo_is_refused_and_never_waited_for(session: Session, tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / ("fifo.py" if kind == "load" else "fifo.pt"))
    os.mkfifo(path)
    recipes = {
        "load": Recipe(f"{path}:Net", inputs=X),
        "weights": Recipe(f"{AWKWARD}:Plain", weights=path, inputs=X),
        "inputs": Recipe(f"{AWKWARD}:Plain", inputs_files=(path,)),
    }
    async with asyncio.timeout(20):
        failure = await refused(session, recipes[kind])
    assert failure.kind == kind
    assert f"{path} is no regular file" in failure.message
    assert failure.remedy


async def test_too_many_and_too_few_inputs(session: Session) -> None:
    many = await refused(session, Recipe(f"{AWKWARD}:Plain", inputs=(*X, "y=float32[4]")))
    few = await refused(session, Recipe(f"{AWKWARD}:TwoArguments", inputs=X))
    assert many.kind == few.kind == "inputs"
    assert "y" in many.message
    assert "scale" in few.message + few.remedy


@pytest.mark.parametrize(
    ("target", "inputs", "change", "words"),
    [
        ("Plain", ("x=float32[4,11]",), ModeChange(), "11"),
        ("Plain", ("x=float64[4,10]",), ModeChange(), "float64"),
        ("Conv", ("x=float32[1,4,8,8]",), ModeChange(), "channels"),
        ("NoTensor", X, ModeChange(), "tensor"),
        ("Exits", X, ModeChange(), "exit"),
        ("OutOfMemory", X, ModeChange(), "memory"),
    ],
)
async def test_a_forward_that_fails_is_diagnosed(
    session: Session, target: str, inputs: tuple[str, ...], change: ModeChange, words: str
) -> None:
    async def open_and_fire() -> None:
        await session.open(Recipe(f"{AWKWARD}:{target}", inputs=inputs), change)
        await session.fire()

    with pytest.raises(WorkbenchError) as caught:
        await open_and_fire()
    failure = caught.value.failure
    assert exit_for(failure.kind) == 3, failure
    assert words.lower() in (failure.message + failure.where).lower()
    assert "Traceback" not in failure.message
    await session.open(Recipe(f"{AWKWARD}:Plain", inputs=X))
    assert (await session.fire()).count == 1


async def test_a_device_that_is_not_there(session: Session) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    failure = await refused(session, Recipe(f"{AWKWARD}:Plain", inputs=X), ModeChange(device="cuda"))
    assert failure.kind == "device"
    await session.open(Recipe(f"{AWKWARD}:Plain", inputs=X))
    with pytest.raises(WorkbenchError) as caught:
        await session.change(ModeChange(device="cuda"))
    assert caught.value.failure.kind == "device"
    assert session.state.modes is not None
    assert session.state.modes.device == "cpu"


async def test_a_model_that_raises_later_keeps_its_earlier_runs(session: Session) -> None:
    await session.open(Recipe(f"{AWKWARD}:SecondRunRaises", inputs=X))
    await session.fire()
    with pytest.raises(WorkbenchError) as caught:
        await session.fire()
    assert "the second run fails" in caught.value.failure.message
    assert (await session.fire()).run > 1
    assert 1 in session.state.rows


async def test_a_breakpoint_never_hangs(session: Session) -> None:
    await session.open(Recipe(f"{AWKWARD}:Stops", inputs=X))
    assert (await session.fire(timeout=20)).count == 1


LOSES_ITS_DEVICE = """
import torch
from torch import nn


def gone():
    raise RuntimeError("CUDA error: device-side assert triggered\\nCompile with TORCH_USE_CUDA_DSA")


class Net(nn.Module):
    def forward(self, x):
        if x.shape[0] == 3:
            torch.cuda.is_initialized, torch.cuda.synchronize = (lambda: True), gone
            gone()
        return x * 2
"""


async def test_a_process_that_lost_its_gpu_ends_and_a_fresh_one_goes_on(session: Session, tmp_path: Path) -> None:
    """What torch does after a failed kernel, without a device to lose: every later call raises."""
    (tmp_path / "lost.py").write_text(LOSES_ITS_DEVICE)
    await session.open(Recipe(f"{tmp_path}/lost.py:Net", inputs=("x=float32[3,4]",)))
    with pytest.raises(WorkbenchError) as caught:
        await session.fire()
    failure = caught.value.failure
    assert (failure.kind, exit_for(failure.kind)) == ("engine", 4)
    assert "the GPU answers this process no more: CUDA error: device-side assert triggered; it showed at" in (
        failure.message
    )
    assert "lost.py:7" in failure.message
    assert "--device cpu" in failure.message
    await session.recover()
    await session.open(Recipe(f"{tmp_path}/lost.py:Net", inputs=("x=float32[2,4]",)))
    assert (await session.fire()).count == 1
