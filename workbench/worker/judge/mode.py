"""The base of our dispatch modes: without the import of torch._dynamo, which costs seconds at the first operator."""

from __future__ import annotations

import sys

from torch.utils._python_dispatch import TorchDispatchMode


class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator. Where nobody compiles there is no compiler to be kept out of `__torch_dispatch__`."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return "torch._dynamo" in sys.modules
