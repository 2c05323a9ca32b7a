"""The same path on a CUDA device: synchronised times, allocated memory, generators, casts, proofs, a full device."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
import torch

from workbench.client.flows import run_checks
from workbench.client.session import Session
from workbench.protocol.artifacts import CHECK_IDS, CheckRow
from workbench.protocol.exits import Exit
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Export, Verify
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.runs import BEYOND, IDENTICAL, NOISE
from workbench.worker.bench.load import build
from workbench.worker.job import Job

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
    pytest.mark.asyncio(loop_scope="module"),
]

SAMPLES = Path(__file__).parents[2] / "sample_models"
STORY = Recipe(f"{SAMPLES}/story.py:Net", weights=f"{SAMPLES}/story.safetensors")
CNN = Recipe(f"{SAMPLES}/cnn.py:Cnn", weights=f"{SAMPLES}/cnn.safetensors")
SERVING = ModeChange(training=False, grad="no_grad", device="cuda")

HEAVY = """
import torch
from torch import nn


class Heavy(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4096, 4096)

    def forward(self, x):
        for _ in range(64):
            x = torch.tanh(self.fc(x))
        return x


class Greedy(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 2:
            return torch.empty(1 << 44, device=x.device)
        return self.fc(x)


class Elsewhere(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x) + torch.zeros(4, device="cpu")


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(10, 4)

    def forward(self, ids):
        return self.rows(ids)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x).masked_fill(torch.tensor([True, False, False, True], device=x.device), -torch.inf)


class Edges(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x, edge):
        return x + torch.zeros_like(x).index_add_(0, edge[1], self.fc(x)[edge[0]])
"""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "heavy.py"
    path.write_text(HEAVY)
    return path


async def test_a_model_moves_there_and_back_and_answers_alike(session: Session) -> None:
    await session.open(STORY, ModeChange(training=False, grad="no_grad"))
    here = await session.fire()
    now = await session.change(ModeChange(device="cuda"))
    assert now.modes.device == "cuda:0"
    there = await session.fire()
    assert there.device == "cuda:0"
    assert here.cuda is None
    assert there.cuda is not None
    assert 0 < there.cuda.allocated <= there.cuda.peak <= there.cuda.reserved
    assert there.cause == "device cuda:0"
    await session.measure_noise()
    diff = await session.diff(there.run, here.run)
    assert diff.mark in (IDENTICAL, NOISE), diff
    back = await session.undo()
    assert back is not None
    assert back.modes.device == "cpu"
    assert (await session.fire()).mark == IDENTICAL


async def test_times_wait_for_the_device(session: Session, heavy: Path) -> None:
    recipe = Recipe(f"{heavy}:Heavy", inputs=("x=float32[4096,4096]",))
    await session.open(recipe, SERVING)
    await session.fire(3)
    row = await session.fire(10)
    # 64 products of 4096³ are 8.8e12 operations: no device of today does them in 4 ms, a launch alone takes 1 ms
    assert row.latency.median > 0.004
    assert row.latency.minimum <= row.latency.median <= row.latency.p99


async def test_saved_for_backward_is_counted_on_the_device(session: Session) -> None:
    await session.open(CNN, ModeChange(training=False, grad="grad", device="cuda"))
    kept = await session.fire()
    await session.change(ModeChange(grad="no_grad"))
    free = await session.fire()
    assert kept.saved_bytes > 0
    assert free.saved_bytes == 0
    assert kept.mark == "" or kept.reference


async def test_dropout_on_the_device_is_named_by_its_generator(session: Session) -> None:
    await session.open(STORY, ModeChange(training=True, grad="no_grad", device="cuda"))
    await session.fire()
    row = await session.fire()
    assert row.mark == BEYOND
    assert row.cause.startswith("drop")
    found = await session.divergence(row.run)
    assert (found.module, found.kind) == ("drop1", "dropout")
    await session.change(ModeChange(rng="fixed", seed=7))
    first, second = await session.fire(), await session.fire()
    assert (await session.diff(second.run, first.run)).mark == IDENTICAL


async def test_half_on_the_device_is_said_to_be_another_dtype(session: Session) -> None:
    await session.open(CNN, SERVING)
    await session.fire()
    await session.change(ModeChange(dtype="bfloat16"))
    row = await session.fire()
    assert row.dtype == "bfloat16"
    assert row.cause == "dtype bfloat16"


async def test_every_check_answers_on_the_device(session: Session) -> None:
    await session.open(CNN, SERVING)
    seen: list[CheckRow] = []
    rows, code = await run_checks(session, CHECK_IDS, 60.0, seen.append)
    assert [row.id for row in rows] == list(CHECK_IDS)
    assert {row.id: row.evidence for row in rows if row.status not in ("pass", "skip")} == {}
    assert code == Exit.OK


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("Masked", ("x=float32[batch:2..8,4]",)), ("Edges", ("x=float32[6,4]", "edge=int64[2,10]{0..5}"))],
)
async def test_no_check_takes_the_device_away(
    session: Session, heavy: Path, name: str, inputs: tuple[str, ...]
) -> None:
    """What is not finite, and an index that is right only at the size that was given."""
    await session.open(Recipe(f"{heavy}:{name}", inputs=inputs), SERVING)
    rows, code = await run_checks(session, CHECK_IDS, 60.0, lambda row: None)
    assert {row.id: row.evidence for row in rows if row.status not in ("pass", "skip")} == {}
    assert code == Exit.OK


async def test_a_full_device_ends_one_run_and_not_the_worker(session: Session, heavy: Path) -> None:
    await session.open(Recipe(f"{heavy}:Greedy", inputs=("x=float32[4,4]",)), SERVING)
    first = await session.fire()
    with pytest.raises(WorkbenchError) as caught:
        await session.fire()
    assert caught.value.failure.kind == "memory"
    again = await session.fire()
    assert again.mark == IDENTICAL
    assert again.against == first.run


async def test_a_tensor_that_stayed_on_the_cpu_is_named(session: Session, heavy: Path) -> None:
    await session.open(Recipe(f"{heavy}:Elsewhere", inputs=("x=float32[4,4]",)), SERVING)
    with pytest.raises(WorkbenchError) as caught:
        await session.fire()
    assert caught.value.failure.kind in ("device", "forward")
    line = HEAVY.splitlines().index('        return self.fc(x) + torch.zeros(4, device="cpu")') + 1
    assert caught.value.failure.where.endswith(f"heavy.py:{line}")


async def test_an_index_outside_of_a_table_costs_one_process_and_says_so(session: Session, heavy: Path) -> None:
    await session.open(Recipe(f"{heavy}:Table", inputs=("ids=int64[4]{10..20}",)), SERVING)
    with pytest.raises(WorkbenchError) as caught:
        await session.fire()
    assert caught.value.failure.kind == "engine"
    assert "device-side assert" in caught.value.failure.message
    assert "--device cpu" in caught.value.failure.message
    await session.recover()
    await session.open(Recipe(f"{heavy}:Table", inputs=("ids=int64[4]{0..9}",)), SERVING)
    assert (await session.fire()).device == "cuda:0"


async def test_stale_weights_are_named_though_the_artifact_lies_on_the_device(session: Session, tmp_path: Path) -> None:
    await session.open(STORY, ModeChange(training=False))
    model = build(STORY, Job(1, lambda body, number: None)).model.eval().cuda()
    next(model.parameters()).data.add_(1e-3)
    torch.jit.trace(model, torch.randn(4, 10, device="cuda")).save(str(tmp_path / "stale.ts"))
    trusted = hashlib.sha256((tmp_path / "stale.ts").read_bytes()).hexdigest()
    verify = Verify(str(tmp_path / "stale.ts"), trusted, recipe=STORY, device="cuda")
    proven = await session.verify(verify)
    said = {row.id: f"{row.evidence} {row.cause}" for row in proven.proof.checks if row.status == "fail"}
    assert "fc1.weight" in said["weights_match"]
    assert [one.words for one in proven.proof.findings if one.id == "reason"] == []


async def test_onnx_that_cannot_run_there_is_refused_before_it_is_made(session: Session, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime runs on the device")
    await session.open(STORY, ModeChange(training=False))
    with pytest.raises(WorkbenchError) as caught:
        await session.export(Export(STORY, "onnx", str(tmp_path / "onnx"), device="cuda"))
    assert caught.value.failure.kind == "usage"
    assert "CUDAExecutionProvider" in caught.value.failure.message


async def test_a_device_that_is_not_there_leaves_the_model_where_it_is(session: Session) -> None:
    await session.open(STORY, SERVING)
    with pytest.raises(WorkbenchError) as caught:
        await session.change(ModeChange(device="cuda:77"))
    assert caught.value.failure.kind == "device"
    assert (await session.fire()).device == "cuda:0"


@pytest.mark.parametrize("kind", ["weights", "trace", "export"])
async def test_an_artifact_made_on_the_device_is_proven_there_and_on_the_cpu(
    session: Session, tmp_path: Path, kind: str
) -> None:
    await session.open(STORY, ModeChange(training=False))
    out = tmp_path / kind
    result = await session.export(Export(STORY, kind, str(out), device="cuda"))
    assert result.published, json.dumps([vars(row) for row in result.proof.checks], indent=1)
    for device in ("cuda", "cpu"):
        proven = await session.verify(Verify(str(out), result.manifest_sha256, device=device))
        assert proven.proof.verdict == "pass", (device, proven.proof.checks)


async def test_a_continuous_fire_on_the_device_is_cancelled(session: Session) -> None:
    await session.open(CNN, SERVING)
    task = asyncio.ensure_future(session.fire(0))
    came = asyncio.Event()
    stop = session.listen(lambda body, _: came.set() if type(body).__name__ == "RunRow" and body.count > 10 else None)
    await asyncio.wait_for(came.wait(), 30)
    stop()
    await session.cancel()
    row = await asyncio.wait_for(task, 10)
    assert row.count > 10
    assert row.cuda is not None
