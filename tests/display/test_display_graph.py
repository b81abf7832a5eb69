"""Graphs as pictures: everything is drawn, nothing overlaps, arrows go down."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.display import graph as display


def record(edges, modules=(), names=None):
    """A graph record: node i reads the values of the nodes in edges[i] (-1 is the input)."""
    values = [{"id": "v-1", "kind": "input", "name": "input", "shape": [2, 3], "dtype": "float32", "bytes": 24}]
    nodes = []
    for i, sources in enumerate(edges):
        values.append(
            {"id": f"v{i}", "kind": "activation", "name": "", "shape": [2, i + 1], "dtype": "float32", "bytes": 8}
        )
        nodes.append(
            {
                "id": f"n{i}",
                "op": names[i] if names else f"op{i}",
                "module": modules[i] if modules else "",
                "inputs": [f"v{s}" for s in sources],
                "outputs": [f"v{i}"],
                "attrs": {},
                "source": {"file": "/home/someone/net.py", "line": i + 1, "code": "y = f(x)"},
                "seconds": 0.001,
            }
        )
    return {
        "format": "mlkit.graph",
        "version": 1,
        "name": "Net",
        "inputs": ["v-1"],
        "outputs": [f"v{len(edges) - 1}"] if edges else [],
        "modules": [{"path": p, "type": "Part", "parameters": 1, "extra": ""} for p in dict.fromkeys(["", *modules])],
        "values": values,
        "nodes": nodes,
    }


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_graph_is_laid_out_without_overlaps_and_downwards(data):
    count = data.draw(st.integers(1, 25))
    edges = [sorted(data.draw(st.sets(st.integers(-1, i - 1), min_size=1, max_size=3))) for i in range(count)]
    boxes, arrows, _ = display._boxes(record(edges), 100)
    display._arrange(boxes, arrows)
    width, height = display._place(boxes)
    for a, b in arrows:
        assert boxes[b].layer == boxes[a].layer + 1
    rows = {}
    for box in boxes:
        rows.setdefault(box.layer, []).append(box)
        assert 0 <= box.x - box.width / 2 and box.x + box.width / 2 <= width and 0 < box.y < height
    for members in rows.values():
        members.sort(key=lambda box: box.x)
        for left, right in zip(members[:-1], members[1:]):
            assert left.x + left.width / 2 <= right.x - right.width / 2 + 1e-6


def test_operations_of_a_module_are_one_box_with_their_names(parse):
    page = parse(
        display.html(record([[-1], [0], [1]], ["features.0", "features.0", "head"], ["conv2d", "relu", "linear"]))
    )
    picture = unquote(page.all("img")[0]["src"])
    words = [t.text for t in ElementTree.fromstring(picture.partition(",")[2]).iter() if t.tag.endswith("text")]
    assert (
        "features.0: Part" in words
        and "conv2d, relu: 2 ms, 16 B" in words
        and "head: Part" in words
        and "[2, 2]" in words
    )
    assert "net.py:1" in page.text and "/home/someone" not in page.html


def test_a_large_graph_is_folded_and_bounded(parse):
    edges = [[i - 1] for i in range(600)]
    modules = [f"blocks.{i // 6}.layer{i % 6}" for i in range(600)]
    html = display.html(record(edges, modules))
    page = parse(html)
    assert len(html) < 120_000 and re.search(r"level 1 of 3|level 2 of 3|the first", page.text)


def test_hostile_names_and_no_operations(parse, hostile):
    parse(display.html(record([[-1]], [hostile], [hostile]) | {"name": hostile}))
    assert "no operations" in parse(display.html(record([]))).text
