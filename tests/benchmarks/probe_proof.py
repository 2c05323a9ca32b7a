"""The clean proof of a bundle, by the engine and by the bundle's own script, beside a bare script."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from workbench.protocol.artifacts import VerifyResult
from workbench.protocol.model import Recipe
from workbench.protocol.requests import Export, GetFingerprint, Verify

from .child import HERE, ROOT, timed_run
from .engine import Engine
from .measure import Settings, in_turns, ratios, with_spread
from .table import Row

SLOWER = 1.1


def measure(settings: Settings) -> list[Row]:
    bundle = settings.folder / "bundle"
    recipe = Recipe("sample_models/story.py:Net", weights="sample_models/story.safetensors", directory=str(ROOT))
    with Engine() as engine:
        engine.ask(Export(recipe, "export", str(bundle)))
        digest = engine.ask(GetFingerprint(str(bundle))).sha256

        def proof() -> float:
            began = time.perf_counter()
            result = engine.ask(Verify(str(bundle), digest))
            assert isinstance(result, VerifyResult)
            assert result.proof.verdict == "pass", result.proof.checks
            return time.perf_counter() - began

        def script() -> float:
            return timed_run([sys.executable, "-I", str(bundle / "verify.py")])

        return [
            against_bare(settings, "a clean proof over a bare script", str(bundle), proof),
            against_bare(settings, "the bundle's own verify.py over a bare script", str(bundle), script),
        ]


def against_bare(settings: Settings, what: str, bundle: str, prove: Callable[[], float]) -> Row:
    bare, proven = in_turns(
        lambda: timed_run([sys.executable, "-I", str(HERE / "bare_proof.py"), bundle]), prove, settings.rounds
    )
    slower = ratios(proven, bare)
    value = statistics.median(slower)
    times = f"{statistics.median(proven):.2f} s against {statistics.median(bare):.2f} s, import of torch in both"
    return Row("proof", what, f"≤ {SLOWER}", with_spread(slower), value <= SLOWER, times, slower)
