"""What PyTorch refuses is refused here, by the same kind of exception, in words of more than a line's stub."""

from __future__ import annotations

import json

import pytest

import mlkit
from tests.oracle import bad_arguments_layers as bad_arguments

KEPT = json.loads(bad_arguments.KEPT.read_text())

#: refused by another kind of exception, or earlier, and why
ANOTHER = {
    "nn.Linear(-1, 2)": "ValueError: a bad number",
    "nn.AdaptiveAvgPool2d((2, 2, 2))(T.ones(1, 1, 4, 4))": "ValueError: a bad number of sizes",
    "nn.EmbeddingBag(3, 2)(T.tensor([0, 3]), T.tensor([0]))": "IndexError, as Embedding's",
    "nn.MultiMarginLoss()(T.ones(2, 3), T.tensor([0, 3]))": "IndexError, as every label out of range",
    "nn.LSTM(4, 3)(T.ones(5, 2, 4).long())": "RuntimeError, as every mixture of dtypes",
    "nn.LSTM(4, 3)(T.ones(5, 2, 4), T.ones(1, 2, 3))": "RuntimeError that says (h, c) is wanted; PyTorch's IndexError is a slip",
    "nn.CrossEntropyLoss()(T.ones(2, 3, 4), T.zeros(2, 3).long())": "ValueError, as other batches that do not fit",
    "nn.ParameterDict({'a': T.ones(1)})['b']": "KeyError, as dictionaries raise",
    "nn.utils.skip_init(nn.ReLU)": "TypeError from the class: it has no device argument",
    "nn.CrossEntropyLoss(label_smoothing=-0.1)(T.ones(2, 3), T.tensor([0, 1]))": "PyTorch computes with it",
    "optim.LBFGS([nn.Parameter(T.ones(2))], line_search_fn='backtracking').step(lambda: T.ones(1))": "PyTorch has not come to it",
    **{k: "there are no sparse gradients" for k in KEPT if k.startswith("optim.SparseAdam")},
}


@pytest.mark.parametrize("expression", KEPT)
@pytest.mark.filterwarnings("ignore")
def test_same_kind(expression):
    got, wanted = bad_arguments.kind(expression, mlkit), KEPT[expression]
    if expression in ANOTHER:
        assert got not in ("none", wanted)
    else:
        assert got == wanted or {got, wanted} == {"NotImplementedError", "RuntimeError"}


def test_nothing_is_refused_by_chance():
    """No refusal is Python's own stumble over a missing attribute or a division by zero."""
    stumbles = [k for k in KEPT if bad_arguments.kind(k, mlkit) in ("ZeroDivisionError", "UnboundLocalError")]
    assert not stumbles
