"""einops on tensors, whichever of the two libraries is imported first."""

import subprocess
import sys

import numpy as np
import pytest

import mlkit

einops = pytest.importorskip("einops")

PATTERNS = [
    ("rearrange", "b c h w -> b (h w c)", (), {}),
    ("rearrange", "b c (h a) w -> (b a) w h c", (), {"a": 2}),
    ("rearrange", "... h w -> ... w h", (), {}),
    ("rearrange", "b c h w -> b 1 c (h w) 1", (), {}),
    ("repeat", "b c h w -> b (c r) h w s", (), {"r": 2, "s": 3}),
    *[("reduce", "b c (h 2) w -> h b", (how,), {}) for how in ("sum", "mean", "max", "min", "prod")],
    ("reduce", "b c h w -> b c 1 1", ("mean",), {}),
]


@pytest.mark.parametrize("name, pattern, arguments, sizes", PATTERNS)
def test_as_on_numpy_and_with_gradients(name, pattern, arguments, sizes):
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    x = mlkit.tensor(array, requires_grad=True)
    got = getattr(einops, name)(x, pattern, *arguments, **sizes)
    np.testing.assert_allclose(got.detach().numpy(), getattr(einops, name)(array, pattern, *arguments, **sizes))
    got.sum().backward()
    assert x.grad.shape == x.shape


def test_the_rest_of_it():
    x = mlkit.arange(24).reshape(2, 3, 4)
    assert einops.parse_shape(x, "a b _") == {"a": 2, "b": 3}
    packed, shapes = einops.pack([x, x[:, 0]], "b * c")
    assert packed.shape == (2, 4, 4) and [tuple(s) for s in shapes] == [(3,), ()]
    assert [bool((a == b).all()) for a, b in zip(einops.unpack(packed, shapes, "b * c"), [x, x[:, 0]], strict=True)]
    assert einops.rearrange([x, x], "l a b c -> a b (l c)").shape == (2, 3, 8)
    assert isinstance(einops.asnumpy(x), np.ndarray)
    assert bool(einops.reduce(x > 3, "a b c -> a", "any").all())
    with pytest.raises(einops.EinopsError):
        einops.rearrange(x, "a b -> b a")


def test_layers():
    from mlkit.utils.einops import Rearrange, Reduce

    model = mlkit.nn.Sequential(
        Reduce("b c (h 2) (w 2) -> b c h w", "max"), Rearrange("b c h w -> b (c h w)"), mlkit.nn.Linear(12, 2)
    )
    assert model(mlkit.ones(5, 3, 4, 4)).shape == (5, 2)


@pytest.mark.skipif(not hasattr(mlkit, "einsum"), reason="needs mlkit.einsum")
def test_einsum():
    from mlkit.utils.einops import EinMix

    a, b = mlkit.rand(2, 3), mlkit.rand(3, 4)
    np.testing.assert_allclose(einops.einsum(a, b, "i j, j k -> i k").numpy(), (a @ b).numpy(), rtol=1e-6)
    layer = EinMix("b t c -> b t d", weight_shape="c d", bias_shape="d", c=3, d=5)
    assert layer(mlkit.rand(2, 4, 3)).shape == (2, 4, 5)


@pytest.mark.parametrize("first, second", [("einops", "mlkit"), ("mlkit", "einops")])
def test_in_either_order(first, second):
    code = f"import {first}, {second}; print(einops.rearrange(mlkit.ones(2, 3), 'a b -> b a').shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "mlkit.Size([3, 2])\n", done.stderr
