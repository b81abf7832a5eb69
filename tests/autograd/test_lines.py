"""Errors in backward name the user's lines: where a step was made, where a tensor was changed, who freed the graph."""

from __future__ import annotations

import gc
import linecache
import threading
import weakref

import pytest

import mlkit
from mlkit import nn
from mlkit.autograd import Function


def message(error: BaseException) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def ones():
    return mlkit.ones(2, 3, requires_grad=True)


class Double(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2


class Fails(Double):
    @staticmethod
    def backward(ctx, g):
        raise KeyError("on purpose")


def test_changed_in_place_names_both_lines():
    y = ones().exp()
    z = (y * y).sum()  # kept here
    y.add_(1)  # changed here
    with pytest.raises(RuntimeError) as caught:
        z.backward()
    text = message(caught.value)
    assert "made at: test_lines.py:" in text and "z = (y * y).sum()  # kept here  (its part y * y)" in text
    assert "changed at: test_lines.py:" in text and "y.add_(1)  # changed here" in text
    assert text.index("made at") < text.index("changed at")


def test_the_last_of_several_changes_through_a_view_is_named():
    y = ones().exp()
    z = (y * y).sum()
    y[0] = 1.0
    y[:, 1] += 2.0  # the last
    with pytest.raises(RuntimeError, match=r"(?s)at version 3.*changed at: .*# the last"):
        z.backward()


def test_an_optimizer_between_two_backwards_says_so():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    optimizer = mlkit.optim.SGD(model.parameters(), lr=0.1)
    loss = model(ones()).sum()  # forward
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError) as caught:
        loss.backward()
    text = message(caught.value)
    assert "loss = model(ones()).sum()  # forward" in text and "changed at: " in text and "optimizer.step()" in text
    assert "call it after every backward()" in text


def test_backward_a_second_time_names_both_lines():
    y = (ones() * ones()).sum()  # made here
    y.backward()  # first
    with pytest.raises(RuntimeError) as caught:
        y.backward()
    text = message(caught.value)
    assert "made at: " in text and "# made here" in text
    assert "freed by backward at: test_lines.py:" in text and "y.backward()  # first" in text


def test_the_first_backward_is_known_after_its_loss_is_gone():
    shared = ones().exp()
    shared.sum().backward()  # first of two
    with pytest.raises(RuntimeError, match=r"(?s)made at: .*shared = ones\(\)\.exp\(\).*# first of two"):
        (shared * 2).sum().backward()


def test_saved_tensors_of_a_function_freed_before():
    y = Double.apply(ones())  # applied
    y.sum().backward()  # freed
    with pytest.raises(RuntimeError, match=r"(?s)# applied.*# freed"):
        _ = y.grad_fn.saved_tensors


def test_functions_name_the_line_of_apply():
    y = Fails.apply(ones())  # applied
    with pytest.raises(KeyError) as caught:
        y.sum().backward()
    text = message(caught.value)
    assert "in backward of: Fails, whose gradient has shape (2, 3)" in text and "y = Fails.apply(ones())" in text
    x = ones().exp()
    y = Double.apply(x)  # applied
    x.zero_()  # changed
    with pytest.raises(RuntimeError, match=r"(?s)made at: .*# applied.*changed at: .*# changed"):
        y.sum().backward()


@pytest.mark.parametrize("how", ["tensor", "node", "prehook", "leaf", "accumulated"])
def test_hooks_name_what_they_belong_to(how):
    def fail(*args):
        raise KeyError("on purpose")

    x = ones()
    y = x * 3  # made here
    if how == "tensor":
        y.register_hook(fail)
    elif how == "node":
        y.grad_fn.register_hook(fail)
    elif how == "prehook":
        y.grad_fn.register_prehook(fail)
    elif how == "leaf":
        x.register_hook(fail)
    else:
        x.register_post_accumulate_grad_hook(fail)
    with pytest.raises(KeyError) as caught:
        y.sum().backward()
    text = message(caught.value)
    if how in ("leaf", "accumulated"):
        assert "hook" in text and "a leaf of shape (2, 3)" in text
    else:
        assert "hook" in text and "of: mul" in text and "y = x * 3  # made here" in text


def test_a_hook_that_gives_something_else():
    for wrong, kind in ((3.0, TypeError), (mlkit.ones(5), RuntimeError)):
        y = ones() * 3  # made here
        y.register_hook(lambda g, wrong=wrong: wrong)
        with pytest.raises(kind, match=r"(?s)gradient hook.*in a hook on the gradient of: mul.*# made here"):
            y.sum().backward()


def test_the_line_is_the_users_not_a_layers():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2))
    loss = nn.functional.cross_entropy(model(ones()), mlkit.tensor([0, 1]))
    nodes, seen = [loss.grad_fn], 0
    while nodes:
        node = nodes.pop()
        where = getattr(node, "where", None)
        if where is not None:
            seen += 1
            assert where.file == __file__ and where.function == "test_the_line_is_the_users_not_a_layers"
        nodes += [n for n, _ in node.next_functions if n is not None]
    assert seen >= 5


def test_made_at():
    x = ones()
    y = (x + 1) * 2
    assert y.made_at.file == __file__ and y.made_at.code == "y = (x + 1) * 2"
    assert y.made_at.function == "test_made_at" and str(y.made_at).startswith("test_lines.py:")
    assert x.made_at is None and (x.detach() * 2).made_at is None
    values, places = y.max(dim=1)
    assert values.made_at.code == "values, places = y.max(dim=1)" and places.made_at is None
    lines = sum(
        [
            x.exp(),
            x.sin(),  # a line of its own
        ]
    )
    assert lines.made_at.code == "lines = sum("
    assert lines.grad_fn.next_functions[1][0].where.code == "x.sin(),  # a line of its own"


def test_a_notebooks_cell_is_read_through_linecache():
    text = "def f(x):\n    return x.exp() * 2\ny = f(x)\n"
    name = "<ipython-input-7-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    space = {"x": ones()}
    exec(compile(text, name, "exec"), space)
    place = space["y"].made_at
    assert place.line == 2 and place.code == "return x.exp() * 2" and place.function == "f"


def test_no_frame_keeps_locals_alive():
    class Thing:
        pass

    def run():
        thing = Thing()
        gone.append(weakref.ref(thing))
        y = (ones() @ mlkit.ones(3, 2)).tanh() * 2
        y.add_(1)
        y.sum().backward(retain_graph=True)
        return y

    gone: list = []
    gc.disable()
    try:
        y = run()
        assert gone[0]() is None and y.made_at.function == "run"
    finally:
        gc.enable()


def test_a_thread_without_lines_of_a_user_names_something():
    model, made = nn.Linear(3, 1), []
    x = ones()
    thread = threading.Thread(target=lambda: made.append(model(x)))
    thread.start()
    thread.join()
    assert made[0].made_at is not None
    direct = threading.Thread(target=model, args=(x,))
    direct.start()
    direct.join()


def test_gradients_of_gradients_name_the_line_of_grad():
    x = ones()
    (g,) = mlkit.autograd.grad((x * x * x).sum(), x, create_graph=True)  # first
    assert g.made_at.code.endswith("# first")


def test_compiled_functions_replay_and_name_lines():
    @mlkit.compile
    def step(x):
        y = x.exp()
        return (y * y).sum()  # inside

    x = ones()
    for _ in range(3):
        z = step(x)  # called
        z.backward(retain_graph=True)
    assert z.grad_fn.name() == "CompiledBackward0"  # a replay, not an eager run
    assert sum(entry.replays for known in step._compiled.entries.values() for entry in known) == 2
    z.backward()  # freeing
    with pytest.raises(RuntimeError) as caught:
        z.backward()
    text = message(caught.value)
    assert "z = step(x)  # called" in text and "# inside" in text and "z.backward()  # freeing" in text


def test_changes_of_what_a_compiled_function_needs_name_three_lines():
    w = mlkit.ones(2, 3, requires_grad=True)

    @mlkit.compile
    def product(x):
        return (x * w).sum()  # used here

    x = ones()
    for _ in range(3):
        z = product(x)  # called
    with mlkit.no_grad():
        w.add_(1)  # changed
    with pytest.raises(RuntimeError) as caught:
        z.backward()
    text = message(caught.value)
    assert "# called" in text and "w.add_(1)  # changed" in text
    assert "used at: " in text and "return (x * w).sum()  # used here" in text
    q = x * 1
    z = product(q)
    q += 1  # the argument changed
    with pytest.raises(RuntimeError, match="# the argument changed"):
        z.backward()


def test_anomaly_mode_adds_the_modules_path():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh()))
    with mlkit.detect_anomaly():
        y = model(ones())
    assert y.made_at.module == "1.0 (Tanh) of Sequential"
    assert "(module 1.0 (Tanh) of Sequential)" in str(y.made_at)
