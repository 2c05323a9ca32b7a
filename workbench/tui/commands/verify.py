"""The command that proves: a bundle again, or somebody else's file or command against the model on the bench."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from workbench.protocol.failures import error
from workbench.protocol.messages import Verify
from workbench.protocol.model import Modes
from workbench.protocol.proven import compared, proof_words
from workbench.tui.commands.artifacts import show_proof
from workbench.tui.desk import Desk
from workbench.tui.trusting import trusts


async def verify(desk: Desk) -> None:
    from workbench.tui.screens.verify_screen import VerifyScreen

    newest = next((one.path for one in reversed(desk.state.exports.values()) if one.published), "")
    model = desk.state.info.name if desk.state.info is not None else ""
    asked = await desk.ask(VerifyScreen(newest, model))
    if asked is None:
        return
    request = Verify(asked.path, "", python=desk.python, tolerance=desk.app.options.tolerance, search=asked.search,
                     runner=asked.runner, metrics=asked.metrics)  # fmt: skip
    foreign = asked.runner is not None
    if asked.runner is None:
        fingerprint = await desk.session.fingerprint(asked.path)
        if not await trusts(desk, fingerprint):
            desk.say("not trusted; nothing of it was loaded", "warning")
            return
        foreign = fingerprint.kind != "bundle"
        request = replace(request, sha256=fingerprint.sha256, kind=fingerprint.kind)
    if foreign:
        request = _against_the_bench(desk, request)
    result = await desk.session.verify(request, aside=desk.firing.paused)
    holds, name = result.proof.verdict == "pass", Path(asked.path).name or "the command"
    style = "good" if compared(result.proof) else "warning" if holds else "error"
    desk.say(f"{name}: {proof_words(result.proof)}", style)
    show_proof(desk, result)


def _against_the_bench(desk: Desk, request: Verify) -> Verify:
    """What proves somebody else's file or command: dtype, device and threads are the bench's.

    Raises `WorkbenchError("usage")` where no model is open.
    """
    if desk.state.recipe is None:
        raise error("usage", "An artifact without a bundle is proven against the model on the bench, and none is open.",
                    request.path, "Open its model with o, then press v again.")  # fmt: skip
    modes = desk.state.modes or Modes()
    keep = os.path.abspath(os.path.join(desk.export_folder, Path(request.path).name)) if request.path else ""
    return replace(request, recipe=desk.state.recipe, keep=keep, device=modes.device, dtype=modes.dtype,
                   threads=modes.threads)  # fmt: skip
