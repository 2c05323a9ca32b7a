"""One module looked into, full screen: its numbers and its source side by side, or one at a time where it is narrow.

It asks for a module with the function it was given and shows what comes; arrows walk the module tree.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from workbench.protocol.model import ModelInfo
from workbench.tui.bars import Bar
from workbench.tui.draw.inside_lines import facts_lines, source_lines
from workbench.tui.draw.spans import Line, text_of, wrapped
from workbench.tui.draw.tree import TreeIndex
from workbench.tui.panes.document_pane import DocumentPane

from .dialog import field

if TYPE_CHECKING:
    from workbench.protocol.inside import Inside

WIDE = 110
"""Columns from which numbers and source stand side by side."""


class FactsPane(DocumentPane):
    """Numbers of one call, what the module holds, its hooks."""

    BORDER_TITLE = "numbers"
    DEFAULT_CSS = "FactsPane { width: 1fr; height: 1fr; }"

    inside: Inside | None = None
    words = "looking …"
    call = 0

    def make_lines(self, width: int, height: int) -> list[Line]:
        if self.inside is None:
            return wrapped(self.words, width, "dim")
        return facts_lines(self.inside, self.call, width, self.unicode)


class SourcePane(DocumentPane):
    """The source, the forward first."""

    BORDER_TITLE = "source"
    DEFAULT_CSS = "SourcePane { width: 1fr; height: 1fr; }"

    inside: Inside | None = None
    wanted = ""
    """What is searched for, in small letters."""

    def make_lines(self, width: int, height: int) -> list[Line]:
        if self.inside is None:
            return []
        lines = source_lines(self.inside, width)[0]
        if not self.wanted:
            return lines
        return [
            tuple((text, "warn") for text, _ in line) if self.wanted in text_of(line).lower() else line
            for line in lines
        ]

    def find(self, onwards: int) -> bool:
        """Go to the next line with `wanted`, from the one at the top on; whether there is one."""
        lines = self.make_lines(self.text_width, self.size.height)
        hits = [at for at, line in enumerate(lines) if self.wanted in text_of(line).lower()]
        if not hits or not self.wanted:
            return False
        self.changed()
        after = [at for at in hits if at >= self._top + onwards]
        self.scroll_lines((after or hits)[0] - self._top)
        return True


Look = Callable[["InsideScreen", str], Awaitable["Inside | None"]]


class InsideScreen(Screen[None]):
    """`path` is the module that is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "close", show=False),
        Binding("left", "walk('parent')", "parent", show=False),
        Binding("right", "walk('child')", "child", show=False),
        Binding("n", "walk('next')", "next module", show=False),
        Binding("p", "walk('previous')", "previous module", show=False),
        Binding("right_square_bracket", "call(1)", "next call", show=False),
        Binding("left_square_bracket", "call(-1)", "previous call", show=False),
        Binding("tab,shift+tab", "other", "other side", show=False, priority=True),
        Binding("slash", "search", "search", show=False),
        Binding("period", "again", "next match", show=False),
        Binding("r", "refresh_now", "look again", show=False),
        Binding("colon", "console", "console", show=False),
    ]

    DEFAULT_CSS = """
    InsideScreen {
        layout: vertical; overflow: hidden;
        & > Horizontal { height: 1fr; width: 100%; }
        & > #wanted { height: 1; border: none; padding: 0 1; background: $foreground 10%; display: none; }
        &.-searching > #wanted { display: block; }
        &.-narrow.-source FactsPane { display: none; }
        &.-narrow.-numbers SourcePane { display: none; }
    }
    """

    def __init__(
        self, info: ModelInfo, path: str, look: Look, console: Callable[[], None], unicode: bool = True
    ) -> None:
        super().__init__()
        self.path = path
        self._info, self._look, self._open_console = info, look, console
        self._tree = TreeIndex(info.modules.names, info.modules.depths)
        self._inside: Inside | None = None
        self._looking = False
        self._head, self._foot = Bar("inside-head", unicode), Bar("inside-foot", unicode)
        self.facts, self.source = FactsPane(id="facts", unicode=unicode), SourcePane(id="source", unicode=unicode)

    def compose(self) -> ComposeResult:
        yield self._head
        with Horizontal():
            yield self.facts
            yield self.source
        yield field(placeholder="search the source", id="wanted")
        yield self._foot

    def on_mount(self) -> None:
        self.add_class("-numbers")
        self.facts.focus()
        self._go(self.path)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < WIDE, "-narrow")
        self._bars()

    # what it shows

    def _go(self, path: str) -> None:
        """Look into another module; of those that are asked for meanwhile only the last is looked into."""
        self.path = path
        self._bars("looking …")
        if not self._looking:
            self._looking = True
            self.run_worker(self._fetch(), group="look", exit_on_error=False)

    async def _fetch(self) -> None:
        try:
            path: str | None = None
            while path != self.path:
                path = self.path
                inside = await self._look(self, path)
                if inside is not None and path == self.path:
                    self.show(inside)
        finally:
            self._looking = False

    def show(self, inside: Inside) -> None:
        """What was asked for has come."""
        same = self._inside is not None and self._inside.path == inside.path
        self._inside = inside
        self.facts.inside = self.source.inside = inside
        self.facts.call = min(self.facts.call, max(0, len(inside.calls) - 1)) if same else 0
        if not same:
            self.facts.action_home()
            self.source.action_home()
        self.facts.changed()
        self.source.changed()
        self._bars()

    def fail(self, words: str) -> None:
        """It could not be had; what was there stays."""
        self._bars(words, "bad")
        if self._inside is None:
            self.facts.words = words
            self.facts.changed()

    def _bars(self, words: str = "", style: str = "accent") -> None:
        node = self._tree.find(self.path)
        kinds = self._info.modules
        kind = kinds.types[kinds.type_index[node]] if node >= 0 else ""
        spans = [(" inside ", "strong"), (self.path or "(root)", ""), (f"  {kind}", "dim")]
        if words:
            spans.append((f"  {words}", style))
        self._head.set_line(tuple(spans))
        other = "tab source · " if self.size.width < WIDE else ""
        calls = "[ ] calls · " if self._inside is not None and len(self._inside.calls) > 1 else ""
        hint = f" {other}←→ parent, child · n p walk · {calls}/ search · : console · esc closes"
        self._foot.set_line(((hint, "dim"),))

    # keys

    def action_leave(self) -> None:
        """Close the search, then the screen."""
        if self.has_class("-searching"):
            self._end_search()
        else:
            self.dismiss(None)

    def action_walk(self, where: str) -> None:
        node, depths, parents = self._tree.find(self.path), self._tree.depths, self._tree.parents
        to = {"parent": parents[node], "child": node + 1, "next": node + 1, "previous": node - 1}[where]
        inside = 0 <= to < len(depths)
        if where == "child":
            inside = inside and depths[to] == depths[node] + 1
        if inside:
            self._go(self._tree.path(to))
        else:
            self._bars(
                {"parent": "this is the root", "child": "it has no modules inside"}.get(where, "that is all"), "warn"
            )

    def action_call(self, by: int) -> None:
        calls = len(self._inside.calls) if self._inside is not None else 0
        self.facts.call = max(0, min(calls - 1, self.facts.call + by))
        self.facts.changed()

    def action_other(self) -> None:
        source = self.focused is not self.source
        self.set_class(source, "-source")
        self.set_class(not source, "-numbers")
        self.set_focus(self.source if source else self.facts)

    def action_refresh_now(self) -> None:
        self._go(self.path)

    def action_console(self) -> None:
        self._open_console()

    # searching

    def action_search(self) -> None:
        self.add_class("-searching")
        self.query_one("#wanted", Input).focus()

    @on(Input.Submitted)
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        self.source.wanted = event.value.lower()
        self._end_search()
        self.set_class(True, "-source")
        self.set_class(False, "-numbers")
        self.set_focus(self.source)
        self.source.changed()
        self.call_after_refresh(self._find, 0)

    def action_again(self) -> None:
        self._find(1)

    def _find(self, onwards: int) -> None:
        if self.source.wanted and not self.source.find(onwards):
            self._bars(f"{self.source.wanted!r} is not in the source", "warn")

    def _end_search(self) -> None:
        self.remove_class("-searching")
        self.set_focus(self.source if self.has_class("-source") else self.facts)
