"""Which flow answers which request. Imported with the first flow, so that starting a worker waits for none of it."""

from __future__ import annotations

from typing import Any

from workbench.protocol.messages import (
    Compare,
    ConvertPickled,
    Export,
    GetFingerprint,
    Inspect,
    InspectPair,
    MeasureCounterfactual,
    MeasureMatrix,
    MeasureNoise,
    RepairWeights,
    Scan,
    Scanned,
    Verify,
)

from .ephemeral import Flow, in_thread
from .export import absolute_python, export
from .fingerprint import fingerprint
from .matrix import measure_matrix
from .scan import scan
from .verify import verify


async def run_flow(request: Any, flow: Flow) -> Any:
    """The result record of `request`. Raises `WorkbenchError`."""
    match request:
        case Scan():
            return Scanned(request.path, await in_thread(scan, request.path))
        case GetFingerprint():
            return await in_thread(fingerprint, request.path)
        case MeasureNoise():
            return await flow.run("yardstick", request, python=request.python)
        case MeasureCounterfactual():
            return await flow.run("counterfactual", request, python=request.python)
        case MeasureMatrix():
            return await measure_matrix(request, flow)
        case Compare():
            python = absolute_python(request.python)
            return await flow.run("compare", request, python=python, timeout=request.timeout)
        case RepairWeights():
            python = absolute_python(request.python)
            return await flow.run("repair", request, python=python, timeout=request.timeout)
        case ConvertPickled():
            python = absolute_python(request.python)
            return await flow.run("convert", request, python=python, timeout=request.timeout)
        case Inspect():
            return await flow.run("inspect", request)
        case InspectPair():
            return await flow.run("values" if request.values else "inspect", request)
        case Export():
            return await export(request, flow)
        case Verify():
            return await verify(request, flow)
    raise TypeError(f"no flow answers {type(request).__name__}")
