"""The contract suite: whole commands for a small model, and what a further case costs beside its run."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from workbench.protocol.artifacts import VerifyResult
from workbench.protocol.model import Recipe
from workbench.protocol.requests import Export, GetFingerprint, Verify

from .child import HERE, ROOT, Child, timed_run
from .engine import Engine
from .measure import Settings, ms, ms_with_spread, ratios, with_spread
from .table import Row

KINDS = ("trace", "export")
WHOLE = 15.0
"""Seconds of a whole command."""
OVER = 1.1
MANY = 101
"""Cases of the longer bundle; the other has one."""
SMALL = Recipe(
    "sample_models/story.py:Net", weights="sample_models/story.safetensors", inputs=("x=float32[batch:1..64,10]",),
    directory=str(ROOT),
)  # fmt: skip
LARGE = Recipe(f"{HERE / 'big_model.py'}:Big", kwargs={"layers": 8}, inputs=("x=float32[4,2048]",))
"""Its run takes milliseconds, so that what is done beside it shows as a share."""


def measure(settings: Settings) -> list[Row]:
    rows: list[Row] = []
    for kind in KINDS:
        rows += whole(kind, settings)
    with Engine() as engine:
        for kind in KINDS:
            rows += further(engine, kind, settings)
    return rows


def whole(kind: str, settings: Settings) -> list[Row]:
    """`workbench export` and `workbench verify`, from the command to the prompt."""
    made, proven = [], []
    for number in range(max(1, settings.rounds // 2)):
        bundle = settings.folder / f"{kind}-{number}"
        made.append(timed_run([*command("export"), SMALL.target, "--weights", SMALL.weights, "--input", SMALL.inputs[0],
                               "--to", kind, "--out", str(bundle), "--timeout", "600"]))  # fmt: skip
        proven.append(timed_run([*command("verify"), str(bundle), "--allow-code"]))
    note = "with its search for a counterexample, its timing against eager, and both starts of torch"
    return [
        Row("contract", f"{kind}: a small model exported and proven, whole command", f"≤ {WHOLE:g} s",
            with_spread(made, "{:.1f}") + " s", statistics.median(made) <= WHOLE, note, tuple(made)),
        Row("contract", f"{kind}: its bundle verified, whole command", f"≤ {WHOLE:g} s",
            with_spread(proven, "{:.1f}") + " s", statistics.median(proven) <= WHOLE, "", tuple(proven)),
    ]  # fmt: skip


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "workbench", name]


def further(engine: Engine, kind: str, settings: Settings) -> list[Row]:
    """A bundle of many cases beside one of a single case, and the run that all of them are."""
    rows = []
    for size, recipe in (("large", LARGE), ("small", SMALL)):
        short, long = (bundle_of(engine, recipe, kind, settings.folder / f"{kind}-{size}-{n}", n) for n in (1, MANY))
        with Child("bare_cases.py", "run", str(long)) as bare:
            turns = [(proof(engine, short), proof(engine, long), bare.ask("run")) for _ in range(settings.rounds)]
        each = tuple((many - one) / (MANY - 1) for one, many, _ in turns)
        runs = tuple(run for _, _, run in turns)
        note = (
            f"{ms_with_spread(each)} a case beside {ms_with_spread(runs)} a run; of the proof of one case, "
            f"{ms(statistics.median(one for one, _, _ in turns))} ms, {MANY} cases make "
            f"{ms(statistics.median(many for _, many, _ in turns))} ms"
        )
        if size == "small":  # its run is too short to be a measure of anything
            rows.append(Row("contract", f"{kind}: a further case of a small model", "-", ms_with_spread(each), None,
                            note, each))  # fmt: skip
            continue
        over = ratios(each, runs)
        rows.append(Row("contract", f"{kind}: a further case over its bare run", f"≤ {OVER}", with_spread(over),
                        statistics.median(over) <= OVER, note, over))  # fmt: skip
    return rows


def bundle_of(engine: Engine, recipe: Recipe, kind: str, bundle: Path, cases: int) -> Path:
    """A published bundle, then given so many cases."""
    engine.ask(Export(recipe, kind, str(bundle), search=0))
    subprocess.run([sys.executable, str(HERE / "bare_cases.py"), "more", str(bundle), str(cases)], cwd=ROOT, check=True)
    return bundle


def proof(engine: Engine, bundle: Path) -> float:
    """Seconds of a proof in its worker, torch imported before."""
    result = engine.ask(Verify(str(bundle), engine.ask(GetFingerprint(str(bundle))).sha256))
    assert isinstance(result, VerifyResult)
    assert result.proof.verdict == "pass", result.proof.checks
    return result.proof.seconds
