"""Commands on the switch board: train/eval, grad, outputs kept, generators, dtype, device, threads, undo."""

from __future__ import annotations

from workbench.client.command import module_training
from workbench.protocol.model import ModeChange, Modes
from workbench.tui.desk import Desk
from workbench.tui.screens.ask import AskText, Choose, whole_number

GRADS = ("grad", "no_grad", "inference_mode")
LARGEST_SEED = 2**32 - 1
"""numpy takes no larger one."""
AS_LOADED = "as loaded"
DTYPES = (
    (AS_LOADED, "what the weights came in"),
    ("float32", ""),
    ("float64", "twice the memory; the yardstick"),
    ("float16", "rounds the parameters; z brings them back"),
    ("bfloat16", "rounds the parameters; z brings them back"),
)


async def training(desk: Desk) -> None:
    """Mixed and train become eval, eval becomes train."""
    await desk.change(lambda modes: ModeChange(training=modes.training_word == "eval"))


async def module(desk: Desk) -> None:
    path = desk.selected_module
    await desk.change(lambda modes: ModeChange(module=path, module_training=not module_training(modes, path)))


async def grad(desk: Desk) -> None:
    await desk.change(lambda modes: ModeChange(grad=GRADS[(GRADS.index(modes.grad) + 1) % len(GRADS)]))


async def keep(desk: Desk) -> None:
    await desk.change(lambda modes: ModeChange(keep_outputs=not modes.keep_outputs))


async def rng(desk: Desk) -> None:
    modes = _modes(desk)
    question = "Seed for every generator before each run; empty lets them run free."
    answer = await desk.ask(AskText("Seed", question, str(modes.seed) if modes.rng == "fixed" else "0", _no_seed))
    if answer is None:
        return
    fixed = bool(answer.strip())
    await desk.change(ModeChange(rng="fixed", seed=int(answer)) if fixed else ModeChange(rng="free"))


async def dtype(desk: Desk) -> None:
    question = "Cast floating point parameters, buffers and inputs to:"
    answer = await desk.ask(Choose("dtype", question, DTYPES, _modes(desk).dtype or AS_LOADED))
    if answer is not None:
        await desk.change(ModeChange(dtype="" if answer == AS_LOADED else answer))


async def device(desk: Desk) -> None:
    found = desk.state.ready.cuda if desk.state.ready else ()
    cards = [(f"cuda:{number}", name) for number, name in enumerate(found)] or [("cuda", "none was found here")]
    answer = await desk.ask(Choose("Device", "Move the model to:", [("cpu", ""), *cards, ("mps", "Apple silicon")],
                                   _modes(desk).device))  # fmt: skip
    if answer is not None:
        await desk.change(ModeChange(device=answer))


async def threads(desk: Desk) -> None:
    now = _modes(desk).threads or (desk.state.ready.threads if desk.state.ready else 0)
    answer = await desk.ask(
        AskText("Threads", "Threads that one operator may use; 0 is torch's choice.", str(now), _no_threads)
    )
    if answer is not None:
        await desk.change(ModeChange(threads=int(answer)))


async def undo(desk: Desk) -> None:
    async with desk.turns.taken(), desk.firing.paused():
        now = await desk.session.undo()
    if now is not None:
        desk.say(now.note or f"back to {now.modes.training_word} · {now.modes.grad} · rng {now.modes.rng}")


async def restore(desk: Desk) -> None:
    async with desk.turns.taken(), desk.firing.paused():
        loaded = await desk.session.restore()
    where = loaded.info.weights or "as constructed"
    desk.say(f"parameters and buffers are those of the checkpoint again ({where})", "good")


def _modes(desk: Desk) -> Modes:
    return desk.state.modes or Modes()


def _no_seed(text: str) -> str:
    fits = not text.strip() or whole_number(text, 0, LARGEST_SEED) is not None
    return "" if fits else f"A whole number from 0 to {LARGEST_SEED}, or nothing."


def _no_threads(text: str) -> str:
    return "A whole number from 0 to 1024." if whole_number(text, 0, 1024) is None else ""
