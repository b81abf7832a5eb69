"""The arithmetic of one number, against the number itself: every operation of the registry, at several places."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.core.dispatch import ops
from mlkit.inspection import FORMULAS, inspect
from mlkit.inspection.arithmetic import RULES
from mlkit.ops.registry import REGISTRY, Elementwise
from tests.ops.make_inputs import arrays_for, cases

#: operations whose arithmetic is written out: they must come to the recorded number by themselves
WRITTEN = {
    *RULES,
    *(name for name, op in REGISTRY.items() if isinstance(op, Elementwise) and not op.random),
    "reshape", "permute", "expand", "slice", "narrow", "diagonal", "unfold", "cat", "repeat", "repeat_interleave", "flip",
    "roll", "tril", "triu", "constant_pad", "gather", "index", "index_select", "masked_fill", "scatter", "slice_grad",
    "interpolate", "interpolate_grad", "im2col", "col2im", "scatter_add", "index_add", "embedding_grad",
    "avg_pool1d_grad", "avg_pool2d_grad", "max_pool2d_grad", "nll_place", "unfold_grad",
}  # fmt: skip


def places(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The first, the last and some place between."""
    count = int(np.prod(shape, dtype=int))
    if not count:
        return []
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in sorted({0, count // 2, count - 1})]


def recorded(op, sample):
    arrays, attributes = arrays_for(op, sample)
    entry = getattr(ops, "conj_op" if op.name == "conj" else op.name)

    def program(*tensors):
        return entry(list(tensors), **attributes) if op.variadic else entry(*tensors, **attributes)

    return inspect(program, *[mlkit.from_numpy(a) for a in arrays])


@pytest.mark.parametrize("op, sample", cases())
def test_every_operation_comes_to_its_number(op, sample):
    seen = recorded(op, sample)
    assert seen.error is None
    node = next(n for n in seen.graph.nodes if n.op == op.name)
    for output in node.outputs:
        for place in places(seen.graph.values[output].shape):
            found = seen.explain(output, place)
            complex_ = any(a is not None and a.dtype.kind == "c" for a in map(seen.array, [*node.inputs, output]))
            if op.name in WRITTEN and not complex_:
                assert found.exact, f"{op.name}: {found.note}"
            np.testing.assert_allclose(found.total, found.number, rtol=1e-9, atol=1e-9, err_msg=str(found))
            assert found.text().splitlines()[-1].startswith("  = ")
            for key, box in found.region().items():
                shape = seen.graph.values[key].shape
                assert all(0 <= low < high <= size for (low, high), size in zip(box, shape, strict=True))


def test_every_operation_has_a_formula_or_says_that_it_has_none():
    assert set(FORMULAS) == set(REGISTRY)
    assert {name for name, words in FORMULAS.items() if not words} == {"off_singular", "gamma_sample_slope"}


def test_the_terms_are_the_products_themselves():
    mlkit.manual_seed(1)
    layer = mlkit.nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1)
    x = mlkit.randn(2, 3, 9, 9)
    seen = inspect(layer, x)
    found = seen.explain("output", (1, 2, 0, 4))
    w, b = layer.weight.detach().numpy().astype(float), layer.bias.detach().numpy().astype(float)
    padded = np.pad(x.numpy().astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)))
    patch = padded[1, :, 0:3, 8:11]
    expected = patch * w[2]
    assert found.total == pytest.approx(expected.sum() + b[2])
    sizes = np.abs(found.terms.contributions)[found.terms.order()]
    assert (np.diff(sizes) <= 0).all() and sizes[0] == pytest.approx(np.abs(expected).max())
    first, second = found.terms.cells(int(found.terms.order()[0]))
    assert x.numpy()[first.index] == pytest.approx(first.number)
    assert w[second.index] == pytest.approx(second.number)
    assert found.region()[seen.find("input")] == [(1, 2), (0, 3), (0, 2), (7, 9)]


def test_a_number_is_followed_back_to_the_input():
    mlkit.manual_seed(2)
    model = mlkit.nn.Sequential(mlkit.nn.Linear(5, 7), mlkit.nn.ReLU(), mlkit.nn.Linear(7, 2))
    seen = inspect(model, mlkit.randn(3, 5))
    found = seen.explain("output", (2, 1))
    steps = []
    while True:
        steps.append(found.title.split()[0].split("[")[0])
        cells = (
            found.terms.cells(int(found.terms.order()[0]))
            if found.terms
            else found.after[-1].cells
            if found.after
            else []
        )
        if not cells:
            break
        assert cells[0].number == pytest.approx(float(seen.array(cells[0].value)[cells[0].index]))
        found = seen.explain(cells[0].value, cells[0].index)
    assert steps == ["linear", "relu", "linear", "input"]


def test_attention_and_its_weights():
    mlkit.manual_seed(3)
    q, k, v = (mlkit.randn(2, 4, 6, 8) for _ in range(3))
    seen = inspect(lambda a, b, c: mlkit.nn.functional.scaled_dot_product_attention(a, b, c, is_causal=True), q, k, v)
    found = seen.explain("attention", (1, 3, 2, 5))
    scores = q.numpy()[1, 3, 2].astype(float) @ k.numpy()[1, 3, :3].astype(float).T / np.sqrt(8)
    weights = np.exp(scores) / np.exp(scores).sum()
    assert found.total == pytest.approx(weights @ v.numpy()[1, 3, :3, 5].astype(float))
    assert len(found.terms) == 3, "a causal query sees its own place and what comes before"
    assert found.terms.operands[0][3] == pytest.approx(weights)


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: mlkit.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), (2, 5, 16)),
        (lambda: mlkit.nn.LSTM(4, 6, batch_first=True), (2, 3, 4)),
        (lambda: mlkit.nn.GroupNorm(2, 4), (2, 4, 3, 3)),
        (lambda: mlkit.nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1), (1, 3, 4, 4)),
        (lambda: mlkit.nn.Sequential(mlkit.nn.Upsample(scale_factor=2, mode="bilinear"), mlkit.nn.AdaptiveAvgPool2d(3)), (1, 2, 5, 5)),
        (lambda: mlkit.nn.Sequential(mlkit.nn.InstanceNorm2d(2), mlkit.nn.Softmax(1), mlkit.nn.LPPool2d(2, 2)), (1, 2, 6, 6)),
    ],
)  # fmt: skip
def test_whole_layers_number_by_number(make, shape):
    mlkit.manual_seed(4)
    seen = inspect(make(), mlkit.randn(*shape))
    assert seen.error is None
    for node in seen.graph.nodes:
        for output in node.outputs:
            for place in places(seen.graph.values[output].shape):
                found = seen.explain(output, place)
                np.testing.assert_allclose(found.total, found.number, rtol=2e-4, atol=2e-5, err_msg=str(found))


def test_the_largest_terms_come_first_and_the_rest_is_counted():
    mlkit.manual_seed(5)
    seen = inspect(mlkit.nn.Linear(712, 2), mlkit.randn(1, 712))
    found = seen.explain("output", (0, 1))
    text = found.text(most=12)
    assert "and 700 more" in text
    as_json = found.to_dict(most=12)
    shown = sum(line["number"] for line in as_json["terms"]["lines"])
    bias = as_json["after"][0]["number"]
    assert shown + as_json["terms"]["rest"] + bias == pytest.approx(found.number, rel=1e-4)


def test_an_index_that_does_not_fit_is_said_in_words():
    seen = inspect(mlkit.nn.Linear(3, 2), mlkit.ones(4, 3))
    with pytest.raises(IndexError, match="2 axes, the index has 1"):
        seen.explain("output", 1)
    with pytest.raises(IndexError, match="outside axis 1, which has 2 places"):
        seen.explain("output", (0, 2))
    with pytest.raises(IndexError, match="made of integers"):
        seen.explain("output", (0, 1.5))
    with pytest.raises(ValueError, match="no value, node, module or parameter 'nowhere'"):
        seen.explain("nowhere", (0, 0))
    assert seen.explain("output", (-1, -1)).index == (3, 1)
