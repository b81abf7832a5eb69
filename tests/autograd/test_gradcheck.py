"""gradcheck finds what is wrong and passes what is right."""

from __future__ import annotations

import pytest

import mlkit
from mlkit.autograd import Function, gradcheck, gradgradcheck


def leaf(*shape, dtype=mlkit.float64):
    mlkit.manual_seed(len(shape) + 5)
    real = mlkit.randn(*shape, dtype=mlkit.float64)
    if dtype.is_complex:
        real = mlkit.complex(real, mlkit.randn(*shape, dtype=mlkit.float64))
    return real.requires_grad_()


class Wrong(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 2.01


EVERYTHING = {
    "check_forward_ad": True,
    "check_batched_grad": True,
    "check_batched_forward_grad": True,
    "check_grad_dtypes": True,
}


@pytest.mark.parametrize("fast_mode", [False, True])
def test_right_gradients_pass(fast_mode):
    def f(a, b):
        return (a @ b).tanh(), (a.sin() * a).sum(1), b.sort(0)[0]

    assert gradcheck(f, (leaf(3, 2), leaf(2, 4)), fast_mode=fast_mode, **EVERYTHING)
    assert gradgradcheck(f, (leaf(3, 2), leaf(2, 4)), fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_complex_functions(fast_mode):
    z = leaf(3, dtype=mlkit.complex128)
    for f in (
        lambda z: z * z,
        lambda z: z.abs(),
        lambda z: z.conj() * z,
        lambda z: (z.exp(), z.real),
        lambda z: z.angle(),
    ):
        assert gradcheck(f, z, fast_mode=fast_mode, check_forward_ad=True)
    assert gradcheck(lambda x: mlkit.complex(x, x * x), leaf(3), check_forward_ad=True)
    assert gradgradcheck(lambda z: (z * z.conj()).real * z.abs(), z, check_fwd_over_rev=True)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_wrong_gradients_are_found(fast_mode):
    with pytest.raises(
        RuntimeError, match="(?s)Jacobian mismatch for output 0 with respect to input 0.*numerical.*analytical"
    ):
        gradcheck(Wrong.apply, leaf(3), fast_mode=fast_mode)
    assert gradcheck(Wrong.apply, leaf(3), raise_exception=False, fast_mode=fast_mode) is False


def test_results_that_do_not_repeat_are_found():
    runs = []

    class Drifts(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            runs.append(1)
            return g * (1 + len(runs) * 1e-9)

    with pytest.raises(RuntimeError, match="not reentrant"):
        gradcheck(Drifts.apply, leaf(2))
    assert gradcheck(Drifts.apply, leaf(2), nondet_tol=1e-6)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="requires_grad"):
        gradcheck(lambda x: x, mlkit.ones(2))
    with pytest.warns(UserWarning, match="double precision"):
        gradcheck(lambda x: x * 2, mlkit.ones(2, requires_grad=True), eps=1e-2, atol=1e-2)


def test_numbers_among_the_inputs_and_unused_ones():
    assert gradcheck(lambda a, n, b: a**n, (leaf(3), 3, leaf(2)))
    assert gradgradcheck(lambda a, n: a**n, (leaf(3), 3))
