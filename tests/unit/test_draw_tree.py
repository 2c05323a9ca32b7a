from tests.unit.pane_records import TREE
from workbench.tui.draw.tree import TreeIndex, links, training_flags

NAMES = [row[0] for row in TREE]
DEPTHS = [row[1] for row in TREE]


def visible(index: TreeIndex) -> list[str]:
    return [index.path(node) for node in index.rows]


def test_links_are_those_of_the_nested_tree() -> None:
    parents, ends = links(DEPTHS)
    assert list(parents) == [-1, 0, 0, 2, 3, 3, 2, 0, 0]
    assert list(ends) == [9, 2, 7, 6, 5, 6, 7, 8, 9]


def test_expands_whole_levels_up_to_the_limit() -> None:
    index = TreeIndex(NAMES, DEPTHS)
    index.expand_to_fit(7)
    assert visible(index) == ["", "stem", "body", "body.0", "body.1", "drop", "head"]
    index.expand_to_fit(2)
    assert visible(index) == ["", "stem", "body", "drop", "head"]


def test_open_and_close_splice_the_rows() -> None:
    index = TreeIndex(NAMES, DEPTHS)
    index.expand_to_fit(100)
    everything = visible(index)
    assert len(everything) == 9
    assert index.set_open(2, False)
    assert visible(index) == ["", "stem", "body", "drop", "head"]
    assert index.set_open(2, True)
    assert visible(index) == everything
    assert not index.set_open(1, True), "a leaf has nothing to open"


def test_reveal_opens_the_way() -> None:
    index = TreeIndex(NAMES, DEPTHS)
    index.expand_to_fit(0)
    row = index.reveal(index.find("body.0.drop"))
    assert visible(index)[row] == "body.0.drop"
    assert index.find("body.7") == -1
    assert index.find("") == 0


def test_flags_follow_flips_also_one_below_another() -> None:
    index = TreeIndex(NAMES, DEPTHS)
    flags, mixed = training_flags(index, False, ("body", "body.0.drop", "gone"))
    assert list(flags) == [0, 0, 1, 1, 1, 0, 1, 0, 0]
    assert [index.path(node) for node, mix in enumerate(mixed) if mix] == ["", "body", "body.0"]


def test_many_flips_agree_with_few() -> None:
    index = TreeIndex(NAMES, DEPTHS)
    flips = ["stem", "body.0", "body.0.conv", "drop", "head", "body.1"]
    flags, _ = training_flags(index, True, flips)
    assert list(flags) == [1, 0, 1, 0, 1, 0, 0, 0, 0]


def test_empty_tree() -> None:
    index = TreeIndex((), ())
    assert len(index) == 0
    assert index.find("") == -1
    assert training_flags(index, True, ("x",)) == (bytearray(), bytearray())


def test_a_hundred_thousand_nodes_open_and_shut() -> None:
    depths = [0] + [1, 2, *([3] * 8)] * 10_000
    names = ["", *(str(node) for node in range(1, len(depths)))]
    index = TreeIndex(names, depths)
    index.expand_to_fit(30)
    training_flags(index, False, [names[1], names[11], names[21], names[31], names[41]])
    index.open = bytearray(b"\1") * len(depths)
    index.set_open(0, True)
    index.set_open(0, False)
    assert len(index.rows) == 1
    index.set_open(0, True)
    assert len(index.rows) > 100_000
