"""Undo and redo bring back exactly what was, over sub-graphs too."""

import random

import pytest

from mlkit.builder import templates
from mlkit.builder.code import write_code
from mlkit.builder.history import History
from mlkit.builder.parse import read_code
from mlkit.core.errors import DataError


def step(rng, history):
    graph = rng.choice([None, *history.document.graphs])
    g = history.document.graph(graph)
    names = [b.name for b in g.blocks if b.type not in ("Input", "Output")]
    kind = rng.choice(["add", "remove", "move", "comment", "rename", "set", "paste", "unlink", "group"])
    if kind == "add" or not names:
        history.add("Linear", {"in_features": rng.randrange(1, 9), "out_features": 2}, graph=graph)
    elif kind == "remove" and len(names) > 4:
        history.remove([rng.choice(names)], graph)
    elif kind == "move":
        history.move({rng.choice(names): (rng.random(), 2.0)}, graph)
    elif kind == "comment":
        history.comment(rng.choice(names), f"note {rng.random()}", graph)
    elif kind == "rename":
        history.rename(rng.choice(names), g.unique_name("renamed"), graph)
    elif kind == "set":
        linear = [b.name for b in g.blocks if b.type == "Linear"]
        if linear:
            history.set(rng.choice(linear), "out_features", rng.randrange(1, 99), graph)
    elif kind == "paste":
        history.paste(history.copy(rng.sample(names, min(2, len(names))), graph), graph=graph)
    elif kind == "unlink" and g.links:
        history.unlink(rng.choice(g.links), graph)
    elif kind == "group" and len(history.document.graphs) < 5:
        history.group([rng.choice(names)], "Part", graph=graph)


@pytest.mark.parametrize("seed", range(8))
def test_undo_and_redo_are_exact(seed):
    rng = random.Random(seed)
    history = History(templates.transformer(8, 2, 4))
    states = [history.document]
    while len(states) < 60:
        before = len(history.undoable)
        step(rng, history)
        if len(history.undoable) > before:
            states.append(history.document)
        else:
            states[-1] = history.document  # two settings of one property in a row are one step
    for expected in reversed(states[:-1]):
        assert history.undo()
        assert history.document == expected
    assert history.undo() is None
    for expected in states[1:]:
        assert history.redo()
        assert history.document == expected
    assert history.redo() is None


def test_two_hundred_steps_are_kept():
    history = History(templates.mlp())
    for _ in range(230):
        history.add("ReLU")
    assert len(history.undoable) == 200
    for _ in range(200):
        history.undo()
    assert len(history.document.main.of_type("ReLU")) == 31
    history.add("Tanh")
    assert history.redoable == []


def test_a_step_that_fails_changes_nothing():
    history = History(templates.mlp())
    before = history.document
    with pytest.raises(DataError):
        history.link("linear_2", "linear")  # in a circle
    with pytest.raises(DataError):
        history.set("linear", "in_features", -1)
    with pytest.raises(DataError):
        history.paste("no blocks")
    assert history.document is before and history.undoable == []


def test_a_group_is_the_same_model(inputs):
    history = History(templates.cnn())
    history.group(["relu", "maxpool2d"], "Pooling")
    code = write_code(history.document)
    assert "class Pooling(nn.Sequential)" in code
    assert read_code(code).meaning() == history.document.meaning()


def test_a_drag_is_one_step():
    history = History(templates.mlp())
    for i in range(9):
        history.move({"relu": (i, i)}, drag="first")
    history.move({"relu": (50, 50)}, drag="second")
    assert history.undoable == ["Move", "Move"]
