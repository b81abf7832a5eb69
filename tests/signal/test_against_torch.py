"""Short-time transforms, windows and functions under PyTorch's second names, against PyTorch's numbers and errors."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import cases_signal, deep


@pytest.mark.parametrize("name", cases_signal.CASES)
def test_case(name):
    deep.compare(name, cases_signal, mlkit)


@pytest.mark.parametrize("name", cases_signal.ERRORS)
def test_error(name):
    deep.compare_error(name, cases_signal, mlkit)


def test_there_and_back():
    wave = mlkit.randn(2, 500, dtype=mlkit.float64)
    window = mlkit.hann_window(64, dtype=mlkit.float64)
    spectrum = mlkit.stft(wave, 64, window=window, return_complex=True)
    back = mlkit.istft(spectrum, 64, window=window, length=500)
    mlkit.testing.assert_close(back, wave)


def test_the_argument_is_named():
    with pytest.raises(TypeError, match=r"mse_loss\(\): argument 'target' must be Tensor, not float"):
        mlkit.nn.functional.mse_loss(mlkit.ones(3), 2.0)
    with pytest.raises(TypeError, match=r"triu\(\): argument 'diagonal' must be int, not str"):
        mlkit.triu(mlkit.ones(2, 2), "x")


def test_an_error_of_a_function_handed_in_stays_itself():
    def distance(a, b):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        mlkit.nn.functional.triplet_margin_with_distance_loss(
            mlkit.ones(2), mlkit.ones(2), mlkit.ones(2), distance_function=distance
        )


def test_names_of_axes_are_words_for_dims():
    x = mlkit.ones(2, 3).rename("N", "C")
    assert mlkit.softmax(x, "C").names == ("N", "C")


@pytest.mark.parametrize("home, name", [(mlkit, "FloatStorage"), (mlkit, "quantize_per_tensor"), (mlkit, "lobpcg"),
                                        (mlkit.nn.functional, "scaled_mm"), (mlkit.ones(1), "to_sparse")])  # fmt: skip
def test_what_is_not_here_says_so(home, name):
    with pytest.raises(NotImplementedError, match="(?s)not in mlkit.*not supported now"):
        getattr(home, name)
    assert not hasattr(home, name)
