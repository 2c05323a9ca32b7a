"""Comparisons: runs that are pinned, and the bench's model with another run, setting, weights file or model."""

from __future__ import annotations

import os

from workbench.client import compare as sides
from workbench.client.compare import Other
from workbench.client.state import State
from workbench.protocol.captures import is_capture
from workbench.protocol.compare import Compared
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.protocol.runs import SIGNS
from workbench.report.compared import verdict_line
from workbench.tui.commands.modes import AS_LOADED, DTYPES, GRADS
from workbench.tui.desk import Desk
from workbench.tui.screens.ask import AskText, Choose
from workbench.tui.trusting import with_yes

DTYPE, DEVICE, WEIGHTS, MODEL = "dtype", "device", "weights", "model"


async def pin(desk: Desk) -> None:
    """Pin the selected run, or let it go."""
    run = desk.selected_run
    row = desk.state.rows.get(run)
    pinned = row is None or not row.pinned
    async with desk.firing.paused():
        await sides.pin(desk.session, run, pinned)
    desk.say(f"#{run} is {'pinned: its output stays' if pinned else 'no longer pinned'}", "good")


async def compare(desk: Desk) -> None:
    """Ask what with, compare, and show the result in the pane of the difference."""
    chosen = await desk.ask(Choose("Compare with", _question(desk), choices(desk.state, desk.selected_run)))
    if chosen is None:
        return
    if chosen.startswith("#"):
        await _with_run(desk, int(chosen[1:]))
        return
    other = await _other(desk, chosen)
    if other is None:
        return
    found = await sides.compare(desk.session, other, desk.app.options.tolerance, desk.firing.paused)
    show(desk, found)


def choices(state: State, selected: int) -> list[tuple[str, str]]:
    """What there is to compare with, as (value, what it is)."""
    modes = state.modes or Modes()
    before = max((run for run in state.rows if run < selected), default=0)
    runs = [
        (f"#{row.run}", "pinned") for row in state.rows.values() if row.pinned and row.run not in (selected, before)
    ]
    if before:
        runs.insert(0, (f"#{before}", "the run before" + (", pinned" if state.rows[before].pinned else "")))
    training = [(word, f"the whole model in {word}") for word in ("eval", "train") if word != modes.training_word]
    grads = [(grad, "the same model") for grad in GRADS if grad != modes.grad]
    others = [
        (DTYPE, "the same model in another dtype"),
        (DEVICE, "the same model on another device"),
        (WEIGHTS, "another weights file in the same architecture"),
        (MODEL, "another model on the same inputs"),
    ]
    return [*runs, *training, *grads, *others]


def _question(desk: Desk) -> str:
    run = desk.selected_run
    return f"Run #{run} with another run, or the model as it is now on 16 cases with:" if run else "The model with:"


async def _with_run(desk: Desk, against: int) -> None:
    run = desk.selected_run
    async with desk.firing.paused():
        diff = await desk.session.diff(run, against)
    desk.app.main.show_diff(diff)
    desk.show_pane("diff")
    desk.say(f"#{run} against #{against}: {SIGNS.get(diff.mark, '?')} {diff.mark}")


async def _other(desk: Desk, chosen: str) -> Other | None:
    """What B is; None when the person changed their mind."""
    modes = desk.state.modes or Modes()
    if chosen in ("eval", "train"):
        return sides.with_change(ModeChange(training=chosen == "train"))
    if chosen in GRADS:
        return sides.with_change(ModeChange(grad=chosen))
    if chosen == DTYPE:
        names = [(name, "") for name, _ in DTYPES]
        dtype = await desk.ask(Choose(DTYPE, "Compare with a copy of the model in:", names, modes.dtype or AS_LOADED))
        return None if dtype is None else sides.with_change(ModeChange(dtype="" if dtype == AS_LOADED else dtype))
    if chosen == DEVICE:
        device = await desk.ask(AskText("Device", "cpu, cuda, cuda:1, mps …", "cpu", _something))
        return None if not device else sides.with_change(ModeChange(device=device.strip()))
    if chosen == WEIGHTS:
        path = await desk.ask(AskText("Weights", "Another file for the same architecture:", "", _no_file))
        return None if not path else sides.with_weights(os.path.abspath(os.path.expanduser(path.strip())))
    question = "file.py:Name or package.module:Name, as constructed; or a capture:"
    target = await desk.ask(AskText("Model", question, "", _no_target))
    if not target:
        return None
    recipe = await with_yes(desk, Recipe(target.strip(), directory=os.getcwd()))
    return sides.with_model(os.path.abspath(recipe.target) if recipe.trusted else recipe.target, recipe.trusted)


def show(desk: Desk, found: Compared) -> None:
    """The result in the pane of the difference, and its verdict above the keys."""
    desk.app.main.show_compared(found)
    desk.show_pane("diff")
    words = verdict_line(found)
    desk.say(f"{words} · {found.cause}" if found.cause else words, "good" if found.verdict == "pass" else "error")


def _something(text: str) -> str:
    return "" if text.strip() else "A name is wanted."


def _no_file(text: str) -> str:
    return "" if os.path.isfile(os.path.expanduser(text.strip())) else "There is no such file."


def _no_target(text: str) -> str:
    if ":" in text.strip()[1:-1] or is_capture(os.path.expanduser(text.strip())):
        return ""
    return "Name the class after a colon, file.py:Name, or the directory of a capture."
