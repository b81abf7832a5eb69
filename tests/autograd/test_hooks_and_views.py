"""Hooks, retain_grad, freed graphs and views as PyTorch has them (the numbers are its, written out)."""

from __future__ import annotations

import copy as copy_module

import pytest

import mlkit
from mlkit.autograd import grad, gradcheck


def leaf(*numbers):
    return mlkit.tensor([float(n) for n in numbers], requires_grad=True)


def test_the_order_of_all_hooks_and_what_each_sees():
    x, seen = leaf(1, 2), []
    y = x * 2
    y.register_hook(lambda g: seen.append("first") or g * 2)
    y.grad_fn.register_prehook(lambda g: seen.append(("pre", g[0].tolist())))
    y.grad_fn.register_hook(lambda inputs, outputs: seen.append(("post", inputs[0].tolist(), outputs[0].tolist())))
    y.retain_grad()
    y.register_hook(lambda g: seen.append("last") or g * 10)
    x.register_hook(lambda g: seen.append(("leaf", g.tolist())) or g + 1)
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("added", p.grad.tolist())))
    y.sum().backward()
    assert seen == [
        "first",
        "last",
        ("pre", [20, 20]),
        ("post", [40, 40], [20, 20]),
        ("leaf", [40, 40]),
        ("added", [41, 41]),
    ]
    assert y.grad.tolist() == [20, 20]  # what all hooks made of it, though some came after retain_grad


def test_hooks_that_come_and_go_while_they_run():
    x, seen, handles = leaf(1), [], []
    handles.append(x.register_hook(lambda g: (seen.append(1), handles[1].remove(), None)[-1]))
    handles.append(x.register_hook(lambda g: seen.append(2)))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [1, 2, 1]
    handles[0].remove()
    handles[0].remove()
    with x.register_hook(lambda g: seen.append(3)):
        (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [1, 2, 1, 3]


@pytest.mark.parametrize(
    ("register", "wrong"),
    [
        (lambda x, y: y.register_hook(lambda g: g.double()), RuntimeError),
        (lambda x, y: y.register_hook(lambda g: 3), TypeError),
        (lambda x, y: x.register_post_accumulate_grad_hook(lambda p: p), RuntimeError),
        (lambda x, y: y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0],)), RuntimeError),
        (lambda x, y: y.grad_fn.register_prehook(lambda g: (g[0], g[0])), RuntimeError),
    ],
)
def test_what_a_hook_may_not_return(register, wrong):
    x = leaf(1, 2)
    y = x * x
    register(x, y)
    with pytest.raises(wrong):
        y.sum().backward()


def test_retain_grad_follows_a_tensor_through_changes_in_place():
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    (y**2).sum().backward()
    assert y.grad.tolist() == [12, 24] and x.grad.tolist() == [72, 144]
    x = leaf(1, 2, 3)
    y = x * 1
    view = y[:2]
    view.retain_grad()
    y.mul_(2)
    (y.sum() + view.sum()).backward()
    assert view.grad.tolist() == [1, 1] and x.grad.tolist() == [4, 4, 2]


def test_hooks_stay_with_the_values_they_were_registered_for():
    x, seen = leaf(1, 2), []
    y = x * 2
    y.register_hook(lambda g: seen.append(("before", g.tolist())))
    y.mul_(3)
    y.register_hook(lambda g: seen.append(("after", g.tolist())))
    y.sum().backward()
    assert seen == [("after", [1, 1]), ("before", [3, 3])]


def test_a_graph_that_kept_no_tensor_may_run_again():
    x = leaf(1, 2)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2, 2]
    for again in (lambda: x.mean(), lambda: x.expand(3, 2).sum(), lambda: mlkit.cat([x, x]).sum()):
        y = again()
        y.backward()
        y.backward()
    for once in (lambda: (x * x).sum(), lambda: x.exp().sum(), lambda: x.max()):
        y = once()
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()


def test_a_view_made_without_gradients_is_not_changed_with_them():
    y = leaf(1, 2) * 1
    with mlkit.no_grad():
        view = y[:1]
        part = view.view(1)
        view.add_(1)  # fine in here
    for v in (view, part):
        with pytest.raises(RuntimeError, match="created in no_grad mode"):
            v.add_(1)
    plain = mlkit.zeros(2)
    with mlkit.no_grad():
        view = plain[:1]
    view.add_(1)
    assert plain.tolist() == [1, 0]


def test_a_view_made_without_gradients_says_what_its_tensor_says():
    w = leaf(1, 2, 3)
    with mlkit.no_grad():
        view, part, parts, copy, plain = w[:2], w[:2][0], w.unbind(), w * 1, w.detach()[:2]
        assert view.numpy().tolist() == [1, 2] and w.numpy().tolist() == [1, 2, 3]  # in here nothing is cut off by it
    assert [t.requires_grad for t in (view, part, parts[0], copy, plain, view.detach())] == [True] * 3 + [False] * 3
    assert view.is_leaf and view.grad_fn is None and "requires_grad=True" in repr(view)
    with pytest.raises(RuntimeError, match=r"detach\(\)"):
        view.numpy()
    copied = copy_module.deepcopy(view)
    assert copied.requires_grad and copied.is_leaf
    later = mlkit.zeros(2)
    with mlkit.no_grad():
        view = later[:1]
    assert not view.requires_grad
    later.requires_grad_()
    assert view.requires_grad


def test_a_number_that_belongs_to_a_step_is_not_freed():
    ones = mlkit.ones(2)
    for once in (
        lambda x: x.add(x, alpha=2),
        lambda x: mlkit.sub(ones, x, alpha=2),
        lambda x: mlkit.rsub(x, ones, alpha=2),
        lambda x: x.lerp(ones, 0.3),
        lambda x: mlkit.addmm(x[None], ones[None], mlkit.ones(2, 2), beta=2),
        mlkit.deg2rad,
    ):
        x = leaf(1, 2)
        y = once(x).sum()
        y.backward()
        first = x.grad.clone()
        y.backward()
        assert mlkit.equal(x.grad, 2 * first)
    for once in (lambda x: x * 2, lambda x: x.lerp(ones, ones), lambda x: x.addcmul(x, x)):
        y = once(leaf(1, 2)).sum()
        y.backward()
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()


def test_arguments_of_grad_and_backward():
    x, y = leaf(1), leaf(2)
    with pytest.raises(ValueError, match="allow_unused"):
        grad(x.sum(), [x, y], allow_unused=False, materialize_grads=True)
    with pytest.raises(RuntimeError, match="cannot be empty"):
        x.sum().backward(inputs=[])


def test_gradcheck_refuses_what_it_cannot_check():
    with pytest.raises(AssertionError):
        gradcheck(lambda x: x.sin(), leaf(1).double().detach().requires_grad_(), check_backward_ad=False)
    shared = mlkit.rand(1, dtype=mlkit.float64, requires_grad=True).expand(3)
    with pytest.raises(RuntimeError, match="stride 0"):
        gradcheck(lambda x: x * 2, shared)


@pytest.mark.parametrize(
    "draw", [mlkit.bernoulli, mlkit.poisson, lambda p: mlkit.nn.functional.alpha_dropout(p, 0.5, True)]
)
def test_draws_with_batched_chances(draw):
    chances = mlkit.full((2, 200), 0.5)
    different = mlkit.func.vmap(draw, randomness="different")(chances)
    same = mlkit.func.vmap(draw, randomness="same")(chances)
    assert (different[0] != different[1]).any() and (same[0] == same[1]).all()
    with pytest.raises(RuntimeError):
        mlkit.func.vmap(draw)(chances)
    if draw is mlkit.bernoulli:
        with pytest.raises(RuntimeError):
            mlkit.func.vmap(draw, randomness="same")(chances * 3)


def test_where_of_two_numbers_knows_its_shape_without_data():
    assert mlkit.where(mlkit.zeros(2, device="meta") > 0, 1.0, 2.0).dtype is mlkit.float32
    assert mlkit.where(mlkit.zeros(2, device="meta") > 0, 1, 2).dtype is mlkit.int64


@pytest.mark.parametrize(
    "write",
    [
        lambda y: y.zero_(),
        lambda y: y.fill_(3.0),
        lambda y: y.copy_(mlkit.ones(3)),
        lambda y: y.uniform_(),
        lambda y: y[:].fill_(1),
    ],
)
def test_what_was_overwritten_gets_a_gradient_of_zeros(write):
    x = mlkit.ones(3, requires_grad=True)
    y = x * 2
    write(y)
    assert y.requires_grad and not y.is_leaf
    (y * 3).sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_a_product_of_truth_values_is_refused():
    truth = mlkit.ones(2, 2, dtype=mlkit.bool)
    for product in (lambda: truth @ truth, lambda: mlkit.mm(truth, truth), lambda: mlkit.dot(truth[0], truth[0])):
        with pytest.raises(NotImplementedError):
            product()


def test_fill_as_a_function_and_without_dims():
    x, v = mlkit.ones(2, requires_grad=True), mlkit.tensor(3.0, requires_grad=True)
    y = mlkit.fill(x, v)
    (y * mlkit.tensor([1.0, 2.0])).sum().backward()
    assert y.tolist() == [3, 3] and v.grad.item() == 3
    z = mlkit.tensor(2.0, requires_grad=True)
    w = z * 1
    w.zero_()
    (w * 5).backward()
    assert z.grad.item() == 0
