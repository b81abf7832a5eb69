"""Compiled equals eager on every layer and loss: outputs, gradients, running statistics, train and eval."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.compiler.compiled import compile as compiled_of
from tests.oracle import programs_layers
from tests.oracle.programs_layers import LAYERS, parts

#: layers that run eagerly and say so: their work depends on numbers, they return a view of the argument, or have hooks
EAGER = set(
    """Flatten Unflatten BatchNorm2d spectral_norm_hook LSTM_packed GRU_packed
    Embedding_norm EmbeddingBag EmbeddingBag_sum EmbeddingBag_max AdaptiveLogSoftmaxWithLoss CTCLoss
    CTCLoss_impossible""".split()
)


def tensors_in(found):
    if isinstance(found, mlkit.Tensor):
        return [found]
    return (
        [t for part in found if part is not None for t in tensors_in(part)] if isinstance(found, (tuple, list)) else []
    )


def use(layer, args, count, seed):
    """What a step with the layer gives: outputs, gradients of inputs and parameters, buffers."""
    mlkit.manual_seed(seed)
    rng = np.random.default_rng(seed)
    args = [a.clone() if isinstance(a, mlkit.Tensor) else a for a in args]
    wanted = [a for a in args[:count] if isinstance(a, mlkit.Tensor) and a.is_floating_point()]
    for a in wanted:
        a.requires_grad_()
    for p in layer.parameters():
        p.grad = None
    outs = tensors_in(layer(*args))
    smooth = [y for y in outs if y.requires_grad]
    if smooth:
        sum((y * mlkit.tensor(rng.normal(size=tuple(y.shape)))).sum() for y in smooth).backward()
    found = [y.detach().numpy() for y in outs]
    found += [t.grad.numpy() for t in (*wanted, *layer.parameters()) if t.grad is not None]
    return found + [b.numpy().copy() for b in layer.buffers()]


#: layers that PyTorch does not have: as in LAYERS
OURS: dict[str, tuple] = {
    "ContrastiveLoss": (
        "nn.ContrastiveLoss()",
        "numbers(5, 4), numbers(5, 4), T.tensor([1.0, 0, 1, 0, 1]).double()",
        2,
    ),
    "DiceLoss": ("nn.DiceLoss()", "numbers(2, 3, 4, 4), numbers(2, 4, 4).gt(0).long()"),
    "FocalLoss": ("nn.FocalLoss()", "numbers(5, 4), T.tensor([1, 0, 3, 2, 1])"),
    "InfoNCELoss": ("nn.InfoNCELoss()", "numbers(5, 4), numbers(5, 4)", 2),
    "RotaryPositions": ("nn.RotaryPositions(4)", "numbers(2, 5, 4)"),
    "SinusoidalPositions": ("nn.SinusoidalPositions(4, 9)", "numbers(2, 5, 4)"),
}
#: what is no layer by itself: bases and containers
NO_LAYERS = {"Module", "RNNBase", "RNNCellBase", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList"}


def test_no_layer_is_forgotten():
    text = " ".join(f"{name} {parts(name)}" for name in LAYERS) + " ".join(make for make, *_ in OURS.values())
    there = set(re.findall(r"\w+", text)) | NO_LAYERS
    known = {n: getattr(nn, n) for n in dir(nn)}
    assert not {n for n, c in known.items() if isinstance(c, type) and issubclass(c, nn.Module)} - there


@pytest.mark.parametrize("name", [*LAYERS, *OURS])
def test_layer(name):
    scope = programs_layers.tools(name, mlkit)
    make, inputs = OURS[name][:2] if name in OURS else parts(name)
    row = OURS[name] if name in OURS else LAYERS[name]
    count = row[2] if len(row) > 2 else 1
    exec(f"layer = {make}.double()\nargs = arguments({inputs})", scope)
    layer, args = scope["layer"], scope["args"]
    if "Lazy" in type(layer).__name__:
        layer(*args)
    scope["fill"](layer)
    compiled = compiled_of(copy.deepcopy(layer), options={"fusion": False})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name not in EAGER:
            warnings.filterwarnings("error", message="mlkit.compile")
        for seed in (0, 1, 2):
            wanted, found = use(layer, args, count, seed), use(compiled, args, count, seed)
            assert len(wanted) == len(found)
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        if name not in EAGER:
            assert compiled._compiled.recordings == 1
        layer.eval()
        compiled.eval()
        with mlkit.no_grad():
            for _ in range(2):
                for a, b in zip(tensors_in(compiled(*args)), tensors_in(layer(*args)), strict=True):
                    np.testing.assert_array_equal(a.numpy(), b.numpy())
