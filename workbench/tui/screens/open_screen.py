"""The open screen: a path, the classes found in it without running it, arguments, weights, inputs.

It asks for a model and shows why it could not be had; the model on the bench stays until another one is there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, OptionList

from workbench.client.directories import CAPTURE, MODEL, built_by, kind_of
from workbench.protocol.captures import is_capture
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import Scanned
from workbench.protocol.model import Candidate, Recipe

from .about import About, Look
from .arguments import INPUTS, asking, needed, parse_arguments, parse_inputs, print_arguments
from .dialog import Dialog, field, set_words, words
from .error_card import with_keys
from .found import Found
from .paths import completion, listing

FIELDS = (
    ("path", "file.py, package.module:Name, or file.py:Name"),
    ("arguments", 'width=16, {"width": 16} or @config.json; empty: as the class has them'),
    ("weights", ".safetensors, .pt, .pth; empty: as constructed"),
    ("inputs", "x=float32[4,10] …, files or a directory; empty: found by looking"),
)
WEIGHTS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".index.json")
SUFFIXES = {"path": (".py", ".pt2", ".ts", ".onnx", ".pkl", *WEIGHTS), "weights": WEIGHTS, "inputs": INPUTS}
"""Files that are offered while a path is typed; what one is, its content says."""


class OpenScreen(Dialog[bool]):
    """The answer is True when a model was opened. `scan` lists a file's classes, `look` says what any file is, `opener`
    opens a recipe."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "down", show=False, priority=True),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        Binding("ctrl+y", "repair", "repair", show=False, priority=True),
        Binding("tab", "complete", "complete", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    OpenScreen {
        & .label { width: 11; color: $foreground-muted; }
        & Horizontal { height: 1; width: 100%; }
        & Horizontal > Input { width: 1fr; }
        & #found { height: 8; max-height: 8; }
        & #open-status { min-height: 2; }
    }
    """

    heading = "Open a model"
    hint = "↑↓ choose · tab completes, next field · enter opens · esc closes"

    def __init__(
        self,
        scan: Callable[[str], Awaitable[Scanned]],
        look: Look,
        opener: Callable[[Recipe], Awaitable[None]],
        base: str,
        recipe: Recipe | None = None,
    ) -> None:
        super().__init__()
        self._scan, self._opener, self._base = scan, opener, base
        self._about = About(look, base)
        self._found = Found(self._about)
        self._recipe = recipe or Recipe("")
        self._scanned = ""
        self._looked = asyncio.Event()
        self._looked.set()
        self._offered = ""  # the repair that the last refusal offered

    def content(self) -> ComposeResult:
        recipe = self._recipe
        values = (recipe.target, print_arguments(recipe.kwargs), recipe.weights,
                  " ".join((*recipe.inputs, *recipe.inputs_files)))  # fmt: skip
        for (name, about), value in zip(FIELDS, values, strict=True):
            with Horizontal():
                yield words(name, "label")
                line = field(value, about, id=name)
                line.select_on_focus = name != "arguments"  # what is asked for there is typed between names
                yield line
            if name == "path":
                yield self._found
                yield self._about
        yield words("", "gap", id="open-status")

    def on_mount(self) -> None:
        super().on_mount()
        line = self.query_one("#path", Input)
        line.focus()
        if not line.value:
            self._found.offer(listing("", self._base, SUFFIXES["path"]))

    # the list under the path: files while the path is a directory, classes once it is a file

    @on(Input.Changed)
    async def _typed(self, event: Input.Changed) -> None:
        name = event.input.id or ""
        if name == "path":
            file, _, wanted = event.value.partition(":")
            if file.endswith(".py") and os.path.isfile(os.path.join(self._base, os.path.expanduser(file))):
                if file == self._scanned:
                    self._found.select(wanted)
                else:
                    self._found.offer([])
                    self._looked.clear()
                    self.run_worker(self._look(file), group="scan", exclusive=True)
                return
            self._scanned = ""
        elif name in SUFFIXES:
            if ":" not in self.query_one("#path", Input).value:
                self._choose()  # before other paths take the place of the classes
            self._scanned = ""
        if name in SUFFIXES:
            self._found.offer(listing(event.value, self._base, SUFFIXES[name]))

    async def _look(self, file: str) -> None:
        """Have the engine list what the file offers; it does not run it."""
        self._scanned = file
        try:
            scanned = await self._scan(os.path.join(self._base, os.path.expanduser(file)))
        except WorkbenchError as problem:
            if file == self._scanned:
                self._found.offer([])
                self._tell(problem.failure)
            return
        finally:
            if file == self._scanned:
                self._looked.set()
        if file != self._scanned:  # another path was typed meanwhile
            return
        self._found.offer_classes(scanned.candidates, self.query_one("#path", Input).value.partition(":")[2])
        self._say("" if scanned.candidates else f"{file} holds nothing that could be opened.")

    def _choose(self) -> None:
        """Write the name of the highlighted class into the field of the path."""
        if (chosen := self._found.candidate) is not None:
            line = self.query_one("#path", Input)
            line.value = f"{line.value.partition(':')[0]}:{chosen.name}"
            line.cursor_position = len(line.value)

    def action_move(self, by: int) -> None:
        """Go up or down in the list; the name of a class that is come to stands in the field at once."""
        self._found.move(by)
        self._choose()

    def action_complete(self) -> None:
        """Complete the path as far as that is sure; when there is nothing to complete, go to the next field."""
        line = self.focused
        if isinstance(line, Input) and self._found.paths and line.id in SUFFIXES:
            longer = completion(line.value, self._found.paths)
            if longer != line.value:
                line.value, line.cursor_position = longer, len(longer)
                return
        if isinstance(line, Input) and line.id == "path":
            self._choose()
        self.focus_next()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._choose()
        self._enter()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self._enter()

    def _enter(self) -> None:
        """Take what is highlighted: into a directory, into a file, or open the class."""
        line = self.focused if isinstance(self.focused, Input) else self.query_one("#path", Input)
        offered = (self._found.path if line.id in SUFFIXES else "") or line.value
        place = self._about.place_of(offered)
        kind = kind_of(place) if offered.endswith("/") or is_capture(place) else ""
        if (line.id, kind) == ("path", CAPTURE):
            line.value = offered = offered.rstrip("/")  # a directory that is opened, and not gone into
        elif (line.id, kind) == ("path", MODEL) and (scheme := built_by(place)):
            offered = f"{scheme}{os.path.expanduser(offered.rstrip('/'))}"
        elif (line.id, kind) == ("weights", MODEL):
            offered = offered.rstrip("/")
        if line.value != offered and (line.id == "path" or line.value):  # an empty optional field stays empty
            line.value, line.cursor_position = offered, len(offered)
            return
        self._begin()

    # opening

    def action_repair(self) -> None:
        """Open it with the repair of names that the last refusal offered."""
        if self._offered:
            self._begin(self._offered)

    def _begin(self, repair: str = "") -> None:
        if not self.at_work:
            self.at_work = True  # at once: keys that come in the same burst as enter wait for what it does
            self.run_worker(self._open(repair), group="open")

    async def _open(self, repair: str) -> None:
        self._say("opening …")
        try:
            await self._looked.wait()  # an enter that was faster than the list
            recipe = self._wanted()
            _require_arguments(recipe, self._found.candidates)
            await self._opener(dataclasses.replace(recipe, repair=repair))
        except WorkbenchError as problem:
            self._offered = problem.failure.repair
            self._tell(problem.failure)
            if problem.failure.where in ("--kwargs", "arguments"):
                self._ask_for(problem.failure.asks)
        else:
            self.dismiss(True)
        finally:
            self.at_work = False

    def _wanted(self) -> Recipe:
        """The recipe that the fields describe. Raises `WorkbenchError("usage")`."""
        path, arguments, weights, inputs = (self.query_one(f"#{name}", Input).value.strip() for name, _ in FIELDS)
        if ":" not in path and (chosen := self._found.candidate) is not None:  # a name that was typed always wins
            path = f"{path}:{chosen.name}"
        return _recipe(path, arguments, weights, inputs, self._recipe.seed, self._base)

    def _ask_for(self, missing: Sequence[str]) -> None:
        """Go to the field of the arguments, with a place for each that is missing."""
        line = self.query_one("#arguments", Input)
        line.value = asking(line.value, missing)
        line.focus()
        line.cursor_position = line.value.index("= ") + 1 if "= " in line.value else len(line.value)

    def _say(self, text: str, bad: bool = False) -> None:
        status = self.query_one("#open-status")
        status.set_class(bad, "bad")
        set_words(status, text)

    def _tell(self, failure: Failure) -> None:
        self._say(_refusal(failure), bad=True)


def _recipe(path: str, arguments: str, weights: str, inputs: str, seed: int, base: str) -> Recipe:
    """What the fields describe. Raises `WorkbenchError("usage")`."""
    specs, files = parse_inputs(inputs)
    return Recipe(
        target=os.path.expanduser(path),
        kwargs=parse_arguments(arguments),
        weights=os.path.expanduser(weights),
        inputs=specs,
        inputs_files=files,
        seed=seed,
        directory=base,
    )


def _require_arguments(recipe: Recipe, candidates: Sequence[Candidate]) -> None:
    """Raises `WorkbenchError("usage")` where the class that the list has wants more than the fields give it."""
    name = recipe.target.rpartition(":")[2]
    for one in candidates:
        wants = [text for text in needed(one.arguments) if text.partition(":")[0] not in recipe.kwargs]
        if one.name == name and wants and one.kind != "instance":
            message = f"{name} needs {', '.join(wants)}."
            raise error("usage", message, "arguments", "Type the values behind the names.", asks=tuple(wants))


def _refusal(failure: Failure) -> str:
    remedy = with_keys(failure.remedy).replace("y takes it", "ctrl+y takes it")
    return "\n".join(part for part in (failure.message, with_keys(failure.where), remedy) if part)
