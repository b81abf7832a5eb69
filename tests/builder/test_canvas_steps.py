"""Steps that a canvas needs: notes, names, sub-graphs written out, places, starting settings, warnings of code."""

import warnings

import pytest
from random_graphs import random_document

from mlkit.builder import templates
from mlkit.builder.arrange import HEIGHT, WIDTH, arrange, arrange_document, is_unplaced, make_room
from mlkit.builder.blocks import palette
from mlkit.builder.code import write_code
from mlkit.builder.document import Block, Document, Link, ModelGraph
from mlkit.builder.history import History
from mlkit.builder.module import build, make_layer
from mlkit.builder.parse import CodeWarning, read_code, reread
from mlkit.builder.shapes import Known, Value, infer_all_shapes, infer_shapes
from mlkit.builder.suggest import fill_from, fits, starting_settings
from mlkit.core.errors import DataError


def test_grouping_and_writing_out_is_the_same_model():
    history = History(arrange_document(templates.cnn()))
    before = history.document
    name = history.group(["conv2d", "relu", "maxpool2d"], "Stage")
    assert [b.type for b in history.document.graph("Stage").blocks].count("Conv2d") == 1
    history.ungroup(name)
    assert not history.document.graphs
    assert history.document.meaning() == before.meaning()


def test_what_cannot_be_written_out_says_why():
    history = History(templates.resnet_block())
    with pytest.raises(DataError, match="repeated 2 times"):
        history.ungroup("blocks")
    with pytest.raises(DataError, match="no sub-graph"):
        history.ungroup("image")


def test_a_sub_graph_gets_another_name_wherever_it_stands():
    history = History(templates.resnet_block())
    history.title("Residual", "ResidualBlock")
    assert list(history.document.graphs) == ["Residual"]
    assert history.document.main["blocks"].properties["graph"] == "Residual"
    history.title("Network")
    assert history.document.name == "Network"
    history.undo()
    history.undo()
    assert history.document == templates.resnet_block()


def test_notes_come_and_go():
    history = History(templates.mlp())
    number = history.add_note("start here", (10, 20))
    history.set_note(number, "begin here")
    history.place({}, {number: (5.0, 6.0)})
    assert history.document.notes == ({"text": "begin here", "position": [5.0, 6.0]},)
    assert Document.from_text(history.document.to_text()) == history.document
    with pytest.raises(DataError, match="no note 7"):
        history.remove_notes([7])
    history.remove_notes([number])
    for _ in range(4):
        history.undo()
    assert history.document == templates.mlp()


@pytest.mark.parametrize("seed", range(40))
def test_arranged_blocks_stand_below_what_they_need_and_apart(seed):
    graph = arrange(random_document(seed).main)
    spots = {b.name: b.position for b in graph.blocks}
    for link in graph.links:
        assert spots[link.source][1] < spots[link.target][1]
    places = list(spots.values())
    for i, (x, y) in enumerate(places):
        for a, b in places[i + 1 :]:
            assert abs(x - a) >= WIDTH or abs(y - b) >= HEIGHT, (seed, (x, y), (a, b))


def test_only_what_nobody_placed_is_arranged():
    document = arrange_document(templates.transformer())
    assert is_unplaced(templates.transformer().graphs["TransformerBlock"])
    assert not is_unplaced(document.graphs["TransformerBlock"])
    moved = History(document)
    moved.move({"norm1": (500.0, 7.0)}, "TransformerBlock")
    assert arrange_document(moved.document) == moved.document


def test_a_block_in_a_link_pushes_what_follows():
    graph = arrange(templates.mlp().main)
    spots = {b.name: b.position for b in graph.blocks}
    block = Block("dropout", "Dropout", {}, spots["relu"])
    links = tuple(k for k in graph.links if k.source != "relu")
    links += (Link("relu", "dropout"), Link("dropout", "linear_2"))
    made = make_room(ModelGraph("MLP", (*graph.blocks, block), links), ["dropout"])
    after = {b.name: b.position for b in made.blocks}
    assert after["relu"] == spots["relu"]
    assert after["relu"][1] < after["dropout"][1] < after["linear_2"][1] < after["output"][1]


def test_every_layer_can_be_made_from_what_it_starts_with():
    value = Value(("batch", 8, 16, 16), "float32")
    for found in palette():
        given = starting_settings(found, value)
        for p in found.properties:
            assert p.check(given.get(p.name, p.default)) is None or p.required, (found.name, p.name)
        if found.kind == "module":
            make_layer(found, Block("b", found.name, given), "meta")


def test_what_fits_runs():
    for shape in [("batch", 784), ("batch", 3, 32, 32), ("batch", 10, 64)]:
        value = Value(shape, "float32")
        names = fits(value, palette())
        assert {"Linear", "ReLU", "Output", "Add", "Dropout"} <= set(names)
        assert ("Conv2d" in names) == (len(shape) == 4)
        for name in ("Linear", "ReLU"):
            block = Block("b", name, starting_settings(palette()[name], value))
            graph = ModelGraph("Net", (Block("x", "Input", {"shape": list(shape)}), block), (Link("x", "b"),))
            assert not infer_shapes(Document(graph)).problems
    tokens = fits(Value(("batch", 12), "int64"), palette())
    assert "Embedding" in tokens and "Linear" not in tokens


def test_a_link_fills_sizes_that_are_not_set():
    found = palette()["Conv2d"]
    value = Value(("batch", 3, 32, 32), "float32")
    assert fill_from(found, {"out_channels": 7, "kernel_size": 5}, value) == {"in_channels": 3}
    assert fill_from(found, {"in_channels": 9, "out_channels": 7, "kernel_size": 5}, value) == {}


@pytest.mark.parametrize("seed", range(25))
def test_a_memory_changes_no_answer(seed):
    known = Known()
    for extra in range(2):
        document = random_document(seed + extra)
        fresh = infer_all_shapes(document)
        again = infer_all_shapes(document, None, known)
        assert {n: s.to_dict() for n, s in fresh.items()} == {n: s.to_dict() for n, s in again.items()}
        total = sum(p.numel() for p in build(document).parameters())
        assert again[document.name].total.parameters == total


def test_what_comes_into_a_sub_graph_is_known_inside():
    history = History(templates.cnn())
    history.group(["conv2d_2", "relu_2"], "Stage")
    inner = infer_all_shapes(history.document)["Stage"]
    assert inner.values["input", "output"].shape == ("batch", 16, 14, 14)
    history.set("conv2d_2", "in_channels", 9, "Stage")
    found = infer_all_shapes(history.document)
    assert found["Stage"].problems[0].repairs[0].value == 16
    assert "in Stage" in found["CNN"].problems[0].message


LOST = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.lost = nn.Linear(4, 9)

    def forward(self, x):
        return self.first(x)
"""


def test_a_layer_that_is_never_used_is_not_lost_in_silence():
    told = []
    read_code(LOST, warn=told.append)
    assert [w.line for w in told] == [6] and "self.lost" in str(told[0])
    with pytest.warns(CodeWarning, match="never used in forward"):
        read_code(LOST)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_code(write_code(templates.cnn()))
        read_code(write_code(templates.transformer()))


def test_edited_code_keeps_places_and_makes_room():
    before = arrange_document(templates.mlp())
    code = write_code(before).replace("relu=nn.ReLU(),", "relu=nn.ReLU(),\n                dropout=nn.Dropout(0.5),")
    after = reread(before, code).main
    assert after["relu"].position == before.main["relu"].position
    rows = [after[n].position[1] for n in ("input", "linear", "relu", "dropout", "linear_2", "output")]
    assert rows == sorted(rows) and len(set(rows)) == 6
