"""The tensor library against PyTorch's numbers: outputs, gradients, second gradients, and which calls must fail."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import cases_tensor, deep


@pytest.mark.parametrize("name", cases_tensor.CASES)
def test_case(name):
    deep.compare(name, cases_tensor, mlkit)


@pytest.mark.parametrize("name", cases_tensor.ERRORS)
def test_error(name):
    expected = deep.expected_error(name, cases_tensor)
    tensors = deep.tensors_of(cases_tensor.inputs(name), mlkit)
    with pytest.raises(expected):
        eval(cases_tensor.ERRORS[name], {"T": mlkit, **tensors})
