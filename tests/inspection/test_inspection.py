"""One run kept whole: what is recorded, gradients against autograd's own, what-if against a changed model, trouble."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.core.errors import DataError, GradientError
from mlkit.inspection import Change, inspect, load, validate
from mlkit.nn import functional as F
from tests.ops.make_inputs import arrays_for, cases
from tests.ops.test_every_op import call, differentiable


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)) + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Sequential(Block(4), Block(4), Block(4), nn.MaxPool2d(2))
        self.head = nn.Linear(4 * 16, 10)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).flatten(1))


@pytest.fixture
def net():
    mlkit.manual_seed(0)
    return Net()


@pytest.fixture
def images():
    mlkit.manual_seed(1)
    return mlkit.randn(3, 1, 8, 8)


TARGET = mlkit.tensor([1, 7, 0])


def criterion(output):
    return F.cross_entropy(output, TARGET)


def test_the_model_is_left_as_it_was(net, images):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    seen = inspect(net, images, loss=criterion)
    assert seen.gradients and seen.explain("output").total
    seen.what_if(target="stem.weight", set=9.0)
    assert all(net.state_dict()[name].equal(tensor) for name, tensor in before.items())
    assert all(module.training for module in net.modules()) and all(p.grad is None for p in net.parameters())
    kept = seen.value("stem.weight").clone()
    with mlkit.no_grad():
        net.stem.weight.zero_()  # training goes on: what was recorded stays
    assert seen.value("stem.weight").equal(kept)


def test_every_gradient_is_autograds_own(net, images):
    seen = inspect(net, images, loss=criterion)
    net.eval()
    x = images.clone().requires_grad_()
    hidden = []
    hook = net.body[1].register_forward_hook(
        lambda module, args, output: (output.retain_grad(), hidden.append(output))[1]
    )
    criterion(net(x)).backward()
    hook.remove()
    for name, parameter in net.named_parameters():
        np.testing.assert_allclose(seen.gradient(name).numpy(), parameter.grad.numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(seen.gradient("input").numpy(), x.grad.numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(seen.gradient("body.1").numpy(), hidden[0].grad.numpy(), rtol=1e-4, atol=1e-7)
    order = seen.backward_order
    assert order[0] == seen.graph.nodes[-1].id and order == sorted(order, key=lambda n: -int(n[1:]))
    assert seen.of == "the loss" and inspect(net, images).of == "the sum of the output"


def test_a_loss_gives_the_same_graph_and_gradients(net, images):
    net.eval()
    loss = criterion(net(images))
    seen = inspect(loss, model=net)
    run = inspect(net, images, loss=criterion)
    assert [n.op for n in seen.graph.nodes] == [n.op for n in run.graph.nodes]
    assert {n.module for n in seen.graph.nodes} >= {"stem", "body.0.conv", "body.2.norm", "head"}
    for name, _ in net.named_parameters():
        np.testing.assert_allclose(seen.gradient(name).numpy(), run.gradient(name).numpy(), rtol=1e-5, atol=1e-8)
    assert seen.value("output").item() == pytest.approx(loss.item())
    assert seen.explain("output").total == pytest.approx(loss.item(), rel=1e-5)
    assert all(p.grad is None for p in net.parameters()), "looking adds no gradient"
    loss.backward()  # and the graph can still be used


def test_a_loss_whose_graph_is_gone_still_shows_it(net, images):
    loss = criterion(net(images))
    loss.backward()
    seen = inspect(loss, model=net)
    assert [n.op for n in seen.graph.nodes][-2:] == ["softmax_cross_entropy", "mean"]
    with pytest.raises(DataError, match="cannot be run again"):
        seen.what_if(target="stem.weight", scale=0)
    with pytest.raises(GradientError, match="no graph"):
        inspect(mlkit.ones(3))


def test_what_a_loss_tells_again_is_what_the_run_had_whichever_operands_learn():
    """Of every operation: a bias that learns nothing and was not kept makes the result unknown, not another one."""
    compared = 0
    for case in cases():
        op, sample = case.values
        if not differentiable(op, sample):
            continue
        arrays, attributes = arrays_for(op, sample)
        smooth = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
        for learning in (smooth, *[[i] for i in smooth]):
            tensors = [mlkit.from_numpy(a.copy()).requires_grad_(i in learning) for i, a in enumerate(arrays)]
            outputs = call(op, tensors, attributes)
            loss = sum(o.sum() for o in outputs if o.requires_grad and o.dtype.is_floating_point)
            if not mlkit.is_tensor(loss):
                continue
            graph = inspect(loss).graph
            node = next(n for n in graph.nodes if n.op == op.name)
            for key, output in zip(node.outputs, outputs, strict=False):
                if output.requires_grad and key in graph._tensors:
                    found = graph._tensors[key].detach().numpy()
                    np.testing.assert_allclose(found, output.detach().numpy(), rtol=1e-6, atol=1e-8, err_msg=op.name)
                    compared += 1
    assert compared > 500


def test_a_weight_that_has_another_shape_since_is_no_obstacle(net, images):
    loss = criterion(net(images))
    net.stem.weight.data = mlkit.zeros(4, 2, 3, 3)
    assert inspect(loss, model=net).value("output").item() == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("change", "edit"),
    [
        (Change("stem.weight", channel=2, scale=0), lambda net, x: net.stem.weight[2].mul_(0)),
        (Change("head.bias", index=3, add=1.5), lambda net, x: net.head.bias[3].add_(1.5)),
        (Change("body.1.norm.weight", set=0.25), lambda net, x: net.body[1].norm.weight.fill_(0.25)),
        (Change("input", index=(1, 0, 4, 4), set=-3), lambda net, x: x[1, 0, 4, 4].fill_(-3)),
        (Change("input", channel=0, scale=2), lambda net, x: x[:, 0].mul_(2)),
    ],
)
def test_what_if_is_what_the_changed_model_gives(net, images, change, edit):
    seen = inspect(net, images)
    found = seen.what_if(change)
    other, x = copy.deepcopy(net).eval(), images.clone()
    with mlkit.no_grad():
        edit(other, x)
        expected = other(x)
    np.testing.assert_allclose(found.value("output").numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)
    before = net.eval()(images).detach().numpy().astype(float)
    distance = np.linalg.norm(expected.numpy() - before) / np.linalg.norm(before)
    assert found.relative[seen.find("output")] == pytest.approx(distance, rel=1e-3)
    assert seen.value("output").numpy() == pytest.approx(before, rel=1e-4, abs=1e-6)


def test_what_if_of_a_hidden_channel(net, images):
    """Zeroing one feature map between two layers: a hook on the model does the same."""
    seen = inspect(net, images)
    found = seen.what_if(target="body.0", channel=1, scale=0)

    def without(module, args, output):
        output = output.clone()
        output[:, 1] = 0
        return output

    handle = net.eval().body[0].register_forward_hook(without)
    expected = net(images).detach()
    handle.remove()
    np.testing.assert_allclose(found.value("output").numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)
    before_it = [key for key in seen.graph.values if seen.producer.get(key) and seen.producer[key].module == "stem"]
    assert not set(before_it) & set(found.changed), "nothing upstream moves"
    assert "of its size" in repr(found)


def test_changes_that_cannot_be_are_refused_in_words(net, images):
    seen = inspect(net, images)
    with pytest.raises(TypeError, match="one of set, scale and add, got none"):
        Change("input")
    with pytest.raises(TypeError, match="takes a number, got 'x'"):
        Change("input", set="x")
    with pytest.raises(TypeError, match="not of both"):
        Change("input", index=(0, 0, 0, 0), channel=1, set=0)
    with pytest.raises(IndexError, match="channel 4 is outside axis 0, which has 4 places"):
        seen.what_if(target="stem.weight", channel=4, scale=0)
    with pytest.raises(TypeError, match="say what to change"):
        seen.what_if()


def test_changes_in_place_are_followed():
    def program(x):
        y = x * 2
        first = y[0]
        first += 10
        y[1] = x[0]
        return y.relu_() + first.sum()

    x = mlkit.tensor([[1.0, -2.0], [3.0, 4.0]])
    seen = inspect(program, x)
    np.testing.assert_allclose(seen.value("output").numpy(), program(x.clone()).numpy())
    doubled = next(n for n in seen.graph.nodes if n.op == "mul").outputs[0]
    np.testing.assert_allclose(seen.value(doubled).numpy(), [[2, -4], [6, 8]], err_msg="what it was before the change")
    for node in seen.graph.nodes:
        for output in node.outputs:
            for place in np.ndindex(*seen.graph.values[output].shape):
                found = seen.explain(output, place)
                assert found.total == pytest.approx(found.number)
    other = mlkit.tensor([[5.0, -2.0], [3.0, 4.0]])
    np.testing.assert_allclose(
        seen.what_if(target="input", index=(0, 0), set=5).value("output").numpy(), program(other.clone()).numpy()
    )


def test_a_forward_that_raises_keeps_the_graph_up_to_there():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 8)
            self.second = nn.Linear(9, 2)

        def forward(self, x):
            return self.second(F.relu(self.first(x)))

    seen = inspect(Wrong(), mlkit.ones(3, 4))
    assert [n.op for n in seen.graph.nodes] == ["linear", "relu", "linear"]
    assert seen.failed.module == "second" and seen.failed.outputs == []
    assert type(seen.error).__name__ == "ShapeError" and "then ShapeError" in repr(seen)
    document = validate(json.loads(json.dumps(seen.to_dict())))
    assert document["failed"] == "n2" and document["error"]["module"] == "second"
    assert seen.explain("first", (0, 0)).total == pytest.approx(seen.value("first")[0, 0].item())
    with pytest.raises(DataError, match="made nothing"):
        seen.explain("n2", (0, 0))


def test_an_error_that_the_program_catches_is_no_failure():
    def program(x):
        try:
            return x @ mlkit.zeros(7, 7)
        except RuntimeError:
            return x + 1

    seen = inspect(program, mlkit.ones(2, 3))
    assert seen.error is None and [n.op for n in seen.graph.nodes] == ["add"]


def test_the_first_nan_is_traced_to_its_operation():
    class Log(nn.Module):
        def forward(self, x):
            return mlkit.log(x - 2)

    model = nn.Sequential(nn.ReLU(), Log(), nn.Softmax(1))
    seen = inspect(model, mlkit.tensor([[1.0, 5.0]]))
    assert seen.trouble["kind"] == "NaN" and seen.nodes[seen.trouble["node"]].op == "log"
    assert seen.trouble["index"] == [0, 0] and seen.nodes[seen.trouble["node"]].module == "1"
    assert "the first NaN comes from log in 1" in repr(seen)
    assert inspect(model, mlkit.tensor([[4.0, 5.0]])).trouble is None
    infinite = inspect(lambda x: 1 / x, mlkit.tensor([0.0, 1.0]))
    assert infinite.trouble["kind"] == "Inf"
    mask = mlkit.tensor([[True, False]])
    masked = inspect(lambda x: x.masked_fill(mask, float("-inf")).softmax(1), mlkit.ones(1, 2))
    assert masked.trouble is None, "an infinity that was asked for is no trouble"


def test_blocks_that_look_alike_are_one_fold(net, images):
    folds = inspect(net, images).to_dict()["folds"]
    assert folds == [{"parent": "body", "first": "body.0", "last": "body.2", "members": ["body.0", "body.1", "body.2"]}]
    net.body[1].conv.padding_mode = "circular"
    assert inspect(net, images).to_dict()["folds"] == []


def test_documents_go_to_a_file_and_back(tmp_path, net, images):
    seen = inspect(net, images)
    seen.save(tmp_path / "net.mlgraph.json")
    assert load(tmp_path / "net.mlgraph.json") == json.loads(json.dumps(seen.to_dict()))
    assert seen.to_dict()["nodes"][0]["arguments"][:1] == ["v0"]
    (tmp_path / "torn.json").write_text('{"format": "mlkit.gr')
    with pytest.raises(DataError, match="is no JSON"):
        load(tmp_path / "torn.json")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda d: d.pop("nodes"), "the top has no 'nodes'"),
        (lambda d: d["values"][0].update(shape="3"), r"at values\[0\].shape: expected array, got '3'"),
        (lambda d: d["values"][0].update(kind="weight"), "expected one of input, parameter"),
        (lambda d: d["nodes"][0]["inputs"].append("v999"), "names the value 'v999', which is not there"),
        (lambda d: d["nodes"][1].update(id="n0"), "two nodes have the id 'n0'"),
        (lambda d: d["nodes"][0].update(seconds=-1), "at least 0"),
        (lambda d: d["modules"][0].update(parameters=True), "expected integer or null, got True"),
        (lambda d: d.update(version=2), "version 2; this mlkit reads version 1"),
        (lambda d: d.update(outputs=["x"]), "inputs or outputs name the value 'x'"),
    ],
)
def test_a_document_that_is_none_is_refused_with_the_place(net, images, break_it, words):
    document = json.loads(json.dumps(inspect(net, images).to_dict()))
    break_it(document)
    with pytest.raises(DataError, match=words):
        validate(document)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((5,), "got int"),
        ((nn.Linear(2, 2),), "pass its inputs too"),
        ((mlkit.ones(2), mlkit.ones(2)), "takes no inputs"),
    ],
)
def test_what_cannot_be_inspected_is_said(arguments, words):
    with pytest.raises(TypeError, match=words):
        inspect(*arguments)


def test_the_meta_device_has_shapes_and_says_that_it_has_no_numbers():
    seen = inspect(nn.Linear(3, 2, device="meta"), mlkit.zeros(4, 3, device="meta"))
    assert seen.graph.values[seen.graph.outputs[0]].shape == (4, 2)
    with pytest.raises(DataError, match="not kept"):
        seen.explain("output", (0, 0))
    assert seen.trouble is None
