"""The registry of actions: every key, its words and when it is allowed. Feeds keys, footer, palette, help and README.

Owns no behaviour (that is commands.py) and imports no Textual, so that a document can be made from it anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.client.state import State

GROUPS = ("Runs", "Modes", "Model", "Artifacts", "View", "Workbench")


def always(state: State) -> str:
    """Allowed at any time."""
    return ""


def with_engine(state: State) -> str:
    """Wants an engine to ask, whether its bench worker lives or not."""
    return "the engine is gone; K starts a new one with the same model" if state.engine == "gone" else ""


def unpaused(state: State) -> str:
    """Wants an engine, and on its bench no run that stands still."""
    if state.paused is None:
        return with_engine(state)
    return f"a run is paused at {state.paused.event.where}; : opens its console, esc aborts it"


def with_model(state: State) -> str:
    """Wants a model on a living bench that is free to work."""
    return unpaused(state) or with_console(state)


def with_console(state: State) -> str:
    """Wants a model on a living bench, or a run that stands still on it."""
    if state.paused is not None:
        return ""
    if state.engine == "gone":
        return with_engine(state)
    if state.engine == "dead":
        return "the worker is gone; K starts a fresh one with the same model"
    if state.engine == "starting":
        return "torch is still loading"
    return "" if state.info is not None else "no model is open; o opens one"


def with_run(state: State) -> str:
    """Wants at least one run."""
    return with_model(state) or ("" if state.rows else "nothing was fired yet; space fires once")


def with_two_runs(state: State) -> str:
    """Wants a run and a reference to compare it with."""
    return with_run(state) or ("" if len(state.rows) > 1 else "a difference wants two runs; space fires once more")


def with_undo(state: State) -> str:
    """Wants a mode change to take back."""
    return with_model(state) or ("" if state.undo else "no mode was changed since this model was opened")


def without_checks(state: State) -> str:
    """Wants a model, and no other checks."""
    checking = any(job.name == "Check" for job in state.jobs.values())
    return with_model(state) or ("the checks are running; esc cancels them" if checking else "")


def with_recipe(state: State) -> str:
    """Wants a model that was opened once, whether its worker lives or not."""
    return "" if state.recipe is not None else "no model is open; o opens one"


@dataclass(frozen=True)
class Action:
    """One thing a person can do."""

    id: str
    keys: tuple[str, ...]
    """As printed: "e", "space", "ctrl+p", "?"; the first is the one that is shown. Empty: palette only."""
    label: str
    """Two words for the footer."""
    help: str
    """One sentence for help, palette and README."""
    group: str
    footer: int = 0
    """Place in the footer, 1 is the most needed; 0: not there."""
    when: Callable[[State], str] = always
    """Why it cannot be done now; empty when it can."""


ACTIONS: tuple[Action, ...] = (
    Action("fire", ("space",), "fire", "Run the model once.", "Runs", 1, with_model),
    Action("repeat", ("r",), "repeat", "Run it many times as one row; asks how often.", "Runs", 4, with_model),
    Action("continuous", ("R",), "fire on", "Run it until esc stops it.", "Runs", 0, with_model),
    Action("inputs", ("n",), "new inputs", "Draw new inputs of the same shapes and run once.", "Runs", 0, with_model),
    Action("edit", ("N",), "edit inputs", "Change shapes, dtypes, values or single elements of the inputs, and see the "
           "command that makes them.", "Runs", 0, with_model),
    Action("reference", ("b",), "reference", "Compare all runs with the selected one.", "Runs", 7, with_run),
    Action("pin", ("p",), "pin", "Keep the selected run's output for comparison, or let it go.", "Runs", 0, with_run),
    Action("compare", ("w",), "compare with", "Compare with another run, or the model with another mode, grad, dtype, "
           "device, weights file or model.", "Runs", 0, with_model),
    Action("diff", ("d",), "diff", "Show the selected run's difference, full screen.", "Runs", 5, with_two_runs),
    Action("diverge", ("f",), "find cause", "Find the first module at which run and reference part.", "Runs", 6,
           with_two_runs),
    Action("errors", ("F",), "error table", "Show the error of every module call against the reference, or of two "
           "models compared: given, own, answer.", "Runs", 0, with_model),
    Action("training", ("e",), "eval/train", "Put the whole model into eval or train mode.", "Modes", 2, with_model),
    Action("module", ("t",), "module mode", "Put the selected module into eval or train mode.", "Modes", 0, with_model),
    Action("grad", ("g",), "grad", "Go round grad, no_grad and inference_mode.", "Modes", 3, with_model),
    Action("keep", ("k",), "keep outputs", "Keep every live output, as a validation loop does that sums its losses.",
           "Modes", 0, with_model),
    Action("rng", ("s",), "seed", "Seed every generator before each run, or let them run free; asks for the seed.",
           "Modes", 0, with_model),
    Action("dtype", ("D",), "dtype", "Cast the model's floating point parameters and inputs.", "Modes", 0, with_model),
    Action("device", ("C",), "device", "Move the model to another device.", "Modes", 0, with_model),
    Action("threads", ("T",), "threads", "Choose how many threads one operator may use.", "Modes", 0, with_model),
    Action("undo", ("u",), "undo", "Take the last mode change back.", "Modes", 0, with_undo),
    Action("restore", ("z",), "checkpoint", "Parameters and buffers as in the checkpoint again; modes stay.", "Modes",
           0, with_model),
    Action("open", ("o",), "open", "Open a model: file, class, arguments, weights, inputs.", "Model", 9,
           unpaused),
    Action("repair", (), "repair names", "Open it with the names of its weights changed so that they fit, as the error "
           "card says.", "Model", 0, unpaused),
    Action("unrepair", (), "take repair back", "The model that was on the bench before the repair, "
           "or as it is constructed where none was.", "Model", 0, unpaused),
    Action("convert", (), "convert pickle", "Make an architecture and a file of weights out of a pickled module, after "
           "a yes; also offered by the cards that refuse one.", "Model", 0, with_engine),
    Action("reload", ("l",), "reload", "Read the edited source again, weights and modes kept, and fire against the "
           "reference.", "Model", 0, with_model),
    Action("inside", ("I",), "look inside", "Show the selected module's source, its parameters, and what went through "
           "it in the last run.", "Model", 0, with_model),
    Action("console", (":",), "console", "Type Python beside the live model, or in the frame of a run that is "
           "paused at a breakpoint().", "Model", 0, with_console),
    Action("copy", ("c",), "copy command", "Show the command that reproduces this state, and copy it.", "Model", 0,
           with_recipe),
    Action("noise", (), "measure noise", "Measure eager's own error against float64, and judge with it.", "Model", 0,
           with_model),
    Action("matrix", ("M",), "mode matrix", "Every mode side by side, and which of them to serve with.", "Model", 0,
           with_model),
    Action("checks", ("h",), "checks", "Ask whether the model, as it is on the bench, is ready to serve: every check. "
           "Against the last release: workbench check --baseline.",
           "Model", 0, without_checks),
    Action("account", ("B",), "memory account", "What memory is used for, and the same runs under the other grad mode.",
           "Model", 0, with_model),
    Action("export", ("x",), "export", "Write a proven bundle: weights, trace, export, aoti or onnx; several wait for "
           "each other.", "Artifacts", 8, with_model),
    Action("unexport", ("X",), "cancel export", "Take an export out of the queue, or cancel the one that runs.",
           "Artifacts", 0, with_engine),
    Action("verify", ("v",), "verify", "Prove a bundle again, or another's file or command against the model on the "
           "bench, with your own number if you like.", "Artifacts", 10, with_engine),
    Action("inspect", ("i",), "inspect", "Look into a file without running any of its code.", "Artifacts", 0,
           with_engine),
    Action("pane_model", ("1",), "model", "Go to the module tree.", "View"),
    Action("pane_runs", ("2",), "runs", "Go to the runs.", "View"),
    Action("pane_diff", ("3",), "diff", "Go to the difference.", "View"),
    Action("pane_memory", ("4",), "memory", "Go to the memory graph.", "View"),
    Action("pane_artifacts", ("5",), "artifacts", "Go to the artifacts.", "View"),
    Action("pane_log", ("6",), "log", "Go to the log of what the model printed.", "View"),
    Action("pane_checks", ("7",), "checks", "Go to the checks.", "View"),
    Action("maximise", ("m",), "maximise", "Give the whole screen to the focused pane, or take it back.", "View", 0),
    Action("theme", (), "theme", "Go round dark, light and the terminal's own colours.", "View"),
    Action("restart", ("K",), "kill/restart", "End the worker whatever it does; once more starts a fresh one.",
           "Workbench"),
    Action("cancel", ("esc",), "cancel", "Cancel what is running.", "Workbench"),
    Action("palette", ("ctrl+p",), "all", "Every action by name.", "Workbench", 11),
    Action("help", ("?",), "help", "Keys and what they do.", "Workbench", 12),
    Action("quit", ("q",), "quit", "Leave; the engine ends with it.", "Workbench", 13),
)  # fmt: skip

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def footer() -> list[Action]:
    """Those that belong into the footer, the most needed first."""
    return sorted((action for action in ACTIONS if action.footer), key=lambda action: action.footer)


def fitting(width: int, gap: int = 2) -> list[Action]:
    """The footer's actions that fit into `width` columns, each as "key label"; help and quit always stay."""
    chosen = [BY_ID["palette"], BY_ID["help"], BY_ID["quit"]]
    left = width - sum(_cells(action) + gap for action in chosen)
    for action in footer():
        if action in chosen:
            continue
        left -= _cells(action) + gap
        if left < 0:
            break
        chosen.append(action)
    return sorted(chosen, key=lambda action: action.footer)


def table() -> str:
    """Every action as a Markdown table, for the README."""
    rows = ["| key | action | what it does |", "|---|---|---|"]
    for group in GROUPS:
        rows += [
            f"| {' '.join(f'`{key}`' for key in action.keys) or 'palette'} | {action.label} | {action.help} |"
            for action in ACTIONS
            if action.group == group
        ]
    return "\n".join(rows) + "\n"


def _cells(action: Action) -> int:
    return len(action.keys[0]) + 1 + len(action.label)
