"""The random stream: repeatable, resumable, and with the right distributions."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit


def test_seed_repeats_and_state_resumes():
    mlkit.manual_seed(5)
    first = mlkit.rand(10)
    state = mlkit.get_rng_state()
    second = mlkit.randn(10)
    mlkit.set_rng_state(state)
    assert mlkit.equal(mlkit.randn(10), second)
    mlkit.manual_seed(5)
    assert mlkit.equal(mlkit.rand(10), first)
    assert not mlkit.equal(mlkit.rand(10), first)


def test_known_numbers():
    """The stream is part of the file formats' promise: it must not change between versions."""
    g = mlkit.Generator().manual_seed(0)
    words = np.random.Philox(key=0, counter=0).random_raw(2).view(np.uint32)
    expected = (words >> 8).astype(np.float32) / 2**24
    np.testing.assert_array_equal(mlkit.rand(4, generator=g).numpy(), expected)


def test_draws_do_not_overlap():
    g = mlkit.Generator().manual_seed(1)
    keys = [g.take(n) for n in (1, 7, 8, 1000)]
    for (_, start), (_, following), n in zip(keys, keys[1:], (1, 7, 8), strict=False):
        assert following - start >= -(-n // 4) + 1


@pytest.mark.parametrize("dtype", [mlkit.float32, mlkit.float64])
def test_distributions(dtype):
    mlkit.manual_seed(0)
    n = 200_000
    u = mlkit.rand(n, dtype=dtype).numpy()
    assert u.dtype == dtype.numpy and u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005 and abs(u.var() - 1 / 12) < 0.002
    z = mlkit.randn(n, dtype=dtype).numpy()
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01 and abs((z**4).mean() - 3) < 0.1
    k = mlkit.randint(-2, 5, (n,)).numpy()
    assert k.min() == -2 and k.max() == 4
    assert np.abs(np.bincount(k + 2) / n - 1 / 7).max() < 0.005
    p = mlkit.randperm(1000).numpy()
    assert sorted(p.tolist()) == list(range(1000)) and (p != np.arange(1000)).mean() > 0.9


def test_dropout_keeps_the_mean_and_draws_the_same_mask_backward():
    x = mlkit.ones(100_000, requires_grad=True)
    y = mlkit.nn.functional.dropout(x, 0.3)
    y.sum().backward()
    assert abs(y.mean().item() - 1) < 0.02
    assert mlkit.equal(x.grad, y.detach())
    assert set(np.unique(y.detach().numpy())) == {np.float32(0), np.float32(1 / 0.7)}


def test_multinomial():
    mlkit.manual_seed(0)
    w = mlkit.tensor([0.0, 1.0, 3.0])
    drawn = mlkit.multinomial(w, 40_000, replacement=True).numpy()
    assert np.abs(np.bincount(drawn, minlength=3) / 40_000 - [0, 0.25, 0.75]).max() < 0.01
    assert sorted(mlkit.multinomial(w, 2).tolist()) == [1, 2]
    assert sorted(mlkit.multinomial(w, 3).tolist()[:2]) == [1, 2] and mlkit.multinomial(w, 3)[2] == 0  # as in PyTorch
    with pytest.raises(RuntimeError, match="replacement=True"):
        mlkit.multinomial(w, 4)


def test_bad_arguments():
    with pytest.raises(ValueError):
        mlkit.manual_seed("x")
    with pytest.raises(RuntimeError):
        mlkit.randint(3, 3, (1,))
    with pytest.raises(TypeError):
        mlkit.set_rng_state(mlkit.zeros(3))


def test_the_gpu_formula_gives_numpys_words():
    """The rounds written in mlkit/backends/cupy/philox.py, in Python integers, against numpy.random.Philox."""
    mask = (1 << 64) - 1
    m0, m1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
    w0, w1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
    seed, offset = 12345678901234567890, 77
    found = []
    for block in range(3):
        c, k = [offset + block + 1, 0, 0, 0], [seed, 0]
        for _ in range(10):
            p0, p1 = m0 * c[0], m1 * c[2]
            c = [(p1 >> 64) ^ c[1] ^ k[0], p1 & mask, (p0 >> 64) ^ c[3] ^ k[1], p0 & mask]
            k = [(k[0] + w0) & mask, (k[1] + w1) & mask]
        found += c
    assert found == np.random.Philox(key=seed, counter=offset).random_raw(12).tolist()
