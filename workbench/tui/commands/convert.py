"""The command that makes an architecture and weights of a pickled module: asked about first, every time."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from workbench.client.convert import BECOMES, explained, pickled
from workbench.client.trust import TrustStore, allowed
from workbench.protocol.artifacts import Fingerprint
from workbench.protocol.convert import Converted, ConvertPickled
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import Recipe
from workbench.report.converted import opening, told
from workbench.tui.desk import Desk
from workbench.tui.screens.arguments import parse_arguments
from workbench.tui.screens.ask import AskText, Confirm
from workbench.tui.screens.paths import free_name
from workbench.tui.screens.text_card import TextCard

_STYLES = {"green": "good", "yellow": "bad", "bold": "strong"}
"""Classes of a card for the styles of `report.converted`."""


async def convert(desk: Desk) -> None:
    """The pickled module that was last refused, or one that is asked for."""
    offered = next((one.convert for one in reversed(desk.failures) if one.convert), "")
    question = "A file of torch.save(model), to be made into an architecture and a file of weights:"
    path = await desk.ask(AskText("Convert a pickled module", question, offered, _no_file))
    if not path:
        return
    path = os.path.abspath(os.path.expanduser(path))
    fingerprint = await pickled(desk.session, path)
    if not await _yes(desk, path, fingerprint):
        desk.say("not trusted; nothing of it was loaded", "warning")
        return
    here = os.getcwd()
    out = free_name(os.path.join(here, Path(path).stem))
    request = ConvertPickled(path, fingerprint.sha256, out, here, python=desk.python, partial=False)
    found = await _converted(desk, request)
    if found is None:
        desk.say("nothing was converted", "warning")
        return
    if found.architecture:
        desk.wanted = Recipe(found.architecture, weights=found.weights, directory=os.getcwd())
    lines = [(_STYLES.get(style, style), line) for style, line in told(found)]
    desk.say(f"{Path(path).name}: converted, in {found.path}", "good" if found.whole else "warning")
    after = "Close this, and o opens it; on the command line:" if found.architecture else "With a class of your own:"
    command = opening(found)
    card = TextCard("Converted", [*lines, ("gap", after), ("strong", command)], copy=command, danger=not found.whole)
    desk.show_card(card)


async def _converted(desk: Desk, request: ConvertPickled) -> Converted | None:
    """What came of it, asking for the source and for arguments where these are missing; None when nobody gave them."""
    try:
        found: Converted = await desk.session.request(request)
    except WorkbenchError as problem:
        if request.source or "--source" not in problem.failure.remedy:
            raise
        question = f"{problem.failure.message} The script or directory that defines it (it will be imported):"
        source = await desk.ask(AskText("Where is its source?", question, "", _no_path))
        return (
            await _converted(desk, dataclasses.replace(request, source=os.path.expanduser(source))) if source else None
        )
    if found.path:
        return found
    kwargs = {}
    if found.asks:
        question = f"{found.name} wants {', '.join(found.asks)}. Empty: the weights alone."
        text = await desk.ask(AskText("Arguments of its constructor", question, "", _no_arguments))
        if text is None:
            return None
        kwargs = parse_arguments(text)
    again: Converted = await desk.session.request(dataclasses.replace(request, kwargs=kwargs, partial=True))
    return again


async def _yes(desk: Desk, path: str, fingerprint: Fingerprint) -> bool:
    """Whether it may be loaded, now or from an earlier yes; what it is and what that would run is said first."""
    store = TrustStore()
    paragraphs = [*await explained(desk.session, path), BECOMES, f"sha256 {fingerprint.sha256}",
                  "If you know where it comes from, y loads it."]  # fmt: skip
    if not await desk.ask(Confirm("A pickled module: load it once?", paragraphs)):
        return False
    if not allowed(fingerprint, store):
        store.remember(fingerprint, "asked")
    return True


def _no_file(text: str) -> str:
    return "" if text and os.path.isfile(os.path.expanduser(text)) else "There is no such file."


def _no_path(text: str) -> str:
    return "" if text and os.path.exists(os.path.expanduser(text)) else "Nothing is there."


def _no_arguments(text: str) -> str:
    try:
        parse_arguments(text)
    except WorkbenchError as problem:
        return problem.failure.message
    return ""
