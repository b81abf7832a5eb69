"""Axis names: which come out of what, what is refused, and that gradients, views and modules go along.

PyTorch had named tensors up to 2.12 and described their rules ("Named Tensors operator coverage"); the table holds those.
"""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.core.errors import CheckpointError, ShapeError


def inputs() -> dict:
    def make(shape, *names):
        n = 1
        for size in shape:
            n *= size
        return mlkit.arange(float(n)).reshape(shape).rename(*names)

    return {
        "T": mlkit,
        "x": make((4, 3), "N", "C"),
        "y": make((4, 3), "N", "C"),
        "u": mlkit.arange(12.0).reshape(4, 3),
        "i": make((2, 3, 4, 4), "N", "C", "H", "W"),
        "v": make((3,), "C"),
        "p": make((4, 3), "N", None),
        "w": make((3, 5), "C", "D"),
        "s": make((4, 4), "C", "N"),
    }


TABLE = """
x => ('N', 'C')(4, 3)
u => (None, None)(4, 3)
p => ('N', None)(4, 3)
x + y => ('N', 'C')(4, 3)
x + u => ('N', 'C')(4, 3)
x + v => ('N', 'C')(4, 3)
x + 1 => ('N', 'C')(4, 3)
x + s => error
x * p => ('N', 'C')(4, 3)
x + x.rename('A', 'C') => error
v + x => ('N', 'C')(4, 3)
x + x.rename('C', 'N') => error
x > u => ('N', 'C')(4, 3)
-x => ('N', 'C')(4, 3)
x.exp() => ('N', 'C')(4, 3)
x.sigmoid() => ('N', 'C')(4, 3)
x.clamp(0, 1) => ('N', 'C')(4, 3)
x.add(v) => ('N', 'C')(4, 3)
x.mul_(y) => ('N', 'C')(4, 3)
x.add_(v) => ('N', 'C')(4, 3)
x.zero_() => ('N', 'C')(4, 3)
x.fill_(2.0) => ('N', 'C')(4, 3)
x.sum('C') => ('N',)(4,)
x.sum('N', keepdim=True) => ('N', 'C')(1, 3)
x.sum(('N', 'C')) => ()()
x.sum(0) => ('C',)(3,)
x.sum() => ()()
x.mean('C') => ('N',)(4,)
x.mean(['N', 'C']) => ()()
x.sum('Z') => error
x.std('C') => ('N',)(4,)
x.var('N') => ('C',)(3,)
x.prod('C') => ('N',)(4,)
x.logsumexp('C') => ('N',)(4,)
x.max('C') => ('N',)(4,) ('N',)(4,)
x.min('N', keepdim=True) => ('N', 'C')(1, 3) ('N', 'C')(1, 3)
x.max() => ()()
x.median('C') => ('N',)(4,) ('N',)(4,)
x.kthvalue(1, 'C') => ('N',)(4,) ('N',)(4,)
x.cumsum('C') => ('N', 'C')(4, 3)
x.cumprod('N') => ('N', 'C')(4, 3)
x.softmax('C') => ('N', 'C')(4, 3)
x.log_softmax('N') => ('N', 'C')(4, 3)
x.transpose('N', 'C') => ('C', 'N')(3, 4)
x.transpose(0, 1) => ('C', 'N')(3, 4)
x.t() => ('C', 'N')(3, 4)
i.transpose('H', 'W') => ('N', 'C', 'W', 'H')(2, 3, 4, 4)
i.transpose('C', 'W') => ('N', 'W', 'H', 'C')(2, 4, 4, 3)
x.unbind('N')[0] => ('C',)(3,)
x.select('N', 1) => ('C',)(3,)
x.narrow('C', 0, 2) => ('N', 'C')(4, 2)
x.split(2, 'N')[0] => ('N', 'C')(2, 3)
x.chunk(2, 'N')[1] => ('N', 'C')(2, 3)
x[0] => ('C',)(3,)
x[:, 0] => ('N',)(4,)
x[1:3] => ('N', 'C')(2, 3)
x[..., 0] => ('N',)(4,)
i[0, :, 1:3] => ('C', 'H', 'W')(3, 2, 4)
x.diagonal().names => (None,)
x.unsqueeze(0) => (None, 'N', 'C')(1, 4, 3)
x.unsqueeze(-1) => ('N', 'C', None)(4, 3, 1)
x.unsqueeze(0).squeeze(0) => ('N', 'C')(4, 3)
i[:1].squeeze('N') => ('C', 'H', 'W')(3, 4, 4)
i[:1].squeeze() => ('C', 'H', 'W')(3, 4, 4)
x.expand(2, 4, 3) => (None, 'N', 'C')(2, 4, 3)
x.flatten(['N', 'C'], 'F') => ('F',)(12,)
i.flatten(['C', 'H', 'W'], 'features') => ('N', 'features')(2, 48)
i.flatten(['N', 'H'], 'F') => error
i.flatten('C', 'W', 'F') => ('N', 'F')(2, 48)
i.flatten(1, 3, 'F') => ('N', 'F')(2, 48)
i.flatten(['C', 'H'], 'N') => error
i.flatten(['C', 'H', 'W'], 'F').unflatten('F', (('C', 3), ('H', 4), ('W', 4))) => ('N', 'C', 'H', 'W')(2, 3, 4, 4)
x.unflatten('N', (('A', 2), ('B', 2))) => ('A', 'B', 'C')(2, 2, 3)
x.unflatten('N', (('C', 2), ('B', 2))) => error
x.rename('A', 'B') => ('A', 'B')(4, 3)
x.rename(None) => (None, None)(4, 3)
x.rename(N='batch') => ('batch', 'C')(4, 3)
x.rename(Z='batch') => error
x.rename('A') => error
x.rename('A', 'A') => error
x.rename('1', 'B') => error
x.rename(None, 'B') => (None, 'B')(4, 3)
x.rename('...', 'K') => ('N', 'K')(4, 3)
x.rename_('A', 'B') => ('A', 'B')(4, 3)
x.refine_names('N', 'C') => ('N', 'C')(4, 3)
u.refine_names('N', 'C') => ('N', 'C')(4, 3)
p.refine_names('N', 'C') => ('N', 'C')(4, 3)
x.refine_names('N', 'D') => error
i.refine_names('...', 'W') => ('N', 'C', 'H', 'W')(2, 3, 4, 4)
p.refine_names('...', 'C') => ('N', 'C')(4, 3)
u.refine_names('N') => error
x.align_to('C', 'N') => ('C', 'N')(3, 4)
x.align_to('C', 'A', 'N') => ('C', 'A', 'N')(3, 1, 4)
x.align_to('C') => error
x.align_to('...', 'N') => ('C', 'N')(3, 4)
i.align_to('W', '...') => ('W', 'N', 'C', 'H')(4, 2, 3, 4)
i.align_to('...', 'C') => ('N', 'H', 'W', 'C')(2, 4, 4, 3)
p.align_to('C', 'N') => error
x.align_to('C', '...', 'A') => ('C', 'N', 'A')(3, 4, 1)
v.align_as(x) => ('N', 'C')(1, 3)
x.align_as(i) => ('N', 'C', 'H', 'W')(4, 3, 1, 1)
i.align_as(x) => error
u.align_as(x) => error
x.names => ('N', 'C')
u.names => (None, None)
x.has_names() => True
u.has_names() => False
x.size('C') => 3
x.stride('N') => 3
x.matmul(w) => ('N', 'D')(4, 5)
x @ w => ('N', 'D')(4, 5)
x.mm(w) => ('N', 'D')(4, 5)
x @ v => ('N',)(4,)
v @ v => ()()
w.t() @ v => ('D',)(5,)
x @ x.t() => error
u @ w => (None, 'D')(4, 5)
x @ u.t() => ('N', None)(4, 4)
i @ i.transpose('H', 'W') => error
v.dot(v) => ()()
x.mv(v) => ('N',)(4,)
T.cat([x, y]) => ('N', 'C')(8, 3)
T.cat([x, y], 'N') => ('N', 'C')(8, 3)
T.cat([x, u]) => ('N', 'C')(8, 3)
T.cat([x, x.rename('A', 'C')]) => error
T.sum(x, 'C') => ('N',)(4,)
T.max(x, 'C') => ('N',)(4,) ('N',)(4,)
T.softmax(x, 'C') => ('N', 'C')(4, 3)
T.add(x, v) => ('N', 'C')(4, 3)
T.zeros(2, 3, names=('N', 'C')) => ('N', 'C')(2, 3)
T.ones(2, names=('N', 'C')) => error
T.tensor([[1.0]], names=('N', 'C')) => ('N', 'C')(1, 1)
T.tensor([1.0], names=('N', 'N')) => error
T.rand(2, 3, names=('N', None)) => ('N', None)(2, 3)
T.empty(1, 2, names=['A', 'B']) => ('A', 'B')(1, 2)
T.full((2,), 3.0, names=('K',)) => ('K',)(2,)
T.zeros(2, 3, names=(None, None)) => (None, None)(2, 3)
x.detach() => ('N', 'C')(4, 3)
x.clone() => ('N', 'C')(4, 3)
x.double() => ('N', 'C')(4, 3)
x.to(T.float64) => ('N', 'C')(4, 3)
x.abs_() => ('N', 'C')(4, 3)
x.masked_fill(u > 3, 0.0) => ('N', 'C')(4, 3)
x.pow(2) => ('N', 'C')(4, 3)
x.where(u > 3, u) => ('N', 'C')(4, 3)
T.where(u > 3, x, y) => ('N', 'C')(4, 3)
x.isnan() => ('N', 'C')(4, 3)
x.logical_not() => ('N', 'C')(4, 3)
x.eq(y) => ('N', 'C')(4, 3)
x.copy_(u) => ('N', 'C')(4, 3)
x.sign() => ('N', 'C')(4, 3)
T.atan2(x, y) => ('N', 'C')(4, 3)
x.lerp(y, 0.5) => ('N', 'C')(4, 3)
x.remainder(3) => ('N', 'C')(4, 3)
x.bool() => ('N', 'C')(4, 3)
x.flip(0) => ('N', 'C')(4, 3)
x.contiguous() => ('N', 'C')(4, 3)
x.requires_grad_(True) => ('N', 'C')(4, 3)
x.sum('C').sum('N') => ()()
"""


def outcome(text: str) -> str:
    """The names (and shapes) that come out, as text; "error" when it is refused."""
    names = inputs()
    try:
        found = eval(text, names)
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
        return "error"
    parts = found if isinstance(found, tuple) and hasattr(found[0], "names") else (found,)
    return " ".join(f"{tuple(t.names)}{tuple(t.shape)}" if hasattr(t, "names") else str(t) for t in parts)


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
def test_names_that_come_out(row):
    text, _, wanted = row.partition(" => ")
    assert outcome(text) == wanted


def test_values_are_those_without_names():
    for row in TABLE.strip().splitlines():
        text, _, wanted = row.partition(" => ")
        if wanted == "error" or "'" in text or "name" in text or "align" in text:
            continue
        named = eval(text, inputs())
        bare = eval(text, {k: v.rename(None) if isinstance(v, mlkit.Tensor) else v for k, v in inputs().items()})
        for a, b in zip(*((t if isinstance(t, tuple) else (t,)) for t in (named, bare)), strict=True):
            if isinstance(a, mlkit.Tensor):
                assert a.dtype == b.dtype and bool((a.rename(None) == b).all()), text


def test_unnamed_tensors_pay_nothing():
    """Their class is the plain one, their operations the short ones, and the names' code is not even loaded."""
    code = "import sys, mlkit; x = mlkit.ones(2); y = (x * x).sum(); print(type(y) is mlkit.Tensor, 'mlkit.core.names' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "True False\n", done.stderr
    x = mlkit.ones(2, 3).rename("N", "C")
    assert type(x.rename(None)) is mlkit.Tensor and type(x.sum()) is mlkit.Tensor
    x.rename_(None)
    assert type(x) is mlkit.Tensor and not x.has_names()


def test_gradients_first_and_second():
    def loss(x, w):
        return ((x.matmul(w) * 0.1).tanh() ** 2).sum("D" if x.has_names() else 1).sum() + x.softmax(1).max(
            1
        ).values.sum()

    found = []
    for named in (False, True):
        x = mlkit.arange(6.0).reshape(2, 3).requires_grad_()
        w = mlkit.arange(12.0).reshape(3, 4).requires_grad_()
        a, b = (x.rename("N", "C"), w.rename("C", "D")) if named else (x, w)
        (gx,) = mlkit.autograd.grad(loss(a, b), x, create_graph=True)
        (gx**2).sum().backward()
        found.append([gx.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
        assert x.grad.names == (None, None)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_in_place_changes_and_views_keep_their_graph():
    found = []
    for named in (False, True):
        leaf = mlkit.arange(6.0).reshape(2, 3).requires_grad_()
        x = leaf * 2
        if named:
            x = x.rename("N", "C")
        row = x[0]
        x.mul_(x)
        row.add_(1)
        x[:, 1] = 5.0
        (x.sum(0) * mlkit.arange(3.0)).sum().backward()
        found.append((leaf.grad.tolist(), x.tolist(), row.tolist()))
    assert found[0] == found[1]
    x = mlkit.zeros(2, 3)
    x.rename("N", "C")[0, 0] = 7
    assert x[0, 0] == 7  # the same memory


def test_errors_say_the_names():
    x = mlkit.ones(32, 784).rename("batch", "in")
    with pytest.raises(ShapeError) as caught:
        x @ mlkit.ones(10, 784).rename("class", "in")
    assert "(batch=32, in=784)" in str(caught.value) and "(class=10, in=784)" in str(caught.value)
    with pytest.raises(RuntimeError, match=r"Name 'out' not found in \(batch=32, in=784\)"):
        x.sum("out")
    assert "names=('batch', 'in')" in repr(x[:1, :1])


def test_layers_pass_names_on():
    image = mlkit.rand(2, 3, 8, 8, names=("batch", "channel", "height", "width"))
    for layer in (
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(3),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.ReLU(),
        nn.GELU(),
        nn.Dropout(),
    ):
        assert layer(image).names == image.names, layer
    assert nn.BatchNorm2d(3).eval()(image).names == image.names
    assert nn.Flatten()(image).names == ("batch", None)
    rows = mlkit.rand(2, 5, names=("batch", "in"))
    assert nn.Linear(5, 4)(rows).names == ("batch", None)
    layer = nn.Linear(5, 4)
    layer.weight.rename_("class", "in")
    assert isinstance(layer.weight, nn.Parameter) and dict(layer.named_parameters())["weight"] is layer.weight
    out = layer(rows)
    assert out.names == ("batch", "class") and layer(mlkit.rand(2, 5)).names == (None, "class")
    with pytest.raises(RuntimeError, match="the weight is for 'in', the last axis is 'time'"):
        layer(rows.rename("batch", "time"))
    loss = nn.CrossEntropyLoss()(out, mlkit.tensor([0, 3]))
    loss.backward()
    assert loss.names == () and layer.weight.grad.shape == (4, 5)
    optimizer = mlkit.optim.SGD(layer.parameters(), 0.1)
    optimizer.step()
    assert layer.weight.names == ("class", "in")
    words = nn.Embedding(10, 4)(mlkit.tensor([[1, 2]]).rename("batch", "time"))
    assert words.names == ("batch", "time", None)


def test_a_module_with_axis_names():
    layer = nn.Linear(5, 4).name_axes(("batch", "in"), ("batch", "class"))
    assert repr(layer) == "Linear(in_features=5, out_features=4, bias=True, (batch, in) -> (batch, class))"
    assert layer(mlkit.ones(2, 5)).names == ("batch", "class")
    assert layer(mlkit.ones(2, 5).rename("batch", "in")).names == ("batch", "class")
    with pytest.raises(ShapeError, match=r"Linear expects an input with axes \('batch', 'in'\), got \(time=2, in=5\)"):
        layer(mlkit.ones(2, 5).rename("time", "in"))


def test_copies_pickles_and_files():
    x = mlkit.ones(2, 3, requires_grad=True, names=("N", "C"))
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.names == ("N", "C") and twin.requires_grad and isinstance(twin, mlkit.Tensor)
    weight = nn.Parameter(mlkit.ones(2))
    weight.rename_("out")
    assert isinstance(copy.deepcopy(weight), nn.Parameter) and copy.deepcopy(weight).names == ("out",)
    with pytest.raises(CheckpointError, match=r"cannot hold axis names.*\('N', 'C'\)"):
        mlkit.save({"x": x}, "unused")


def test_advanced_indexing_keeps_what_is_clear():
    x = mlkit.rand(4, 3, 5, names=("N", "C", "T"))
    some = mlkit.tensor([0, 2])
    assert x[some].names == (None, "C", "T")
    assert x[:, some].names == ("N", None, "T")
    assert x[:, :, some.reshape(2, 1)].names == ("N", "C", None, None)
    assert x[x[:, :, 0].rename(None) > 2].names == (None, "T")
    assert x[some, :, some].shape == (2, 3)
    assert x.reshape(2, 2, 3, 5).names == (None, None, "C", "T")
    assert x.reshape(4, 15).names == ("N", None) and x.reshape(-1, 5).names == (None, "T")
    assert [t.names for t in mlkit.align_tensors(x[0], x)] == [("N", "C", "T")] * 2


def test_norms_and_pools_keep_the_names():
    x = mlkit.randn(2, 4, 6, 6).rename("batch", "channel", "h", "w")
    for layer in (mlkit.nn.GroupNorm(2, 4), mlkit.nn.AdaptiveAvgPool2d(3), mlkit.nn.BatchNorm2d(4)):
        assert layer(x).names == ("batch", "channel", "h", "w"), layer
    assert x.norm(dim="w").names == ("batch", "channel", "h")
    mlkit.nn.GroupNorm(2, 4)(x.requires_grad_()).square().sum().backward()
    assert x.grad.shape == x.shape
