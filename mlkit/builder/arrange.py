"""Places for blocks: whole graphs in rows from top to bottom, and room for one that is new."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from mlkit.builder.document import Document, ModelGraph

WIDTH, HEIGHT = 200.0, 56.0  # of a block on the canvas
STEP_X, STEP_Y = 236.0, 90.0  # from one block to the next; between rows there is room for a shape
LANE = 40.0  # the width of a link that passes a row


@dataclass
class _Place:
    """A block, or a link on its way past a row."""

    width: float
    row: int
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)
    x: float = 0.0


def arrange(graph: ModelGraph) -> ModelGraph:
    """The graph with all blocks in rows: each below what it needs, links with few crossings.

    >>> from mlkit.builder import templates
    >>> ys = [block.position[1] for block in arrange(templates.mlp().main).blocks]
    >>> ys == sorted(ys) and len(set(ys)) == len(ys)
    True
    """
    row: dict[str, int] = {}
    ordered = graph.order()
    for block in ordered:
        row[block.name] = max((row[k.source] + 1 for k in graph.into(block.name)), default=0)
    users: dict[str, list[str]] = {}
    for link in graph.links:
        users.setdefault(link.source, []).append(link.target)
    for block in reversed(ordered):  # what is fed by nothing stands just above its first user
        if row[block.name] == 0 and users.get(block.name):
            row[block.name] = min(row[u] for u in users[block.name]) - 1
    places = {name: _Place(WIDTH, r) for name, r in row.items()}
    rows: list[list[_Place]] = [[] for _ in range(max(row.values(), default=0) + 1)]
    for block in ordered:
        rows[row[block.name]].append(places[block.name])
    for source, target in dict.fromkeys((k.source, k.target) for k in graph.links):
        last = places[source]
        for r in range(row[source] + 1, row[target]):
            lane = _Place(LANE, r, [last])
            last.below.append(lane)
            rows[r].append(lane)
            last = lane
        last.below.append(places[target])
        places[target].above.append(last)
    _order(rows)
    _spread(rows)
    left = min((p.x for p in places.values()), default=0.0)
    spots = {name: (round(p.x - left, 1), p.row * STEP_Y) for name, p in places.items()}
    return replace(graph, blocks=tuple(replace(b, position=spots[b.name]) for b in graph.blocks))


def _order(rows: list[list[_Place]]) -> None:
    """Each row by the middle of its neighbours, downwards and upwards in turn."""
    for line in rows:
        for i, place in enumerate(line):
            place.x = float(i)
    for turn in range(8):
        down = turn % 2 == 0
        for line in rows if down else reversed(rows):
            keys = {}
            for place in line:
                others = place.above if down else place.below
                keys[id(place)] = sum(o.x for o in others) / len(others) if others else place.x
            line.sort(key=lambda place: keys[id(place)])
            for i, place in enumerate(line):
                place.x = float(i)


def _spread(rows: list[list[_Place]]) -> None:
    """Left edges: each place as near to its neighbours' middle as those beside it allow."""
    gap = STEP_X - WIDTH
    for line in rows:
        x = 0.0
        for place in line:
            place.x = x
            x += place.width + gap
    for turn in range(12):
        down = turn % 2 == 0
        for line in rows if down else reversed(rows):
            wanted = []
            for place in line:
                others = (place.above if down else place.below) or place.above or place.below
                middle = place.x + place.width / 2
                if others:
                    middle = sum(o.x + o.width / 2 for o in others) / len(others)
                wanted.append(middle - place.width / 2)
            for place, x in zip(line, _apart(line, wanted, gap), strict=True):
                place.x = x


def _apart(line: list[_Place], wanted: list[float], gap: float) -> list[float]:
    """The places nearest to those wanted that keep order and distance: blocks that touch move as one."""
    groups: list[list[Any]] = []  # [sum of wanted starts, count, width so far, members]
    for place, want in zip(line, wanted, strict=True):
        groups.append([want, 1, place.width + gap, [place]])
        while len(groups) > 1:
            one, two = groups[-2], groups[-1]
            if one[0] / one[1] + one[2] <= two[0] / two[1]:
                break
            groups.pop()
            one[0] += two[0] - two[1] * one[2]
            one[1] += two[1]
            one[2] += two[2]
            one[3] += two[3]
    found = []
    for total, count, _, members in groups:
        x = total / count
        for place in members:
            found.append(x)
            x += place.width + gap
    return found


def arrange_document(document: Document) -> Document:
    """Every graph of a document that nobody has placed yet, arranged."""
    for graph in list(document.all_graphs()):
        if not is_unplaced(graph):
            continue
        document = document.with_graph(arrange(graph), graph.name)
    return document


def is_unplaced(graph: ModelGraph) -> bool:
    """Whether nobody has placed these blocks yet: they stand in one column, as readers and templates leave them."""
    return len(graph.blocks) > 1 and all(
        b.position[0] == 0 and abs(b.position[1] - 90.0 * i) < 1e-6 or b.position == (0.0, 0.0)
        for i, b in enumerate(sorted(graph.blocks, key=lambda b: b.position[1]))
    )


def make_room(graph: ModelGraph, fresh: list[str]) -> ModelGraph:
    """Put new blocks below what feeds them, and move what they would cover.

    >>> from mlkit.builder.document import Block, Link
    >>> graph = ModelGraph("Net", (Block("a", "ReLU"), Block("b", "ReLU", {}, (0.0, 90.0)), Block("c", "ReLU")),
    ...                    (Link("a", "c"), Link("c", "b")))
    >>> [block.position[1] for block in make_room(graph, ["c"]).blocks]
    [0.0, 180.0, 90.0]
    """
    spots = {b.name: b.position for b in graph.blocks}
    behind: dict[str, set[str]] = {}
    for link in graph.links:
        behind.setdefault(link.source, set()).add(link.target)
    new = set(fresh)
    for block in graph.order():
        if block.name not in new:
            continue
        feeds = [spots[k.source] for k in graph.into(block.name) if k.source not in new or k.source in spots]
        if feeds:
            spots[block.name] = (sum(x for x, _ in feeds) / len(feeds), max(y for _, y in feeds) + STEP_Y)
        _push(block.name, spots, behind)
        x, y = spots[block.name]
        others = [p for name, p in spots.items() if name != block.name and not (name in new and p == (x, y))]
        while any(abs(x - a) < WIDTH and abs(y - b) < HEIGHT + 8 for a, b in others):
            x += STEP_X
        spots[block.name] = (x, y)
    return replace(graph, blocks=tuple(replace(b, position=spots[b.name]) for b in graph.blocks))


def _push(name: str, spots: dict[str, tuple[float, float]], behind: dict[str, set[str]]) -> None:
    """Move what follows a block down until there is a step between them."""
    waiting = [name]
    turns = 0
    while waiting and turns < 20000:
        turns += 1
        here = waiting.pop()
        for user in behind.get(here, ()):
            short = spots[here][1] + STEP_Y - spots[user][1]
            if short > 0:
                spots[user] = (spots[user][0], spots[user][1] + short)
                waiting.append(user)
