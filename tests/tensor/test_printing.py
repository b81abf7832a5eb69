"""Tensors and their kin print as PyTorch prints them, up to the library's name."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import printing


@pytest.mark.parametrize("case", printing.CASES)
def test_text(case):
    assert printing.text(mlkit, "mlkit", case) == printing.kept()[case]


def test_a_number_in_an_f_string_and_a_long_suffix():
    import mlkit

    assert f"{mlkit.tensor(8)} {mlkit.tensor(1.5):.3f} {mlkit.ones(2)}" == "8 1.500 tensor([1., 1.])"
    with pytest.raises(TypeError):
        f"{mlkit.ones(2):.3f}"
    x = mlkit.linspace(0.1, 0.9, 8).requires_grad_()
    lines = repr(x * 1.0).splitlines()
    assert lines[-1] == "       grad_fn=<MulBackward0>)" and lines[0].endswith("],")
    assert repr(mlkit.strided) == str(mlkit.strided) == "mlkit.strided"
