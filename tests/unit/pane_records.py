"""Records as a session would get them, for the tests of panes."""

from __future__ import annotations

from typing import Any

from workbench.protocol.artifacts import PROOF_IDS, CheckRow, ExportResult, Finding, Made, Proof, Speed
from workbench.protocol.model import InputInfo, ModelInfo, ModuleColumns
from workbench.protocol.runs import LeafDiff, RunRow, Spread

TREE = (
    ("", 0, "Cnn", 11_700_000, ""),
    ("stem", 1, "Conv2d", 9_408, "3, 64, kernel_size=(7, 7)"),
    ("body", 1, "Sequential", 148_000, ""),
    ("0", 2, "Block", 74_000, ""),
    ("conv", 3, "Conv2d", 36_864, "64, 64"),
    ("drop", 3, "Dropout", 0, "p=0.1"),
    ("1", 2, "Block", 74_000, ""),
    ("drop", 1, "Dropout", 0, "p=0.5"),
    ("head", 1, "Linear", 5_130, "512, 10"),
)


def columns(rows: Any = TREE) -> ModuleColumns:
    types = list(dict.fromkeys(row[2] for row in rows))
    names, depths, kinds, parameters, details = zip(*rows, strict=True)
    return ModuleColumns(names, depths, tuple(types.index(kind) for kind in kinds), tuple(types), parameters, details)


def model_info(modules: ModuleColumns | None = None) -> ModelInfo:
    return ModelInfo(
        "Cnn", "models/cnn.py:Cnn", "models/cnn.py", "ab" * 32, "cnn.safetensors", "3f9a" * 16, "CODE (Python)",
        11_700_000, 46_800_000, 9_000, {"float32": 11_700_000}, modules or columns(),
        (InputInfo("x", "x=float32[4,3,32,32]", "given", parts=("x=float32[4,3,32,32]",)),), 4, 0.31,
    )  # fmt: skip


def run_row(run: int, ms: float = 12.3, count: int = 1, **changes: Any) -> RunRow:
    """A row; by default the first is the reference and the others are identical to it."""
    seconds = ms / 1000
    values: dict[str, Any] = {
        "running": False, "training": "train", "grad": "grad", "rng": "free", "dtype": "float32", "device": "cpu",
        "latency": Spread(count, seconds, seconds * 1.1, seconds * 1.3, seconds * 0.9, seconds * 0.05, 1 / seconds),
        "reference": run == 1, "against": 0 if run == 1 else 1, "mark": "" if run == 1 else "identical",
        "max_abs": 0.0, "noise_multiple": 0.0, "mismatched": 0, "elements": 10, "differing": 0, "compared": count,
        "cause": "", "saved_bytes": 44 << 20, "output_bytes": 40, "rss": 812 << 20, "growth": 0.0,
    }  # fmt: skip
    return RunRow(run, count, **{**values, **changes})


def leaf_diff(**changes: Any) -> LeafDiff:
    """A leaf of ten classes that differs beyond the noise."""
    decades = [0] * 21
    decades[0], decades[16] = 30, 10
    values: dict[str, Any] = {
        "path": "output['logits']", "mark": "beyond", "dtype": "float32", "shape": (4, 10), "elements": 40,
        "mismatched": 10, "max_abs": 0.491, "mean_abs": 0.02, "max_rel": 0.77, "mean_rel": 0.03,
        "rmse": 0.1, "scale": 1.2,
        "noise_multiple": 4.2e5, "max_ulp": 12_345, "p99_ulp": 9216, "allclose": False,
        "cosine": 0.98731, "snr_db": 12.1, "top1": 0.6, "top5": 1.0,
        "worst_index": (2, 7), "worst_a": "1.204", "worst_b": "0.713", "decades": tuple(decades),
        "heat": ((0.0, 0.1), (0.491, 0.2)), "heat_rows": 4, "heat_columns": 10,
    }  # fmt: skip
    return LeafDiff(**{**values, **changes})


def proof(verdict: str = "pass", mark: str = "noise", checks: tuple[CheckRow, ...] | None = None) -> Proof:
    rows = checks or tuple(CheckRow(name, "pass", f"evidence of {name}") for name in PROOF_IDS)
    findings = (Finding("guards", "unguarded beyond batch 64"),)
    return Proof(
        verdict, mark, rows, findings, (), 16, 1.1, "float64", "", 8.2, 0.21, "3.11.7", "2.13.0", True
    )  # fmt: skip


def export_result(kind: str, verdict: Proof | None = None, published: bool = True) -> ExportResult:
    speed = Speed(0.0123, 0.0095, 1.3, 1.2, 1.4, 1.0, 0.98, 1.03, 20, 2, 4)
    made = Made(kind, "model.pt2", 46 << 20, 1.2, "cd" * 32, speed, ("x[0] = batch in [1, 64]",), (), ())
    path = f"out/{kind}" if published else f"out/{kind}.failed"
    return ExportResult(kind, path, published, "ab" * 32, made, verdict or proof(), 9.1)
