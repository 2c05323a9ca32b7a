"""The model pane: the module tree with each module's own train or eval state.

It owns the view of the tree (what is open, where the cursor stands) and nothing about modes: which
module is in which state comes from `Modes`, and a wish to change it leaves as a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.message import Message

from workbench.protocol.model import ModelInfo, Modes
from workbench.report import numbers
from workbench.tui.draw.spans import Line, fit
from workbench.tui.draw.tree import TreeIndex, training_flags
from workbench.tui.panes.line_pane import LinePane, pane_key

INITIAL_ROWS = 30
"""Levels are opened at first while the tree stays within so many rows."""

DEVIATING = 200
"""Modules in another mode than the root that are gone through."""

STATE_WIDTH = 5
COUNT_WIDTH = 6


class ModelPane(LinePane):
    """The tree of a model on the bench."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("enter", "toggle_open", "Open or close", id="model.open", tooltip="Open or close the module"),
        pane_key("right", "expand", "Open", tooltip="Open the module, or go to its first child"),
        pane_key("right_square_bracket", "odd(1)", "Next odd one", tooltip="Go to the next in another mode"),
        pane_key("left_square_bracket", "odd(-1)", "Odd one before", tooltip="Go to the one before"),
        pane_key("left", "collapse", "Close", tooltip="Close the module, or go to its parent"),
    ]

    BORDER_TITLE = "1 model"

    HAS_CURSOR = True

    @dataclass
    class ToggleModule(Message):
        """Its state was clicked: the module, with all below it, should change its mode."""

        path: str
        training: bool
        """What it should be."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._info: ModelInfo | None = None
        self._modes = Modes()
        self._tree = TreeIndex((), ())
        self._flags, self._mixed = bytearray(), bytearray()
        self._deviating: list[int] = []
        """Nodes that are not in the root's mode though what they lie in is, the first of `DEVIATING`."""

    @property
    def selected_path(self) -> str:
        """Path of the module at the cursor; "" is the root."""
        return self._tree.path(self._node) if len(self._tree) else ""

    def show(self, info: ModelInfo, modes: Modes) -> None:
        """Another model; the cursor stays at its path where the new tree has it."""
        path = self.selected_path
        known = self._info is not None and self._info.modules == info.modules
        self._info = info
        if not known:
            self._tree = TreeIndex(info.modules.names, info.modules.depths)
            self._tree.expand_to_fit(INITIAL_ROWS)
            self._cursor = self._top = 0
            node = self._tree.find(path)
            if node > 0:
                self.move_cursor(self._tree.reveal(node), tell=False)
        self.set_modes(modes)

    def set_modes(self, modes: Modes) -> None:
        """The switch board changed."""
        self._modes = modes
        self._flags, self._mixed = training_flags(self._tree, modes.training, modes.flips)
        found = sorted(self._tree.find(path) for path in modes.flips[:DEVIATING])
        self._deviating = [node for node in found if node >= 0 and bool(self._flags[node]) != modes.training]
        self.redraw()

    def clear(self) -> None:
        """No model is on the bench."""
        self._info, self._tree = None, TreeIndex((), ())
        self.redraw()

    def select_path(self, path: str) -> None:
        """Open the way to a module and put the cursor on it; an unknown path changes nothing."""
        node = self._tree.find(path)
        if node >= 0:
            self.move_cursor(self._tree.reveal(node))

    # Lines

    def body_length(self, width: int) -> int:
        return len(self._tree) if self._info else 1

    def body_line(self, index: int, width: int) -> Line:
        if self._info is None:
            return (("no model yet", "dim"),)
        node = self._tree.rows[index]
        columns = self._info.modules
        name = columns.names[node] or self._info.name
        kind = columns.types[columns.type_index[node]] if node else ""
        parameters = columns.parameters[node]
        tail = fit(numbers.count(parameters) if parameters else "", COUNT_WIDTH + 1, right=True)
        state, style = self._state(node)
        room = max(4, width - len(tail) - 1 - STATE_WIDTH)
        label = _label(self._sign(node) + " ", name, kind, columns.details[node], "  " * columns.depths[node], room)
        return (*label, (tail, "dim"), (" " + fit(state, STATE_WIDTH), style))

    def foot_lines(self, width: int, height: int) -> Sequence[Line]:
        if self._info is None or height < 6:
            return ()
        node, columns = self._node, self._info.modules
        kind, details = columns.types[columns.type_index[node]], columns.details[node]
        rule = fit(f"─ {self._odd_ones()} ─" if self._modes.flips else "", width).rstrip()
        made = f" {kind}({details})" if details else f" {kind}"
        selected: Line = ((self.selected_path or "(root)", ""), (made, "dim"))
        lines = [((rule + "─" * (width - len(rule)), "dim"),), selected]
        if self._deviating and height > 6:
            words = odd_words(self._tree.path(self._deviating[0]), len(self._deviating), self._modes.training, width)
            lines.insert(1, ((words, "dim" if self._modes.training else "warn"),))
        return lines

    def _odd_ones(self) -> str:
        """How many modules are not in the root's mode."""
        training = sum(self._flags)
        if self._modes.training:
            return f"{len(self._flags) - training} of {len(self._flags)} modules in eval"
        return f"{training} of {len(self._flags)} modules in train"

    def _sign(self, node: int) -> str:
        if self._tree.is_leaf(node):
            return " "
        return "▾" if self._tree.open[node] else "▸"

    def _state(self, node: int) -> tuple[str, str]:
        """A module that deviates from the root is written in capitals, whatever the colours are."""
        training = bool(self._flags[node])
        word = "train" if training else "eval"
        if training != self._modes.training:
            return word.upper(), "warn"
        return ("mix", "warn") if self._mixed[node] else (word, "")

    @property
    def _node(self) -> int:
        return self._tree.rows[min(self._cursor, len(self._tree) - 1)]

    # Cursor and actions

    def cursor_opened(self) -> None:
        self.action_toggle_open()

    def cell_clicked(self, column: int) -> bool:
        """A click on the sign opens or closes, a click on the state asks for the other mode."""
        if self._info is None:
            return False
        sign = 2 * self._tree.depths[self._node]
        if sign <= column <= sign + 1 and not self._tree.is_leaf(self._node):
            self.action_toggle_open()
            return True
        if column >= self.text_width - STATE_WIDTH:
            self.post_message(self.ToggleModule(self.selected_path, not self._flags[self._node]))
            return True
        return False

    def action_toggle_open(self) -> None:
        if len(self._tree):
            self._open(not self._tree.open[self._node])

    def action_expand(self) -> None:
        if len(self._tree) and not self._open(True) and not self._tree.is_leaf(self._node):
            self.move_cursor(self._cursor + 1)

    def action_collapse(self) -> None:
        if not len(self._tree) or self._open(False):
            return
        above = self._tree.parents[self._node]
        if above >= 0:
            self.move_cursor(self._tree.reveal(above))

    def action_odd(self, direction: int) -> None:
        """The next module below that is in another mode than the root, after the last one the first."""
        if not self._deviating:
            return
        here, odd = self._node, self._deviating if direction > 0 else self._deviating[::-1]
        node = next((one for one in odd if (one - here) * direction > 0), odd[0])
        self.move_cursor(self._tree.reveal(node))

    def _open(self, opened: bool) -> bool:
        changed = self._tree.set_open(self._cursor, opened)
        if changed:
            self.redraw()
        return changed


def odd_words(path: str, count: int, training: bool, width: int) -> str:
    """ "TRAIN body.drop +1 · ] goes there, t mends it, e all": which module deviates, and the keys."""
    state, others = "EVAL" if training else "TRAIN", f" +{count - 1}" * (count > 1)
    for keys in (" · ] goes there, t puts it in eval, e all", " · ] goes there, t e mend", " · ] t e"):
        room = width - len(f"{state} {others}{keys}")
        if room >= min(cell_len(path), 30) or keys == " · ] t e":
            break
    if training:
        keys = " · ] goes there" if width >= 40 else " · ]"
        room = width - len(f"{state} {others}{keys}")
    shown = path if cell_len(path) <= room else "…" + path[len(path) - max(1, room - 1) :]
    return f"{state} {shown}{others}{keys}"


def _label(sign: str, name: str, kind: str, details: str, indent: str, room: int) -> Line:
    """Name, type and details in exactly `room` cells; what does not fit is cut from the right."""
    indent = indent[: max(0, room - len(sign) - 8)]
    line = [(indent + sign, "dim")]
    room -= len(indent) + len(sign)
    for text, style in ((name, ""), (kind, "accent"), (details, "dim")):
        if not text or room < 2:
            continue
        text = text if cell_len(text) <= room else fit(text, room)
        line.append((text + " ", style))
        room -= cell_len(text) + 1
    if room > 0:
        line.append((" " * room, ""))
    elif room < 0:
        line[-1] = (line[-1][0][:-1], line[-1][1])
    return tuple(line)
