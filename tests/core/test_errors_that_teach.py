"""What an error of shapes says: the op, both sides with what clashes, labels, the user's line, a likely repair."""

from __future__ import annotations

import pickle

import pytest

import mlkit
from mlkit import nn
from mlkit.core.errors import CheckpointError, ShapeError

F = nn.functional
z = mlkit.zeros


def labels(*shape):
    return z(*shape, dtype=mlkit.int64)


#: what is done, what the text must say
MISTAKES = {
    "matmul": (lambda: z(2, 3) @ z(4, 5), ["matmul", "3 != 4", "input: (2, 3)", "other: (4, 5)"]),
    "matmul transposed": (lambda: z(2, 3) @ z(5, 3), ["other.T"]),
    "matmul other way": (lambda: z(2, 4) @ z(3, 2), ["4 != 3", "other @ input"]),
    "matmul left transposed": (lambda: z(4, 2) @ z(4, 3), ["2 != 4", "input.mT @ other"]),
    "matmul batch": (lambda: z(2, 3, 4) @ z(3, 4, 5), ["batch", "2 != 3"]),
    "linear of an image": (lambda: nn.Linear(784, 10)(z(32, 1, 28, 28)), ["28 != 784", "flatten(1)", "module: Linear"]),
    "conv channels": (lambda: nn.Conv2d(3, 8, 3)(z(4, 1, 28, 28)), ["3 input channels", "channel=1", "in_channels=1"]),
    "conv channels last": (lambda: nn.Conv2d(3, 8, 3)(z(4, 28, 28, 3)), ["permute(0, 3, 1, 2)"]),
    "conv one picture": (lambda: nn.Conv2d(1, 8, 3)(z(28, 28)), ["input[None, None]", "(28, 28)"]),
    "cat": (lambda: mlkit.cat([z(2, 3), z(2, 4)]), ["in dimension 1 they are 3 != 4", "dim=1"]),
    "cat ranks": (lambda: mlkit.cat([z(2, 3), z(3)]), ["same number of dimensions", "tensors[1].unsqueeze(0)"]),
    "stack": (lambda: mlkit.stack([z(2, 3), z(2, 4)]), ["[2, 3]", "[2, 4]"]),
    "add": (lambda: z(2, 3) + z(2, 4), ["add", "axis -1", "3 and 4"]),
    "add a value per row": (lambda: z(32, 10) + z(32), ["other.unsqueeze(1)"]),
    "scale channels": (lambda: z(4, 3, 8, 8) * z(3), ["other.view(-1, 1, 1)"]),
    "named": (lambda: z(2, 3).rename("batch", "in") * z(2, 4).rename("batch", "in"), ["in=3", "in=4"]),
    "where": (lambda: mlkit.where(z(2, 3) > 0, z(2, 3), z(2, 2)), ["condition: (2, 3)", "other    : (2, 2)"]),
    "three": (lambda: mlkit.addcmul(z(2, 3), z(2, 3), z(4)), ["3 and 4"]),
    "cross_entropy batch": (lambda: F.cross_entropy(z(32, 10), labels(16)), ["(32)", "(16)"]),
    "cross_entropy column": (lambda: F.cross_entropy(z(32, 10), labels(32, 1)), ["target.squeeze(1)"]),
    "cross_entropy swapped": (lambda: F.cross_entropy(labels(32), z(32, 10)), ["swapped"]),
    "cross_entropy classes": (lambda: F.cross_entropy(z(2, 3), mlkit.tensor([0, 3])), ["Target 3", "4 outputs"]),
    "bmm": (lambda: mlkit.bmm(z(2, 3, 4), z(2, 5, 6)), ["4 != 5"]),
    "einsum": (
        lambda: mlkit.einsum("bij,bjk->bik", z(2, 3, 4), z(2, 5, 6)),
        ["subscript j has size 5", "operand 0: bij: (b=2, i=3, j=4)", "operand 1: bjk: (b=2, j=5, k=6)", "transposes"],
    ),
    "einsum dots": (
        lambda: mlkit.einsum("...i,...i", z(2, 3), z(4, 3)),
        ["dimension 0", "(...=2, i=3)", "(...=4, i=3)"],
    ),
    "einsum letters": (lambda: mlkit.einsum("ij,jk", z(2, 3), z(3)), ["(2) does not match", "jk: (3,)", "put ..."]),
    "einsum diagonal": (lambda: mlkit.einsum("ii", z(2, 3)), ["operand 0", "3 != 2", "ii: (i=2, i=3)"]),
    "batch_norm": (lambda: nn.BatchNorm2d(8)(z(4, 3, 5, 5)), ["expected 8 channels, input has 3", "BatchNorm2d(3)"]),
    "batch_norm axes": (lambda: nn.BatchNorm2d(8)(z(4, 8)), ["BatchNorm1d"]),
    "layer_norm": (lambda: nn.LayerNorm(10)(z(4, 8)), ["[10]", "[4, 8]", "nn.LayerNorm(8)"]),
    "embedding": (lambda: nn.Embedding(10, 4)(mlkit.tensor([3, 10])), ["index 10", "nn.Embedding(11, ...)"]),
    "view": (lambda: z(2, 3).view(4, 2), ["6 elements", "has 8"]),
    "view of a transpose": (lambda: z(2, 3).t().view(6), [".reshape(...)"]),
    "expand": (lambda: z(2, 3).expand(4, 3), ["(4)", "(2)", "repeat"]),
    "gather": (lambda: mlkit.gather(z(2, 3), 1, mlkit.tensor([[3], [0]])), ["index 3", "0 .. 2", "from 0 to 3"]),
    "index": (lambda: z(2, 3)[mlkit.tensor([0, 2])], ["index 2", "size 2", "input: (2, 3)"]),
    "index pairs": (
        lambda: z(4, 4)[mlkit.tensor([0, 1]), mlkit.tensor([0, 1, 2])],
        ["[2], [3]", "x[rows][:, columns]"],
    ),
    "mask": (lambda: z(2, 3)[mlkit.tensor([True, False, True])], ["[3]", "[2, 3]", "x[:, mask]"]),
    "lstm": (lambda: nn.LSTM(10, 20)(z(10, 3, 8)), ["Expected 10, got 8", "LSTM(8, 20)", "axis of size 10"]),
    "attention": (lambda: F.scaled_dot_product_attention(z(1, 5, 8), z(1, 5, 6), z(1, 5, 8)), ["query", "(1, 5, 6)"]),
    "mse": (lambda: F.mse_loss(z(32, 1), z(32)), ["every prediction with every target", "input.squeeze(-1)"]),
    "in place": (lambda: z(2, 3).add_(z(4, 2, 3)), ["[2, 3]", "[4, 2, 3]", "x = x + y"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_commonest_mistakes(name):
    do, words = MISTAKES[name]
    with pytest.raises((RuntimeError, IndexError, ValueError)) as caught:
        do()
    text = str(caught.value)
    missing = [word for word in words if word not in text]
    assert not missing, text
    assert "your line: test_errors_that_teach.py:" in text and "in <lambda>" in text


def test_the_line_is_where_the_users_program_is():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))

        def forward(self, x):
            return self.body(x)  # in forward

    with pytest.raises(ShapeError) as caught:
        Net()(z(2, 3))
    error = caught.value
    assert error.your_line.code == "return self.body(x)  # in forward" and error.your_line.function == "forward"
    assert "module: body.1 (Linear) of Net" in str(error)
    lines = str(error).splitlines()
    assert lines[-2].startswith("  your line: ") and "The layer before" in lines[-1]


def test_the_line_travels_between_processes_as_text():
    with pytest.raises(ShapeError) as caught:
        z(2) + z(3)  # here
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is ShapeError and str(again) == str(caught.value) and "# here" in str(again)


def test_files_and_settings_have_no_line():
    assert "your line" not in str(CheckpointError("The file is damaged.", "file: a.pt"))
