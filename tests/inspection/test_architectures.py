"""Public architectures, as they are written for PyTorch (tests/oracle/public), looked into without a crash."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import mlkit
from mlkit.inspection import inspect, validate
from tests.oracle import public_models

NAMES = [
    "alexnet", "bigru_attention", "char_lstm", "convnext", "densenet", "diffusion", "lenet", "llama", "mlp_mixer", "mobilenet",
    "nano_gpt", "nano_gpt_masked", "resnet18", "resnet50_frozen", "transformer_seq2seq", "unet", "vgg", "vit",
]  # fmt: skip


class Caught(Exception):
    pass


class Catch(public_models.Run):
    """Takes the model and what it is called with, in place of a training."""

    def train(self, model, loss, *args, **kwargs):
        def take(module, inputs, named):
            self.caught = (module, inputs, named)
            raise Caught

        handle = model.register_forward_pre_hook(take, with_kwargs=True)
        try:
            loss()
        except Caught:
            pass
        handle.remove()
        raise Caught


@pytest.fixture
def caught(request, monkeypatch):
    found = []

    class Keep(Catch):
        def __init__(self, *args):
            super().__init__(*args)
            found.append(self)

    monkeypatch.setattr(public_models, "Run", Keep)
    with pytest.raises(Caught):
        public_models.run(request.param, mlkit, double=False)
    return found[0].caught


def floats(outputs) -> list:
    """All tensors, however they are nested."""
    if isinstance(outputs, mlkit.Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, dict) else outputs if isinstance(outputs, (tuple, list)) else ()
    return [tensor for part in parts for tensor in floats(part)]


@pytest.mark.parametrize("caught", NAMES, indirect=True)
@pytest.mark.filterwarnings("ignore")
def test_every_architecture_is_looked_into(caught):
    model, inputs, named = caught
    seen = inspect(model, *inputs, **named)
    assert seen.error is None and seen.trouble is None, seen
    model.eval()
    with mlkit.no_grad():
        expected = floats(model(*inputs, **named))
    got = [seen.value(key) for key in seen.graph.outputs]
    assert len(got) >= len(expected)
    for one, other in zip(got, expected, strict=False):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)

    done = set()
    for node in seen.graph.nodes:
        if node.op in done:
            continue
        done.add(node.op)
        shape = seen.graph.values[node.outputs[0]].shape
        if not np.prod(shape, dtype=int):
            continue
        place = tuple(size // 2 for size in shape)
        found = seen.explain(node.outputs[0], place)
        assert found.total == pytest.approx(found.number, rel=2e-3, abs=2e-4), str(found)

    model.zero_grad()
    sum(
        o.float().sum() for o in floats(model(*inputs, **named)) if o.is_floating_point() and o.requires_grad
    ).backward()
    compared = 0
    for name, parameter in model.named_parameters():
        if parameter.grad is None or name not in {v.name for v in seen.graph.values.values()}:
            continue
        np.testing.assert_allclose(
            seen.gradient(name).numpy(),
            parameter.grad.numpy(),
            rtol=2e-3,
            atol=2e-3 * float(parameter.grad.abs().max()) + 1e-6,
        )
        compared += 1
    assert compared

    name = next(v.name for v in seen.graph.values.values() if v.kind == "parameter")
    assert seen.what_if(target=name, scale=1.5).changed
    validate(json.loads(json.dumps(seen.to_dict())))

    from mlkit_widgets.graph_inspector.picture import draw
    from mlkit_widgets.graph_inspector.places import with_places

    graph = with_places(seen.to_dict())
    ElementTree.fromstring(draw(graph, [module["place"] for module in graph["modules"] if module["place"]][:6]))
