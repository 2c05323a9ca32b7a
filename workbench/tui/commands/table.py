"""Which function does which action of the registry."""

from __future__ import annotations

from collections.abc import Callable

from workbench.tui.desk import Command, Desk

from . import artifacts, checks, compare, convert, inside, matrix, memory, model, modes, runs, verify, view

AT_ONCE: dict[str, Callable[[Desk], None]] = {**view.PANE_COMMANDS, "maximise": view.maximise}
"""Those that are done before the next key is looked at, for they say where it goes."""

COMMANDS: dict[str, Command] = {
    "fire": runs.fire,
    "repeat": runs.repeat,
    "continuous": runs.continuous,
    "inputs": runs.inputs,
    "edit": runs.edit_inputs,
    "reference": runs.reference,
    "pin": compare.pin,
    "compare": compare.compare,
    "diff": runs.diff,
    "diverge": runs.diverge,
    "errors": runs.errors,
    "training": modes.training,
    "module": modes.module,
    "grad": modes.grad,
    "keep": modes.keep,
    "rng": modes.rng,
    "dtype": modes.dtype,
    "device": modes.device,
    "threads": modes.threads,
    "undo": modes.undo,
    "restore": modes.restore,
    "open": model.open_model,
    "repair": model.repair,
    "unrepair": model.unrepair,
    "convert": convert.convert,
    "reload": model.reload,
    "inside": inside.show_inside,
    "console": inside.show_console,
    "copy": model.copy,
    "noise": model.noise,
    "matrix": matrix.matrix,
    "checks": checks.checks,
    "account": memory.account,
    "export": artifacts.export,
    "unexport": artifacts.unexport,
    "verify": verify.verify,
    "inspect": artifacts.inspect,
    "theme": view.theme,
    "restart": view.restart,
    "cancel": view.cancel,
    "palette": view.palette,
    "help": view.show_help,
    "quit": view.leave,
}


def begin(desk: Desk, action_id: str) -> None:
    """Do an action that is done at once; start any other in the background."""
    if action_id in AT_ONCE:
        AT_ONCE[action_id](desk)
    else:
        desk.run(COMMANDS[action_id])
