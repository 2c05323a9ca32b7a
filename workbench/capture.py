"""Three lines in your own program or notebook, and its model can be opened with the very inputs of real calls:

    from workbench import capture
    captured = capture.watch(model, "net.capture")     # then use the model as before
    captured.close()                                   # leaving Python does it, too

and then `workbench net.capture`, also when the program was killed before it closed the capture. It needs torch and
nothing else, never raises into your program, and keeps its own work below a fiftieth of the time that passes. A call
costs a few microseconds more while it is watched, and nothing once there are enough samples.
"""

from __future__ import annotations

from typing import Any

from workbench.recorder.record import Recorder


def watch(
    model: Any,
    path: str,
    samples: int = 32,
    every: int = 1,
    megabytes: float = 256,
    kwargs: dict[str, Any] | None = None,
) -> Recorder:
    """Record the inputs of real calls of `model`, an nn.Module, into the directory `path`, and on `close` its state.

    samples: how many calls at most. every: only each so many-th call. megabytes: of all samples together, and as much
    again of tensors that the model holds beside its state_dict. kwargs: the keyword arguments that the model's class
    was constructed with, where you know them; otherwise the object's own structure is recorded. Never raises: what
    went wrong is in the recorder's `why`, and printed to stderr.
    """
    return Recorder(model, path, samples, every, megabytes, kwargs)
