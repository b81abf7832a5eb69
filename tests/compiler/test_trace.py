"""Recording a program as a graph: what changes in place is a new value of its tensor and of every view of it."""

from __future__ import annotations

import pytest

import mlkit
from mlkit import nn
from mlkit.compiler import trace


def reading(graph, key):
    """The ops below a value, innermost first, from the nodes alone."""
    by_output = {k: n for n in graph.nodes for k in n.outputs}
    if key not in by_output:
        v = graph.values[key]
        return v.name or v.kind
    n = by_output[key]
    return (n.op, *[reading(graph, k) for k in n.inputs])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_op_in_place_replaces_its_tensor(device):
    def f(x):
        y = x * 2
        y.relu_()
        y += 1
        return y.sum()

    graph = trace(f, mlkit.ones(3, device=device))
    two, one = "constant", "constant"
    assert reading(graph, graph.outputs[0]) == ("sum", ("add", ("relu", ("mul", "input", two)), one))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_change_through_a_view_is_one_of_the_whole_and_of_other_views(device):
    def f(x):
        y = x * 1
        first, last = y[0], y[1]
        first.mul_(3)
        return y, first, last

    graph = trace(f, mlkit.ones(2, 3, device=device))
    y, first, last = (reading(graph, k) for k in graph.outputs)
    product = ("mul", "input", "constant")
    assert y == ("view_write", product, ("mul", ("slice", product), "constant"))
    assert first == ("slice", y) == last


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("change", "op"),
    [
        (lambda x: x.__setitem__(0, 5.0), "view_write"),
        (lambda x: x.__setitem__(x > 0, 5.0), "index_put"),
        (lambda x: x.__setitem__(mlkit.tensor([0], device=x.device), x[1:]), "index_put"),
        (lambda x: x.zero_(), "view_write"),
        (lambda x: x.clamp_(0, 1), "clamp"),
        (lambda x: x.t().add_(1), "view_write"),
    ],
    ids=["place", "mask", "index", "zero", "clamp", "transposed"],
)
def test_every_way_to_change_the_input_is_seen(change, op, device):
    if device == "meta" and op == "index_put":
        pytest.skip("needs numbers")

    def f(x):
        change(x)
        return x

    graph = trace(f, mlkit.ones(2, 2, device=device))
    (out,) = graph.outputs
    assert out not in graph.inputs and reading(graph, out)[0] == op


def test_the_tensors_that_are_kept_stay_as_they_were():
    x = mlkit.tensor([1.0, -2.0])

    def f(x):
        y = x + 1
        z = y * 1
        y.relu_()
        y[0] = 9
        return y, z

    graph = trace(f, x, keep=True)
    kept = [graph.value(k).tolist() for n in graph.nodes for k in n.outputs]
    assert kept[:3] == [[2, -1], [2, -1], [2, 0]] and [9, 0] in kept
    assert graph.value(graph.outputs[0]).tolist() == [9, 0]


def test_layers_that_work_in_place_are_connected_in_the_picture():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    graph = trace(model, mlkit.ones(5, 3))
    assert [n.op for n in graph.nodes] == ["linear", "relu", "linear"]
    assert graph.nodes[2].inputs[0] == graph.nodes[1].outputs[0]
    assert '"view_write"' not in graph.to_json()
    assert graph.to_dict()["outputs"] == graph.nodes[2].outputs
