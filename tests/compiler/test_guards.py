"""What a replay may not take for granted: each program changes something between two calls, and gives what it gives eagerly."""

from __future__ import annotations

import array
import datetime
import operator
import os
import random
import sys
import threading
import time
import types
import warnings

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from mlkit.core.errors import ShapeError

PROGRAMS = []
X = [0.5, -2.0]


def program(make):
    """``make()`` gives (what is called with a tensor, changes made between the calls)."""
    PROGRAMS.append(make)
    return make


class Layer(nn.Module):
    """Runs a function of itself and the input."""

    def __init__(self, f, **attributes):
        super().__init__()
        self.f = f
        for name, x in attributes.items():
            setattr(self, name, x)

    def forward(self, x):
        return self.f(self, x)


@program
def closure_of_a_submodules_forward():
    k = {"v": 1.0}

    class Inner(nn.Module):
        def forward(self, x):
            return x * k["v"]

    return nn.Sequential(Inner()), [lambda: k.update(v=2.0), lambda: k.update(v=5.0)]


@program
def closure_behind_a_property():
    k = [1.0]

    class Inner(nn.Module):
        @property
        def scale(self):
            return k[0]

        def forward(self, x):
            return x * self.scale

    return Inner(), [lambda: k.__setitem__(0, 3.0)]


@program
def counter_in_a_submodule():
    k = [0]

    class Inner(nn.Module):
        def forward(self, x):
            k[0] += 1
            return x * k[0]

    return nn.Sequential(Inner()), [lambda: None, lambda: None]


@program
def attribute_of_a_modules_class():
    class Inner(nn.Module):
        scale = 1.0
        table = {"a": [1.0]}

        def forward(self, x):
            return x * self.scale + self.table["a"][0]

    return nn.Sequential(Inner()), [
        lambda: setattr(Inner, "scale", 4.0),
        lambda: Inner.table["a"].__setitem__(0, 7.0),
    ]


@program
def private_attributes_of_a_module():
    m = Layer(lambda self, x: x * self._scales[0] + self._more["a"]["b"], _scales=[1.0], _more={"a": {"b": 1.0}})
    return m, [lambda: m._scales.__setitem__(0, 2.0), lambda: m._more["a"].update(b=9.0)]


SETTINGS = types.ModuleType("settings_of_a_test")
SETTINGS.inner = types.ModuleType("settings_of_a_test.inner")


@program
def names_in_a_module_of_settings():
    SETTINGS.scale, SETTINGS.inner.more = 2.0, [3.0]
    return (lambda x: x * SETTINGS.scale + SETTINGS.inner.more[0]), [
        lambda: setattr(SETTINGS, "scale", 5.0),
        lambda: SETTINGS.inner.more.__setitem__(0, 8.0),
    ]


@program
def settings_imported_inside():
    sys.modules["settings_of_a_test"] = SETTINGS
    SETTINGS.scale = 2.0

    def f(x):
        import settings_of_a_test
        from settings_of_a_test import scale

        return x * scale + settings_of_a_test.scale

    return f, [lambda: setattr(SETTINGS, "scale", 3.0)]


@program
def defaults_of_the_function():
    def f(x, k=[1.0], *, more=1.0):  # noqa: B006 - the fault looked for
        return x * k[0] + more

    return f, [
        lambda: f.__defaults__[0].__setitem__(0, 2.0),
        lambda: setattr(f, "__defaults__", ([7.0],)),
        lambda: f.__kwdefaults__.update(more=4.0),
    ]


@program
def attributes_of_the_function():
    def f(x):
        return x * helper.scale

    def helper():
        pass

    helper.scale = 1.0
    return f, [lambda: setattr(helper, "scale", 6.0)]


@program
def an_object_that_is_called():
    class Scale:
        def __init__(self):
            self.k = [1.0]

        def __call__(me, x):  # noqa: N805 - any name will do
            return x * me.k[0]

    f = Scale()
    return f, [lambda: f.k.__setitem__(0, 3.0)]


@program
def a_global_that_comes_later():
    space = globals()
    space.pop("COMES_LATER", None)

    def f(x):
        try:
            return x * COMES_LATER  # noqa: F821
        except NameError:
            return x

    return f, [lambda: space.update(COMES_LATER=3.0), lambda: space.pop("COMES_LATER")]


@program
def far_inside():
    inner = {"v": 1.0}
    outer = inner
    for _ in range(9):
        outer = {"next": outer}

    def f(x):
        found = outer
        for _ in range(9):
            found = found["next"]
        return x * found["v"]

    return f, [lambda: inner.update(v=2.0)]


@program
def in_a_circle():
    a = {"v": [1.0]}
    a["self"] = a
    return (lambda x: x * a["self"]["self"]["v"][0]), [lambda: a["v"].__setitem__(0, 2.0)]


@program
def one_of_many_attributes():
    o = types.SimpleNamespace(**{f"a{i}": 1.0 for i in range(300)})
    return (lambda x: x * o.a7), [lambda: setattr(o, "a7", 3.0)]


@program
def one_of_many_entries():
    k = [1.0] * 300
    return (lambda x: x * k[7]), [lambda: k.__setitem__(7, 3.0)]


@program
def one_of_very_many_entries():
    k = [1.0] * 30_000
    return (lambda x: x * k[7]), [lambda: k.__setitem__(7, 3.0)]


@program
def arrays_that_are_no_tensors():
    small, large = np.ones(9), np.ones(200_000)
    objects, typed, raw = np.array([1.0, 2.0], dtype=object), array.array("d", [1.0]), bytearray(b"\1")
    return (lambda x: x * float(small[0]) + objects[0] + typed[0] + raw[0]), [
        lambda: small.__setitem__(0, 2.0),
        lambda: objects.__setitem__(0, 5.0),
        lambda: typed.__setitem__(0, 4.0),
        lambda: raw.__setitem__(0, 9),
        lambda: large.__setitem__(0, 2.0),
    ]


@program
def sets_slots_and_random_streams():
    class Slots:
        __slots__ = ("k",)

    some, o, stream, other = {1, 2}, Slots(), random.Random(1), np.random.default_rng(1)
    o.k = 1.0

    def f(x):
        return x * len(some) * o.k + (stream.getstate()[1][0] + other.bit_generator.state["state"]["state"]) % 97

    return f, [lambda: some.add(3), lambda: setattr(o, "k", 2.0), lambda: stream.random(), lambda: other.random()]


@program
def an_attribute_that_hides_the_classes():
    class Holder:
        k = 1.0

    o = Holder()
    return (lambda x: x * o.k), [
        lambda: setattr(o, "k", 2.0),
        lambda: delattr(o, "k"),
        lambda: setattr(Holder, "k", 5.0),
    ]


@program
def another_class_of_an_object():
    class One:
        k = 1.0

    class Two:
        k = 2.0

    o = One()
    return (lambda x: x * o.k), [lambda: setattr(o, "__class__", Two)]


@program
def a_dict_with_other_keys():
    d = {"a": 1.0}

    def other():
        d.clear()
        d["b"] = one

    one = d["a"]
    return (lambda x: x * (2 if "a" in d else 3)), [other]


@program
def a_method_in_place_of_another():
    class Holder:
        def scale(self, x):
            return x * 2

    o = Holder()
    return (lambda x: o.scale(x)), [lambda: setattr(Holder, "scale", lambda self, x: x * 3)]


@program
def equal_numbers_that_are_other_objects():
    d = {"a": 1.5}
    return (lambda x: x * d["a"]), [lambda: d.update(a=float(str(d["a"])))] * 8


@program
def a_large_array():
    large = np.ones(200_000)
    return (lambda x: x * float(large[0])), [lambda: large.__setitem__(0, 2.0)]


@program
def containers_of_modules():
    inner = nn.ModuleDict({"a": nn.Linear(2, 2), "l": nn.ModuleList([nn.Linear(2, 2)])})
    scales = nn.ParameterList([mlkit.ones(2)])

    def f(x):
        for m in (*inner["l"], *(m for k, m in inner.items() if k != "l")):
            x = m(x)
        for p in scales:
            x = x * p
        return x.detach()

    return f, [
        lambda: inner["l"].append(nn.Identity()),
        lambda: inner.update({"b": nn.Tanh()}),
        lambda: inner.pop("b"),
        lambda: scales.append(nn.Parameter(mlkit.full((2,), 2.0))),
        lambda: scales.__setitem__(0, nn.Parameter(mlkit.full((2,), 3.0))),
        lambda: inner["l"].__delitem__(1),
        lambda: inner["l"].__delitem__(0),
    ]


@program
def an_attribute_read_by_a_getter():
    o, get = types.SimpleNamespace(k=1.0), operator.attrgetter("k")
    return (lambda x: x * get(o)), [lambda: setattr(o, "k", 3.0)]


@program
def the_environment():
    os.environ["SCALE_OF_A_TEST"] = "2"
    return (lambda x: x * float(os.environ["SCALE_OF_A_TEST"]) + float(os.getenv("MORE_OF_A_TEST", "0"))), [
        lambda: os.environ.update(SCALE_OF_A_TEST="3"),
        lambda: os.environ.update(MORE_OF_A_TEST="1"),
        lambda: [os.environ.pop("MORE_OF_A_TEST"), os.environ.update(SCALE_OF_A_TEST="4")],
    ]


@program
def the_default_device():
    return (lambda x: [str(mlkit.zeros(2).device)]), [
        lambda: mlkit.set_default_device("meta"),
        lambda: mlkit.set_default_device("cpu"),
    ]


@program
def where_the_random_stream_was_started():
    mlkit.manual_seed(0)
    return (lambda x: x * (mlkit.initial_seed() % 1000)), [lambda: mlkit.manual_seed(5)]


@program
def where_the_random_stream_is():
    mlkit.manual_seed(0)
    return (lambda x: mlkit.get_rng_state() * 1), [lambda: mlkit.rand(2)]


def said(out):
    return out.tolist() if isinstance(out, mlkit.Tensor) else out


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_what_was_changed_between_two_calls_is_seen(make):
    found = []
    for wrap in (lambda f: f, mlkit.compile):
        mlkit.manual_seed(3)
        f, changes = make()
        call = wrap(f)
        out = [said(call(mlkit.tensor(X, device="cpu"))), said(call(mlkit.tensor(X, device="cpu")))]
        for change in changes:
            change()
            out += [said(call(mlkit.tensor(X, device="cpu"))), said(call(mlkit.tensor(X, device="cpu")))]
        found.append(out)
    assert found[1] == found[0]


def count(f) -> int:
    return f._compiled.recordings


def test_what_is_not_read_may_change():
    """Names of attributes are no globals, and classes and objects may hold more than is asked for."""
    space = globals()

    class Inner(nn.Module):
        asked, other = 1.0, 1.0

        def forward(self, x):
            return x.abs() * self.asked

    m = nn.Sequential(Inner())
    f = mlkit.compile(lambda x: m(x))
    try:
        for i in range(4):
            space["abs"], Inner.other = i, float(i)
            assert f(mlkit.tensor(X)).tolist() == [0.5, 2.0]
    finally:
        del space["abs"]
    assert count(f) == 1


def test_an_argument_that_the_function_has_already():
    w = mlkit.tensor(X)
    f = mlkit.compile(lambda x: x * w)
    for x in (w, mlkit.ones(2), mlkit.ones(2) * 3, w):
        assert f(x).tolist() == (x * w).tolist()
    assert count(f) == 2

    def step(x):
        w.add_(1)
        return x * w

    g = mlkit.compile(step)
    for x in (mlkit.ones(2), w, mlkit.ones(2)):
        before = w.clone()
        want = (w + 1) * (w + 1 if x is w else x)
        assert g(x).tolist() == want.tolist() and w.tolist() == (before + 1).tolist()


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
def test_attributes_that_a_tensor_was_given():
    f = mlkit.compile(lambda x: x * x.scale)
    for k in (1.0, 2.0, 3.0):
        x = mlkit.ones(2)
        x.scale = k
        assert f(x).tolist() == [k, k]


@pytest.mark.parametrize("change", ["add", "drop", "parameters"])
def test_an_optimizers_groups_change_between_steps(change):
    def run(wrap):
        mlkit.manual_seed(0)
        m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        both = [{"params": m[0].parameters()}, {"params": m[1].parameters(), "lr": 0.2}]
        o = optim.SGD(both[:1] if change == "add" else both, 0.1)

        def step(x):
            o.zero_grad()
            loss = m(x).square().sum()
            loss.backward()
            o.step()
            return loss.detach()

        call, losses = wrap(step), []
        for i in range(5):
            if i == 2:
                if change == "add":
                    o.add_param_group(both[1])
                elif change == "drop":
                    o.param_groups.pop()
                else:
                    o.param_groups[0]["params"].pop()
            losses.append(call(mlkit.ones(2, 3)).item())
        return losses, [p.tolist() for p in m.parameters()]

    (eager, weights), (compiled, same) = run(lambda f: f), run(mlkit.compile)
    assert compiled == pytest.approx(eager, rel=1e-5)
    for a, b in zip(weights, same, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_a_way_back_from_one_of_two_outputs_leaves_the_others_parameters_alone():
    m = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)])
    f = mlkit.compile(lambda x: (m[1](m[0](x)).sum(), m[2](m[0](x)).sum()))
    for used, unused in ((0, 2), (1, 1)):
        m.zero_grad()
        for _ in range(2):
            f(mlkit.ones(2, 3))[used].backward()
        for i, layer in enumerate(m):
            assert (layer.weight.grad is None) is (i == unused)


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
@pytest.mark.parametrize(
    "change, state, back",
    [
        (lambda: mlkit.set_grad_enabled(False), mlkit.is_grad_enabled, lambda: mlkit.set_grad_enabled(True)),
        (
            lambda: mlkit.set_default_dtype(mlkit.float64),
            mlkit.get_default_dtype,
            lambda: mlkit.set_default_dtype(mlkit.float32),
        ),
    ],
    ids=["the grad mode", "the default dtype"],
)
def test_a_mode_set_inside_is_set_in_each_call(change, state, back):
    def f(x):
        change()
        return x * 2

    g, before = mlkit.compile(f), state()
    for _ in range(3):
        try:
            g(mlkit.ones(2))
            assert state() != before
        finally:
            back()


@pytest.mark.parametrize(
    "read",
    [
        time.time_ns,
        time.perf_counter_ns,
        lambda: datetime.datetime.now().microsecond,
        lambda: os.urandom(1)[0],
        lambda: np.random.default_rng().random(),
    ],
    ids=["time_ns", "perf_counter_ns", "datetime.now", "urandom", "default_rng"],
)
def test_what_is_new_each_time_is_not_replayed(read):
    f = mlkit.compile(lambda x: x * (read() % 9973))
    with pytest.warns(UserWarning, match="runs eagerly: (the clock|os.urandom|numpy.random)"):
        f(mlkit.ones(1))


def test_a_warning_of_the_functions_own_comes_in_each_call():
    def f(x):
        warnings.warn("own", stacklevel=1)
        return x * 2

    g = mlkit.compile(f)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            g(mlkit.ones(2))
    assert [str(w.message) for w in caught].count("own") == 3


def test_one_hot_is_checked_in_each_call():
    f = mlkit.compile(lambda i: nn.functional.one_hot(i, 5))
    for _ in range(2):
        assert f(mlkit.tensor([0, 4])).argmax(1).tolist() == [0, 4]
    with pytest.raises(ShapeError, match="0 .. 4, got 5"):
        f(mlkit.tensor([0, 5]))


def test_the_wrapper_of_a_module_is_a_module():
    m = nn.Linear(2, 2)
    f, seen = mlkit.compile(m), []
    m.eval()
    assert f.training is False
    f.train()
    assert m.training is True
    handle = f.register_forward_hook(lambda module, given, out: seen.append(out.shape))
    for _ in range(2):
        f(mlkit.ones(3, 2))
    handle.remove()
    f(mlkit.ones(3, 2))
    assert seen == [(3, 2)] * 2


def test_threads_read_a_tensor_that_is_being_recorded():
    """Another thread's recording neither ends nor is in the way."""
    m, x, wrong = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)), mlkit.randn(4, 8), []
    with mlkit.no_grad():
        want = m(x).numpy()
    for _ in range(10):
        f, start = mlkit.compile(m), threading.Barrier(4)

        def work(f=f, start=start):
            try:
                with mlkit.no_grad():
                    start.wait()
                    for _ in range(3):
                        np.testing.assert_allclose(f(x).numpy(), want, atol=1e-6)
                        np.testing.assert_allclose((x * 2).numpy(), x.numpy() * 2)
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert wrong == []
