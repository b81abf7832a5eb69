"""What mlkit.compile promises besides equal numbers: live state, guards, fallbacks that say why, module behaviour."""

from __future__ import annotations

import collections
import copy
import functools
import random
import sysconfig
import threading
import warnings
import weakref

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from mlkit.compiler import CompileError


def count(f) -> int:
    return f._compiled.recordings


def test_recorded_once_per_shape_dtype_grad_mode_and_number():
    ran = []

    def f(x, k):
        ran.append  # noqa: B018 - read only
        return x * k

    g = mlkit.compile(f)
    for _ in range(3):
        assert g(mlkit.ones(2), 3).tolist() == [3, 3]
    assert count(g) == 1
    for make, k, n in [
        (lambda: mlkit.ones(3), 3, 2),
        (lambda: mlkit.ones(2, dtype=mlkit.float64), 3, 3),
        (lambda: mlkit.ones(2), 4, 4),
        (lambda: mlkit.ones(2, requires_grad=True), 3, 5),
    ]:
        for _ in range(2):
            g(make(), k)
        assert count(g) == n
    with mlkit.no_grad():
        g(mlkit.ones(2), 3)
    assert count(g) == 6


def test_a_branch_on_numbers_says_which_line_and_runs_eagerly_once_warned():
    def f(x):
        if x.sum() > 0:
            return x
        return -x

    g = mlkit.compile(f)
    with pytest.warns(UserWarning, match=r"(?s)runs eagerly.*test_compile.py:\d+ in f: if x.sum\(\) > 0:"):
        assert g(mlkit.tensor([1.0])).item() == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert g(mlkit.tensor([-2.0])).item() == 2
    assert "if x.sum() > 0:" in str(g.explain())


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x * x.sum().item(),
        lambda x: x * float(x[0]),
        lambda x: x + mlkit.tensor(x.numpy() * 2),
        lambda x: x * len(repr(x)),
        lambda x: x[x > 0],
        lambda x: mlkit.nonzero(x),
        lambda x: x * x.tolist()[0],
        lambda x: print(end="") or x + 1,
    ],
    ids=["item", "float", "numpy", "repr", "mask", "nonzero", "tolist", "print"],
)
def test_what_depends_on_numbers_is_never_wrong(body):
    g = mlkit.compile(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for values in ([1.0, 2.0], [3.0, -4.0], [0.0, 5.0]):
            x = mlkit.tensor(values)
            assert mlkit.equal(g(x), body(x))


def test_fullgraph_raises_with_the_line():
    with pytest.raises(CompileError, match="cannot be compiled whole") as caught:
        mlkit.compile(lambda x: x * x.sum().item(), fullgraph=True)(mlkit.ones(2))
    assert "test_compile.py" in str(caught.value)


def test_changes_of_python_values_are_seen():
    scale = [2.0]

    class Config:
        shift = 1.0

    config = Config()
    config.shift = 1.0
    level = 3.0

    def f(x):
        return x * scale[0] + config.shift * level

    g = mlkit.compile(f)
    x = mlkit.ones(1)
    assert g(x).item() == 5 and g(x).item() == 5
    scale[0] = 4.0
    assert g(x).item() == 7
    config.shift = 2.0
    assert g(x).item() == 10
    level = 1.0
    assert g(x).item() == 6
    assert count(g) == 4


class Settings:
    def __init__(self):
        self.scale, self.more = 2.0, {"weights": [1.0, 3.0]}


class Slotted:
    __slots__ = ("scale",)

    def __init__(self):
        self.scale = 2.0


SETTINGS, TABLE, NUMBERS = Settings(), {"loss": {"weight": 3.0}}, np.ones(3, np.float32)


class Configured(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = SETTINGS

    def forward(self, x):
        return x * self.config.scale


class Owner:
    def __init__(this):
        this.settings, this.history = Settings(), []

    def step(this, x):
        return x * this.settings.more["weights"][1]


class Named:
    scale = 2.0

    def step(self, x):
        return x * self.scale


def _scaled_by(table):
    return lambda x: x * table.get("scale", 3.0)


def _set(owner, name, value):
    return lambda: setattr(owner, name, value)


@pytest.mark.parametrize(
    "make, prepare",
    [
        (Settings, lambda s: (lambda x, c: x * c.scale, (s,), _set(s, "scale", 5.0))),
        (
            Settings,
            lambda s: (lambda x, c: x * c["s"].more["weights"][0], ({"s": s},), _set(s, "more", {"weights": [7.0]})),
        ),
        (Slotted, lambda s: (lambda x, c: x * c.scale, (s,), _set(s, "scale", 5.0))),
        (Owner, lambda s: (s.step, (), lambda: s.settings.more["weights"].__setitem__(1, 9.0))),
        (Owner, lambda s: (Owner.step, (s,), lambda: s.settings.more["weights"].__setitem__(1, 9.0), True)),
        (
            object,
            lambda _: (lambda x: x * TABLE["loss"]["weight"], (), lambda: TABLE["loss"].__setitem__("weight", 8.0)),
        ),
        (object, lambda _: (lambda x: x * mlkit.tensor(NUMBERS), (), lambda: NUMBERS.fill(6))),
        (object, lambda _: (Configured(), (), _set(SETTINGS, "scale", 4.0))),
        (Configured, lambda m: (lambda x: m(x) + 1, (), _set(SETTINGS, "scale", 11.0))),
        (dict, lambda d: (_scaled_by(d), (), lambda: d.update(scale=7.0))),
        (dict, lambda d: ((lambda f: lambda x: f(x) + 1)(_scaled_by(d)), (), lambda: d.update(scale=7.0))),
        (dict, lambda d: (functools.partial(lambda x, by: _scaled_by(by)(x), by=d), (), lambda: d.update(scale=7.0))),
        (object, lambda _: (lambda x: x * Named.scale, (), _set(Named, "scale", 7.0))),
        (object, lambda _: (Named().step, (), _set(Named, "scale", 9.0))),
        (collections.deque, lambda d: (lambda x: x * len(d), (), lambda: d.append(1))),
    ],
    ids=(
        "argument nested slots self method table numpy module captured closure helper partial class inherited deque"
    ).split(),
)
def test_settings_inside_objects_are_looked_at_in_each_call(make, prepare):
    f, more, change, *first = prepare(make())
    x = mlkit.ones(3)
    given = (*more, x) if first else (x, *more)
    compiled = mlkit.compile(f)
    before = compiled(*given)
    mlkit.testing.assert_close(before, f(*given))
    change()
    mlkit.testing.assert_close(compiled(*given), f(*given))
    assert not mlkit.equal(compiled(*given), before)


def test_what_a_packages_property_reads_is_looked_at():
    text = "class Config:\n    _scale = 2.0\n    scale = property(lambda self: self._scale)"
    space: dict = {"__name__": "package"}
    exec(compile(text, f"{sysconfig.get_path('purelib')}/package.py", "exec"), space)
    config = space["Config"]()
    config._scale = 2.0
    f = mlkit.compile(lambda x: x * config.scale)
    assert f(mlkit.ones(())).item() == 2
    config._scale = 5.0
    assert f(mlkit.ones(())).item() == 5


def test_what_a_function_does_not_read_may_change():
    owner = Owner()
    f = mlkit.compile(owner.step)
    for _ in range(20):
        f(mlkit.ones(3))
        owner.history.append(1)
    assert count(f) == 1


@pytest.mark.parametrize(
    "make, draw",
    [
        (lambda: iter(range(1, 9)), next),
        (lambda: (i for i in range(1, 9)), next),
        (lambda: np.random.default_rng(0), lambda g: float(g.normal())),
        (lambda: random.Random(0), lambda g: g.random()),
    ],
)
def test_what_comes_from_an_iterator_or_generator_is_not_repeated(make, draw):
    def step(source):
        return lambda x: x * draw(source)

    x = mlkit.ones(2)
    eager, compiled = step(make()), mlkit.compile(step(make()))
    with pytest.warns(UserWarning, match="runs eagerly"):
        for _ in range(4):
            mlkit.testing.assert_close(compiled(x), eager(x))


def test_a_function_that_changes_an_argument_runs_eagerly():
    settings = Settings()

    def f(x, c):
        c.scale += 1
        return x * c.scale

    with pytest.warns(UserWarning, match="changes an argument"):
        found = [float(mlkit.compile(f)(mlkit.ones(()), settings)) for _ in range(3)]
    assert found == [3.0, 4.0, 5.0]


def test_a_function_that_changes_python_state_runs_eagerly():
    seen = []

    def f(x):
        seen.append(1)
        return x + len(seen)

    g = mlkit.compile(f)
    with pytest.warns(UserWarning, match="changes 'seen'"):
        assert [g(mlkit.zeros(1)).item() for _ in range(3)] == [1, 2, 3]


def test_random_numbers_stay_random_and_equal_eagers():
    def f(x):
        return x + mlkit.rand(3) * mlkit.randn(3) + mlkit.nn.functional.dropout(x, 0.5)

    g = mlkit.compile(f)
    mlkit.manual_seed(1)
    wanted = [f(mlkit.ones(3)).tolist() for _ in range(4)]
    mlkit.manual_seed(1)
    assert [g(mlkit.ones(3)).tolist() for _ in range(4)] == wanted
    assert count(g) == 1


def test_the_learning_rate_stays_live():
    w = mlkit.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)

    @mlkit.compile
    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss

    for lr, wanted in ((1.0, 0.0), (1.0, -1.0), (0.5, -1.5), (0.25, -1.75)):
        optimizer.param_groups[0]["lr"] = lr
        step(mlkit.ones(1))
        assert w.item() == wanted
    assert count(step) == 1


def test_gradients_add_up_when_nobody_clears_them():
    w = mlkit.ones(2, requires_grad=True)

    @mlkit.compile
    def step(x):
        (w * x).sum().backward()

    for i in range(1, 5):
        step(mlkit.ones(2))
        assert w.grad.tolist() == [i, i]


def test_results_are_not_overwritten_by_the_next_call():
    g = mlkit.compile(lambda x: (x * 2, (x + 1).relu()))
    first = g(mlkit.ones(4))
    kept = [t.tolist() for t in first]
    g(mlkit.zeros(4))
    g(mlkit.full((4,), 7.0))
    assert [t.tolist() for t in first] == kept


def test_two_forwards_before_their_backwards():
    layer = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    g = mlkit.compile(layer)
    xs = [mlkit.randn(2, 3) for _ in range(3)]
    for x in xs:
        g(x)
    (g(xs[0]).sum() + 2 * g(xs[1]).sum()).backward()
    found = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    (layer(xs[0]).sum() + 2 * layer(xs[1]).sum()).backward()
    for a, p in zip(found, layer.parameters(), strict=True):
        assert mlkit.allclose(a, p.grad)


def test_weights_changed_before_backward_are_noticed():
    layer = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    g = mlkit.compile(layer)
    x = mlkit.randn(2, 3, requires_grad=True)
    g(x)
    y = g(x).sum()
    with mlkit.no_grad():
        layer[1].weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_in_place_changes_of_arguments_and_buffers():
    total = mlkit.zeros(2)

    def f(x):
        x.mul_(2)
        total.add_(x)
        return total * 1

    g = mlkit.compile(f)
    for i in range(1, 4):
        x = mlkit.ones(2)
        assert g(x).tolist() == [2 * i, 2 * i] and x.tolist() == [2, 2]
    assert count(g) == 1 and total.tolist() == [6, 6]


def test_new_tensors_changed_in_place_begin_anew_each_time():
    def f(x):
        out = mlkit.zeros(3)
        for i in range(3):
            out[i] = x[i] * i
        mask = mlkit.ones(3, 3).tril()
        return mask @ out

    g = mlkit.compile(f)
    for k in (1.0, 2.0, 3.0):
        x = mlkit.full((3,), k)
        assert mlkit.equal(g(x), f(x))


def test_module_passes_through():
    layer = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    g = mlkit.compile(layer)
    assert isinstance(g, nn.Module) and g._orig_mod is layer and g[0] is layer[0]
    assert list(g.state_dict()) == ["_orig_mod." + k for k in layer.state_dict()]
    assert [p is q for p, q in zip(g.parameters(), layer.parameters(), strict=True)]
    x = mlkit.randn(4, 2)
    g(x), g(x)
    g.eval()
    assert not layer.training and not layer[2].training
    assert mlkit.equal(g(x), layer(x))
    g.train()
    assert layer[2].training and g.training
    g.flag = 3
    assert layer.flag == 3
    twin = copy.deepcopy(g)
    assert twin._orig_mod is not layer and mlkit.equal(twin[0].weight, layer[0].weight)
    g.load_state_dict(g.state_dict())
    assert mlkit.compile(g) is g


def test_frozen_weights_and_replaced_weights():
    layer = nn.Linear(2, 2)
    g = mlkit.compile(layer)
    x = mlkit.randn(3, 2)
    for _ in range(2):
        g(x).sum().backward()
    layer.weight.requires_grad_(False)
    layer.zero_grad()
    g(x).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None
    layer.weight = nn.Parameter(mlkit.zeros(2, 2))
    assert mlkit.allclose(g(x), layer.bias.expand(3, 2))
    layer.weight.data = mlkit.ones(2, 2)
    assert mlkit.allclose(g(x), layer(x))


def test_limit_of_recordings():
    g = mlkit.compile(lambda x: x + 1, options={"recompile_limit": 2})
    with pytest.warns(UserWarning, match="was recorded 2 times, the limit"):
        for n in range(1, 6):
            assert g(mlkit.zeros(n)).tolist() == [1] * n
    assert count(g) == 2


def test_errors_have_the_users_line_and_the_next_call_is_right():
    model = nn.Linear(3, 4)

    def step(x, y):
        loss = nn.functional.cross_entropy(model(x), y)
        return loss

    g = mlkit.compile(step)
    x = mlkit.randn(2, 3)
    g(x, mlkit.tensor([0, 1]))
    with pytest.raises(IndexError, match="Target 9 is out of bounds") as caught:
        g(x, mlkit.tensor([0, 9]))
    assert "loss = nn.functional.cross_entropy(model(x), y)" in "".join(
        [str(caught.value), *getattr(caught.value, "__notes__", [])]
    )
    assert g(x, mlkit.tensor([2, 1])).item() == step(x, mlkit.tensor([2, 1])).item()
    with pytest.raises(RuntimeError):
        mlkit.compile(lambda a, b: a @ b)(mlkit.ones(2, 3), mlkit.ones(2, 3))


def test_gradient_of_the_gradient_says_what_to_do():
    g = mlkit.compile(lambda x: x * x * x)
    x = mlkit.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="does not go through a compiled function"):
        mlkit.autograd.grad(g(x).sum(), x, create_graph=True)


def test_inside_transforms_and_listeners_it_is_the_function_itself():
    g = mlkit.compile(lambda x: x * x)
    assert mlkit.func.grad(lambda x: g(x).sum())(mlkit.tensor([3.0])).tolist() == [6]
    assert mlkit.func.vmap(g)(mlkit.tensor([[1.0], [2.0]])).tolist() == [[1], [4]]
    ops = []
    stop = mlkit.core.events.subscribe("op", lambda op, *rest: ops.append(op.name))
    try:
        g(mlkit.ones(1))
    finally:
        stop()
    assert ops == ["mul"]


def test_compiled_inside_compiled():
    inner = mlkit.compile(nn.Linear(2, 2))
    f = mlkit.compile(lambda x: inner(x).relu())
    x = mlkit.randn(3, 2)
    for _ in range(2):
        assert mlkit.equal(f(x), inner._orig_mod(x).relu())


def test_autocast_and_no_grad_inside():
    layer = nn.Linear(4, 4)

    def f(x):
        with mlkit.no_grad():
            scale = layer.weight.abs().mean()
        with mlkit.autocast("cpu", dtype=mlkit.bfloat16):
            y = layer(x)
        return y.float() * scale

    g = mlkit.compile(f)
    x = mlkit.randn(2, 4)
    for _ in range(3):
        assert mlkit.equal(g(x), f(x))


def test_threads():
    layer = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
    g = mlkit.compile(layer)
    xs = [mlkit.randn(4, 8) for _ in range(8)]
    with mlkit.no_grad():
        g(xs[0])
        wanted = [layer(x) for x in xs]
        wrong = []

        def work(i):
            with mlkit.no_grad():
                for _ in range(50):
                    if not mlkit.allclose(g(xs[i]), wanted[i], atol=1e-6):
                        wrong.append(i)

        workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
    assert not wrong


def test_arguments_are_pytorchs_with_meaning_or_refusal():
    f = lambda x: x + 1  # noqa: E731
    assert mlkit.compile(f, disable=True) is f and mlkit.compile(f, backend="eager") is f
    mlkit.compile(f, mode="reduce-overhead", backend="inductor", dynamic=False)(mlkit.ones(1))
    with pytest.raises(ValueError, match="no backend named"):
        mlkit.compile(f, backend="nope")
    with pytest.raises(ValueError, match="mode"):
        mlkit.compile(f, mode="fast")
    with pytest.raises(TypeError, match="dynamic=True"):
        mlkit.compile(f, dynamic=True)
    with pytest.raises(TypeError, match="unknown option"):
        mlkit.compile(f, options={"speed": 11})
    with pytest.raises(TypeError, match="expected a function"):
        mlkit.compile(3)

    @mlkit.compile(fullgraph=True)
    def g(x):
        return x * 2

    assert g(mlkit.ones(1)).item() == 2 and g.__name__ == "g"
    mlkit.compiler.reset()
    assert count(g) == 0


def test_disable_and_is_compiling():
    seen = []

    @mlkit.compiler.disable
    def outside(x):
        return x + 1

    g = mlkit.compile(lambda x: outside(x) * 2)
    with pytest.warns(UserWarning, match="compiler.disable"):
        assert g(mlkit.ones(1)).item() == 4
    seen.append(mlkit.compiler.is_compiling())
    assert seen == [False]


def test_data_parallel_use_of_the_same_tensor_twice():
    g = mlkit.compile(lambda a, b: a * 2 + b)
    x, y = mlkit.ones(2), mlkit.full((2,), 5.0)
    assert g(x, x).tolist() == [3, 3] and g(x, y).tolist() == [7, 7] and g(x, x).tolist() == [3, 3]


def test_explain_says_passes_loops_and_memory(monkeypatch):
    monkeypatch.setattr("mlkit.compiler.fusion.SMALLEST", 4)

    @mlkit.compile
    def f(x):
        unused = x * 3  # noqa: F841
        y = (x + 1) * 2 - (x + 1)
        return (y.relu() @ y).sum()

    x = mlkit.randn(8, 8)
    f(x), f(x)
    e = f.explain()
    (r,) = e.recordings
    steps = {name: (before, after) for name, before, after in r.passes}
    assert steps["dead code"][0] - steps["dead code"][1] == 1
    assert steps["common subexpressions"][0] - steps["common subexpressions"][1] == 1
    assert r.replays == 1 and r.parts[0].buffers and r.parts[0].block > 0
    text, page = str(e), mlkit.display.html(e)
    assert "memory at once" in text and "<img" in page and "Memory plan" in page
    if r.parts[0].loops:
        assert "def run(" in text and "for i in range" in page


def test_loops_follow_numpy_for_nan_infinity_and_broadcasting(monkeypatch):
    monkeypatch.setattr("mlkit.compiler.fusion.SMALLEST", 4)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, 6)).astype(np.float32)
    a[0, :3] = np.nan, np.inf, -np.inf
    row, column = rng.normal(size=6).astype(np.float32), rng.normal(size=(5, 1)).astype(np.float32)

    def f(a, row, column):
        b = mlkit.maximum(a, row) * column + 0.1
        c = mlkit.where(b > 0, b.abs().sqrt(), mlkit.minimum(b, a) / 3)
        return c.relu() - b.clamp(-1, 1), (b == b).float() * 2

    g = mlkit.compile(f)
    given = [mlkit.from_numpy(t) for t in (a, row, column)]
    for given_a in (given[0], given[0].double(), mlkit.from_numpy(np.asfortranarray(a))):
        with np.errstate(all="ignore"):
            for _ in range(2):
                found = g(given_a, *given[1:])
                for x, y in zip(found, f(given_a, *given[1:]), strict=True):
                    assert x.dtype == y.dtype
                    np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_a_view_of_what_a_convolution_laid_out_its_own_way():
    layer = nn.Conv2d(3, 16, 3, padding=1)

    def f(x):
        return layer(x).view(x.shape[0], -1).sum(1)

    g = mlkit.compile(f)
    x = mlkit.randn(4, 3, 16, 16)
    for _ in range(3):
        assert mlkit.allclose(g(x), f(x), atol=1e-4)
    assert count(g) == 1


def test_rates_read_in_the_function_are_never_stale():
    w = mlkit.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)

    @mlkit.compile
    def scaled(x):
        return x * optimizer.param_groups[0]["lr"]

    with pytest.warns(UserWarning, match="an optimizer's settings"):
        assert scaled(mlkit.ones(1)).item() == 1
    optimizer.param_groups[0]["lr"] = 0.5
    assert scaled(mlkit.ones(1)).item() == 0.5


def test_flags_of_modules_that_are_only_looked_at():
    layer = nn.Linear(1, 1)

    def f(x):
        return x * 2 if layer.training else x * 3

    g = mlkit.compile(f)
    assert [g(mlkit.ones(1)).item() for _ in range(2)] == [2, 2]
    layer.eval()
    assert [g(mlkit.ones(1)).item() for _ in range(2)] == [3, 3]
    layer.train()
    assert g(mlkit.ones(1)).item() == 2 and count(g) == 2


def test_the_same_with_a_slice_of_it_alive():
    layer = nn.Conv2d(3, 16, 3, padding=1)

    def f(x):
        h = layer(x)
        part = h[:, :2]
        return h.view(x.shape[0], -1).sum(1) + part.sum()

    g = mlkit.compile(f)
    x = mlkit.randn(4, 3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            assert mlkit.allclose(g(x), f(x), atol=1e-3)


def test_raw_memory_is_a_values_own():
    """as_strided counts from where memory begins: what it looks at cannot lie among others in a planned block."""

    def f(x):
        y = (x * 2 + 1).relu() * 3
        return y.as_strided((2, 2), (3, 1), 1) + y.exp().as_strided((2, 2), (1, 2), 2)

    g = mlkit.compile(f, backend="numpy")
    for _ in range(3):
        x = mlkit.randn(3, 4)
        assert mlkit.equal(g(x), f(x))


def test_old_gradients_are_free_while_the_step_runs():
    w = mlkit.randn(8, 8, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    seen = []

    def look(*_):
        seen.append(old() is not None)

    @mlkit.compile
    def step(x):
        optimizer.zero_grad()
        ((x @ w) ** 2).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(mlkit.ones(2, 8))
        old = weakref.ref(w.grad._array)
        optimizer.register_step_pre_hook(look) if not seen else None
    assert seen == [False, False] and w.grad is not None


def test_recording_holds_no_more_than_running():
    """What an operation makes goes when nobody needs it, in the call that is recorded too."""
    gone = []

    def f(x):
        y = x * 2
        first = weakref.ref(y._array.inner._array if mlkit.compiler.is_compiling() else y._array)
        y = y + 1
        z = y.exp()
        gone.append(first() is None)
        return z

    g = mlkit.compile(lambda x: f(x))
    with warnings.catch_warnings(), mlkit.no_grad():
        warnings.simplefilter("ignore")
        g(mlkit.randn(100))
    assert gone == [True]


def test_a_view_of_what_a_pass_left_out_keeps_its_memory():
    weight = nn.Parameter(mlkit.linspace(-1, 1, 12).reshape(3, 4))

    def penalty(x):  # times one goes, a view of it stays, and its memory must last until the view is read
        g = (x @ weight).relu() @ weight.T
        norm = g.square().sum(1).sqrt().sum()
        scale = ((norm - 1) * 2 * 1).reshape(1, 1).expand(g.shape)
        return (g / norm + 1).tanh() * scale

    def gradients(x):
        x = x.detach().requires_grad_()
        (g,) = mlkit.autograd.grad(((x @ weight).relu() ** 3).sum(), x, create_graph=True)
        return mlkit.autograd.grad((g.norm() - 1) ** 2, weight)[0]

    x = mlkit.linspace(-2, 2, 6).reshape(2, 3)
    for f in (penalty, gradients):
        compiled = mlkit.compile(f, fullgraph=True)
        for _ in range(3):
            np.testing.assert_allclose(compiled(x).detach().numpy(), f(x).detach().numpy(), rtol=1e-5)


def test_detached_weights_are_the_weights():
    w = nn.Parameter(mlkit.ones(2))
    f = mlkit.compile(lambda x: x * w.data + x * w.detach())
    update = mlkit.compile(lambda: w.data.sub_(w.grad.data))
    for k in (1.0, 2.0, 3.0):
        w.data = mlkit.ones(2) * k
        w.grad = mlkit.ones(2) * 2 * k
        assert f(mlkit.ones(2)).tolist() == [2 * k, 2 * k]
        update()
        assert w.tolist() == [-k, -k]


@pytest.mark.filterwarnings("ignore:mlkit.compile")
def test_an_argument_or_alias_with_a_weights_memory_leaves_the_weight_its_gradient():
    w = nn.Parameter(mlkit.ones(2))
    alias = w.detach()
    f = mlkit.compile(lambda x: ((x - w) ** 3).sum())
    g = mlkit.compile(lambda x: (x * alias).sum() + (x * x * w).sum())
    for x, wanted in [(w.detach(), [0, 0]), (mlkit.ones(2) * 3, [-12, -12])]:
        w.grad = None
        f(x).backward()
        assert w.grad.tolist() == wanted
    for _ in range(2):
        w.grad = None
        g(mlkit.ones(2) * 3).backward()
        assert w.grad.tolist() == [9, 9]


@pytest.mark.filterwarnings("ignore:mlkit.compile")
def test_lists_and_dicts_among_the_arguments_are_changed_in_each_call():
    def swap(d):
        d["y"] = d.pop("x") * 2
        return d["y"] + 1

    def push(x, found):
        found.append(x * 2)

    changed, pushed = mlkit.compile(swap), mlkit.compile(push)
    for _ in range(3):
        d, found = {"x": mlkit.ones(1)}, []
        changed(d)
        pushed(mlkit.ones(1), found)
        assert list(d) == ["y"] and d["y"].item() == 2 and len(found) == 1
    same = mlkit.compile(lambda d: d)
    assert all(same(d) is d for _ in range(3))


@pytest.mark.filterwarnings("ignore:mlkit.compile")
def test_what_a_call_returns_is_of_that_call():
    later = mlkit.compile(lambda x: lambda: x + 1)
    assert [later(mlkit.ones(1) * k)().item() for k in range(3)] == [1, 2, 3]
    twice = mlkit.compile(lambda x: (lambda y: (y, [y]))(x * 2))
    for _ in range(3):
        a, (b,) = twice(mlkit.ones(1))
        assert a is b


def test_a_loss_whose_backward_ran_inside_is_as_eagers():
    w = nn.Parameter(mlkit.ones(2))

    def step(x):
        loss = (x * w).square().sum()
        loss.backward()
        return loss

    compiled = mlkit.compile(step, fullgraph=True)
    for _ in range(3):
        loss = compiled(mlkit.ones(2))
        assert loss.requires_grad and not loss.is_leaf and loss.item() == 2
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
