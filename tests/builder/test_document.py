"""Documents: what is written is read; what is broken or hostile is refused with the place in the file."""

import json

import pytest

from mlkit.builder import document as documents
from mlkit.builder import templates
from mlkit.builder.blocks import palette
from mlkit.builder.document import Document
from mlkit.core.errors import DataError


def good():
    return templates.resnet_block(4, 8).to_dict()


def change(path, value):
    def apply(data):
        at = data
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return data

    return apply


BROKEN = {
    "format": (change(["format"], "other"), "format: expected 'mlkit.model'"),
    "future": (change(["version"], 99), "Install a newer mlkit"),
    "version text": (change(["version"], "1"), "version: expected a whole number"),
    "unknown key": (change(["code"], "import os"), "unknown key 'code'"),
    "blocks no list": (change(["blocks"], {}), "blocks: expected a list"),
    "block no object": (change(["blocks", 0], 3), "blocks[0]: expected an object"),
    "unknown block": (change(["blocks", 0, "type"], "Lineer"), "blocks[0].type: there is no block 'Lineer'"),
    "code as type": (change(["blocks", 0, "type"], "__import__('os')"), "blocks[0].type"),
    "code as name": (change(["blocks", 0, "name"], "a; import os"), "blocks[0].name"),
    "keyword": (change(["blocks", 0, "name"], "class"), "cannot be a name"),
    "method's name": (change(["blocks", 0, "name"], "forward"), "cannot be a name"),
    "class name": (change(["name"], "Net(object)"), "name: "),
    "layer's name": (change(["name"], "Linear"), "is the name of a layer"),
    "duplicate": (change(["blocks", 1, "name"], "image"), "there are two blocks called 'image'"),
    "unknown property": (change(["graphs", 0, "blocks", 1, "properties", "chanels"], 3), "graphs[0].blocks[1].properties"),
    "absurd number": (change(["graphs", 0, "blocks", 1, "properties", "in_channels"], 10**30), "in_channels"),
    "negative": (change(["graphs", 0, "blocks", 1, "properties", "in_channels"], -4), "must be 1 or more"),
    "text for a number": (change(["graphs", 0, "blocks", 1, "properties", "in_channels"], "4"), "must be of type int"),
    "absurd repeat": (change(["blocks", 1, "properties", "repeat"], 10**9), "blocks[1].properties.repeat"),
    "no such graph": (change(["blocks", 1, "properties", "graph"], "Nothing"), "there is no sub-graph 'Nothing'"),
    "contains itself": (change(["graphs", 0, "blocks", 1], {"name": "conv1", "type": "Graph",
                                                            "properties": {"graph": "ResidualBlock"}}), "contains itself"),
    "circle": (change(["graphs", 0, "links", 0, "from"], "norm1.output"), "in a circle"),
    "link to nothing": (change(["links", 0, "to"], "nobody.input"), "links[0].to: there is no block"),
    "no such port": (change(["links", 0, "to"], "blocks.side"), "has no input 'side'"),
    "two links": (change(["links", 1], {"from": "image.output", "to": "blocks.input"}), "has a link already"),
    "position": (change(["positions", "blocks"], [1e300, 0]), "outside the canvas"),
    "shape": (change(["blocks", 0, "properties", "shape"], ["os", 3]), "a size is a whole number or 'batch'"),
    "shared": (change(["blocks", 1, "shared"], "image"), "blocks[1].shared"),
    "long text": (change(["blocks", 0, "comment"], "a" * 20000), "the text is too long"),
    "deep": (change(["training"], {"a": json.loads("[" * 40 + "]" * 40)}), "nested too deeply"),
    "data as block": (change(["blocks", 0, "type"], "MNIST"), "there is no block 'MNIST'"),
    "graphs twice": (lambda data: {**data, "graphs": data["graphs"] * 2}, "two graphs called"),
    "no object": (lambda data: [1, 2], "is an object with format"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BROKEN))
def test_broken_documents_say_where(name):
    spoil, message = BROKEN[name]
    with pytest.raises(DataError) as caught:
        Document.from_dict(spoil(good()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[" * 100000,
        '{"format": NaN}',
        '{"format": 1, "format": 2}',
        '{"a": ' * 50000,
        "1" * 6000,
        "\x00",
    ],
)
def test_text_that_is_no_document(text):
    with pytest.raises(DataError):
        Document.from_text(text)


def test_too_large(monkeypatch, tmp_path):
    monkeypatch.setattr(documents, "LARGEST_FILE", 1000)
    with pytest.raises(DataError, match="too large"):
        Document.from_text(" " * 2000)
    path = tmp_path / "a.mlmodel.json"
    path.write_text(" " * 2000)
    with pytest.raises(DataError, match="too large"):
        Document.load(path)


def test_repeats_of_repeats_are_counted_not_made():
    data = good()
    inner = {"blocks": [{"name": "a", "type": "Graph", "properties": {"graph": "G1", "repeat": 1000}}], "links": []}
    data["graphs"] = [{"name": f"G{i}", **json.loads(json.dumps(inner).replace("G1", f"G{i + 1}"))} for i in range(5)]
    data["graphs"].append({"name": "G5", "blocks": [{"name": "a", "type": "Input"}], "links": []})
    data["blocks"][1]["properties"]["graph"] = "G0"
    with pytest.raises(DataError, match="more than 20000 blocks"):
        Document.from_dict(data)


def test_save_and_load(tmp_path):
    document = templates.transformer()
    path = document.save(tmp_path / "net")
    assert path.name == "net.mlmodel.json"
    assert Document.load(path) == document
    assert path.read_text() == document.to_text() == Document.load(path).to_text()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_small_change_is_a_small_diff():
    one = templates.mlp(hidden=64).to_text().splitlines()
    two = templates.mlp(hidden=65).to_text().splitlines()
    assert len(one) == len(two)
    assert sum(a != b for a, b in zip(one, two, strict=True)) == 2  # the layer before and the layer behind


def test_migrations_run_one_after_another(monkeypatch):
    def first(data):
        data["blocks"] = data.pop("nodes")
        return data

    monkeypatch.setattr(documents, "VERSION", 3)
    monkeypatch.setattr(documents, "MIGRATIONS", {1: first, 2: lambda data: {**data, "notes": []}})
    data = good()
    data["nodes"] = data.pop("blocks")
    data["version"] = 1
    assert Document.from_dict(data).main.blocks[0].name == "image"


def test_palette_is_plain_data_and_knows_every_layer():
    text = json.dumps(palette().to_dict())
    assert '"Conv2d"' in text and '"CrossEntropyLoss"' in text and '"MNIST"' in text
    assert "Sequential" not in palette() and "ModuleList" not in palette()
    for block in palette():
        assert block.doc, block.name
