"""Index arithmetic of a tree that is kept as columns: which rows are visible, flags of every node, paths.

No object a node: 100,000 modules are a few arrays. Nodes are numbered in preorder. Pure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence


def links(depths: Sequence[int]) -> tuple[array[int], array[int]]:
    """For every node its parent (-1: none), and the node after its last descendant."""
    parents, ends = array("q", bytes(8 * len(depths))), array("q", bytes(8 * len(depths)))
    above: list[int] = []
    for node, depth in enumerate(depths):
        while len(above) > depth:
            ends[above.pop()] = node
        parents[node] = above[-1] if above else -1
        above.append(node)
    for node in above:
        ends[node] = len(depths)
    return parents, ends


class TreeIndex:
    """Which nodes are open, and therefore which node stands in which row."""

    def __init__(self, names: Sequence[str], depths: Sequence[int]) -> None:
        self.names = names
        self.depths = depths
        self.parents, self.ends = links(depths)
        self.open = bytearray(len(depths))
        self.rows: array[int] = array("q")
        """Node of every visible row."""
        self._refill()

    def __len__(self) -> int:
        return len(self.rows)

    def is_leaf(self, node: int) -> bool:
        return self.ends[node] == node + 1

    def path(self, node: int) -> str:
        """Dotted path below the root; "" is the root itself."""
        parts: list[str] = []
        while node > 0:
            parts.append(self.names[node])
            node = self.parents[node]
        return ".".join(reversed(parts))

    def find(self, path: str) -> int:
        """Node of a path, -1 when there is none."""
        if not len(self.depths):
            return -1
        node = 0
        for part in path.split(".") if path else ():
            child, end = node + 1, self.ends[node]
            while child < end and self.names[child] != part:
                child = self.ends[child]
            if child >= end:
                return -1
            node = child
        return node

    def expand_to_fit(self, limit: int) -> None:
        """Open whole levels while no more than `limit` rows result; the root's level is always open."""
        width: dict[int, int] = {}
        for depth in self.depths:
            width[depth] = width.get(depth, 0) + 1
        deepest, total = 1, width.get(0, 0) + width.get(1, 0)
        while width.get(deepest + 1) and total + width[deepest + 1] <= limit:
            deepest += 1
            total += width[deepest]
        self.open = bytearray(depth < deepest for depth in self.depths)
        self._refill()

    def set_open(self, row: int, opened: bool) -> bool:
        """Open or close the node in a row; whether anything changed."""
        node = self.rows[row]
        if self.is_leaf(node) or bool(self.open[node]) == opened:
            return False
        self.open[node] = opened
        if opened:
            self.rows[row + 1 : row + 1] = self._visible(node + 1, self.ends[node])
        else:
            del self.rows[row + 1 : bisect_left(self.rows, self.ends[node], row + 1)]
        return True

    def reveal(self, node: int) -> int:
        """Open everything above a node; the row it then stands in."""
        above, changed = self.parents[node], False
        while above >= 0:
            changed |= not self.open[above]
            self.open[above] = True
            above = self.parents[above]
        if changed:
            self._refill()
        return bisect_left(self.rows, node)

    def _refill(self) -> None:
        self.rows = self._visible(0, len(self.depths))

    def _visible(self, node: int, end: int) -> array[int]:
        rows: array[int] = array("q")
        append, ends, opened = rows.append, self.ends, self.open
        while node < end:
            append(node)
            node = node + 1 if opened[node] else ends[node]
        return rows


def training_flags(index: TreeIndex, training: bool, flips: Sequence[str]) -> tuple[bytearray, bytearray]:
    """Every node's own train flag, and whether the modules below it disagree.

    `flips` are the paths whose flag differs from their parent's; a path that the tree lacks is ignored.
    """
    count = len(index.depths)
    flags, mixed = bytearray([training]) * count, bytearray(count)
    nodes = sorted(node for node in _nodes_of(index, flips) if node > 0)
    for node in nodes:  # in preorder, so that a flip below another turns its part back
        value = 1 - flags[node]
        end = index.ends[node]
        flags[node:end] = bytes([value]) * (end - node)
    for node in nodes:
        above = index.parents[node]
        while above >= 0 and not mixed[above]:
            mixed[above] = True
            above = index.parents[above]
    return flags, mixed


def _nodes_of(index: TreeIndex, paths: Sequence[str]) -> list[int]:
    """Nodes of many paths: one by one while they are few, by one walk over the whole tree otherwise."""
    if len(paths) <= 4:
        return [index.find(path) for path in paths]
    wanted, found = set(paths), []
    above: list[str] = []
    for node, (name, depth) in enumerate(zip(index.names, index.depths, strict=True)):
        del above[depth:]
        path = f"{above[-1]}.{name}" if above and above[-1] else name
        above.append(path)
        if path in wanted:
            found.append(node)
    return found
