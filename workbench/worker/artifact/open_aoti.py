"""Opens an AOTInductor package, and reads the parameters that are compiled into it.

Loads native code, which may end the process: only in one that may die. Never judges. Carried into a bundle's
verify.py: torch and the standard library only.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import torch

AOTI_SWITCH = "AOTI_RUNTIME_CHECK_INPUTS"
"""Environment variable that a compiled package reads (torch/_inductor/codegen/cpp_wrapper_cpu.py)."""


def aoti_unswitched() -> None:
    """Whoever started this process may have set the switch, under which a package refuses sizes that it serves: what
    it answers is judged without it. To be called before a package is."""
    os.environ.pop(AOTI_SWITCH, None)


def aoti_call(path: str) -> Any:
    """What is called with forward's arguments. Raises whatever torch raises."""
    return torch._inductor.aoti_load_package(path)


def aoti_tensors(path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers of the library in a package, by the names that the exported model had.

    What inductor writes into the code as numbers (a bias of up to 8 elements) is not among them, and neither is what
    a package keeps outside of its library. Nothing where this torch has no way to read them.
    """
    runner_of = getattr(getattr(torch._C, "_aoti", None), "AOTIModelContainerRunnerCpu", None)
    if runner_of is None or not hasattr(runner_of, "extract_constants_map"):
        return
    with tempfile.TemporaryDirectory(prefix="workbench-aoti-") as folder, zipfile.ZipFile(path) as package:
        libraries = [name for name in package.namelist() if name.endswith(".so")]
        if len(libraries) != 1:
            return
        runner = runner_of(package.extract(libraries[0], folder), 1)
        for name, tensor in runner.extract_constants_map(False).items():
            tensor.runner = runner  # whose memory it is: it must live as long
            yield name, tensor
