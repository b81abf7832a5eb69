"""Optimizers: groups, hooks, state, settings that cannot be, and parameters of several kinds."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import mlkit
from mlkit import optim

ALL = [
    name for name in optim.__all__ if isinstance(getattr(optim, name), type) and name not in ("Optimizer", "SparseAdam")
]


def parameters(dtype=None):
    return [mlkit.randn(3, 2, dtype=dtype).requires_grad_(), mlkit.randn(2, 4, dtype=dtype).requires_grad_()]


def loss_of(ps):
    return sum((p**2).sum().float() for p in ps)


def closure_of(opt, ps):
    def closure():
        opt.zero_grad()
        loss = loss_of(ps)
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [mlkit.float32, mlkit.float64, mlkit.bfloat16])
def test_lowers_the_loss_and_keeps_dtypes(name, dtype):
    if name == "LBFGS" and dtype is mlkit.bfloat16:
        pytest.skip("its line directions need more than eight bits")
    mlkit.manual_seed(1)
    ps = parameters(dtype)
    how = {} if name in ("LBFGS", "Adadelta") else {"lr": 0.05}
    opt = getattr(optim, name)(ps, **how)
    closure = closure_of(opt, ps)
    before = closure().item()
    for _ in range(5):
        opt.step(closure)
    assert closure().item() < before
    assert all(p.dtype is dtype and p.is_leaf and p.requires_grad for p in ps)
    for p in ps:
        for key, entry in opt.state[p].items():
            if isinstance(entry, mlkit.Tensor) and entry.ndim:
                assert entry.dtype is dtype, key
                assert not entry.requires_grad


@pytest.mark.parametrize("name", ALL)
def test_memory_order_of_the_parameter_does_not_matter(name):
    mlkit.manual_seed(2)
    start = mlkit.randn(4, 3)
    ends = []
    for turned in (False, True):
        p = (start.t().clone().t() if turned else start.clone()).requires_grad_()
        opt = getattr(optim, name)([p])
        closure = closure_of(opt, [p])
        for _ in range(3):
            opt.step(closure)
        ends.append(p.detach().numpy())
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_copies_and_pickles(name):
    mlkit.manual_seed(3)
    ps = parameters()
    opt = getattr(optim, name)(ps, **({"lr": 0.1, "max_iter": 1} if name == "LBFGS" else {}))
    opt.step(closure_of(opt, ps))
    for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        theirs = other.param_groups[0]["params"]
        closure = closure_of(other, theirs)
        other.step(closure)
        assert len(other.state) == len(opt.state)
        assert all(not np.array_equal(a.detach().numpy(), b.detach().numpy()) for a, b in zip(ps, theirs, strict=True))


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("LBFGS",)])
def test_meta_parameters_have_no_numbers_and_do_not_move(name):
    p = mlkit.zeros(3, 2, device="meta", requires_grad=True)
    opt = getattr(optim, name)([p])
    p.grad = mlkit.zeros(3, 2, device="meta")
    opt.step()
    assert p.is_meta


def test_the_gradient_stays_as_it_is():
    for name in ALL:
        p = mlkit.randn(3, 3).requires_grad_()
        opt = (
            getattr(optim, name)([p])
            if name == "LBFGS"
            else getattr(optim, name)([p], weight_decay=0.1)
            if name not in ("Rprop",)
            else optim.Rprop([p])
        )
        p.grad = mlkit.randn(3, 3)
        before = p.grad.numpy().copy()
        for _ in range(2):
            opt.step(lambda p=p: (p.detach() ** 2).sum())
        np.testing.assert_array_equal(p.grad.numpy(), before, err_msg=name)


def test_a_step_counts_as_a_change():
    p = mlkit.ones(2).requires_grad_()
    loss = (p * p).sum()
    p.grad = mlkit.ones(2)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- groups ----------------------------------------------------------------------------------------------------------------


def test_groups_have_settings_of_their_own():
    a, b = parameters()
    opt = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.1)
    assert [g["lr"] for g in opt.param_groups] == [0.1, 0.5]
    c = mlkit.ones(1).requires_grad_()
    opt.add_param_group({"params": c, "momentum": 0.9})
    assert opt.param_groups[2]["params"] == [c] and opt.param_groups[2]["lr"] == 0.1


def test_named_parameters():
    model = mlkit.nn.Linear(2, 1)
    opt = optim.AdamW(model.named_parameters())
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="names"):
        opt.add_param_group({"params": [mlkit.ones(1)]})
    with pytest.raises(ValueError, match="names"):
        optim.SGD([("a", mlkit.ones(1)), mlkit.ones(1)])


def test_parameters_that_cannot_be():
    p = mlkit.ones(2).requires_grad_()
    with pytest.raises(TypeError):
        optim.SGD(p)
    with pytest.raises(ValueError, match="empty"):
        optim.SGD([])
    with pytest.raises(TypeError):
        optim.SGD([1.0])
    with pytest.raises(TypeError, match="ordered"):
        optim.SGD([{"params": {p}}])
    with pytest.raises(ValueError, match="non-leaf"):
        optim.SGD([p * 2])
    with pytest.raises(ValueError, match="more than one"):
        optim.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.raises(TypeError):
        optim.SGD([p]).add_param_group([p])
    with pytest.warns(UserWarning, match="duplicate"):
        optim.SGD([p, p])
    with pytest.raises(NotImplementedError):
        optim.SparseAdam([p])
    with pytest.raises(ValueError, match="2D"):
        optim.Muon([p])
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [p]}, {"params": [mlkit.ones(1).requires_grad_()]}])


@pytest.mark.parametrize(
    "name, settings, error",
    [
        *[(name, {"lr": -1.0}, ValueError) for name in ALL],
        *[(name, {"lr": mlkit.ones(2)}, ValueError) for name in ALL],
        *[(name, {"weight_decay": -1.0}, ValueError) for name in ALL if name not in ("Rprop", "LBFGS")],
        *[(n, {"betas": (1.0, 0.9)}, ValueError) for n in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")],
        *[(n, {"betas": (0.9, -0.1)}, ValueError) for n in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")],
        *[
            (n, {"eps": -1.0}, ValueError)
            for n in ("Adam", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta")
        ],
        ("Adam", {"betas": (0.9, mlkit.tensor(0.9))}, ValueError),
        ("Adam", {"lr": mlkit.tensor(0.1), "foreach": True}, ValueError),
        ("Adam", {"fused": True, "differentiable": True}, RuntimeError),
        ("Adam", {"fused": True, "foreach": True}, RuntimeError),
        ("SGD", {"momentum": -0.1}, ValueError),
        ("SGD", {"nesterov": True}, ValueError),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError),
        ("NAdam", {"momentum_decay": -1.0}, ValueError),
        ("RMSprop", {"alpha": -1.0}, ValueError),
        ("RMSprop", {"momentum": -1.0}, ValueError),
        ("Adagrad", {"lr_decay": -1.0}, ValueError),
        ("Adagrad", {"initial_accumulator_value": -1.0}, ValueError),
        ("Adadelta", {"rho": 1.1}, ValueError),
        ("Rprop", {"etas": (1.1, 1.2)}, ValueError),
        ("Adafactor", {"beta2_decay": 0.5}, ValueError),
        ("Adafactor", {"d": 0.5}, ValueError),
        ("Adafactor", {"eps": (-1.0, 0.1)}, ValueError),
        ("Muon", {"momentum": -1.0}, ValueError),
        ("Muon", {"adjust_lr_fn": "what"}, ValueError),
    ],
)
def test_settings_that_cannot_be(name, settings, error):
    with pytest.raises(error):
        getattr(optim, name)([mlkit.ones(2, 2).requires_grad_()], **settings)


def test_complex_where_there_is_none():
    p = mlkit.ones(2, 2, dtype=mlkit.complex64).requires_grad_()
    p.grad = mlkit.ones(2, 2, dtype=mlkit.complex64)
    for name in ("Muon", "Adafactor"):
        with pytest.raises(RuntimeError, match="complex"):
            getattr(optim, name)([p]).step()


# --- hooks and state ---------------------------------------------------------------------------------------------------------


def test_step_hooks():
    p = mlkit.ones(1).requires_grad_()
    opt = optim.SGD([p])
    seen = []
    handles = [
        opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("before")),
        opt.register_step_post_hook(lambda o, args, kwargs: seen.append("after")),
        optim.optimizer.register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append("before all")),
        optim.optimizer.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append("after all")),
    ]
    opt.step()
    assert seen == ["before all", "before", "after", "after all"]
    for handle in handles:
        handle.remove()
    opt.step()
    assert len(seen) == 4


def test_a_pre_hook_can_change_the_arguments():
    p = mlkit.ones(1).requires_grad_()
    opt = optim.SGD([p])
    opt.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: "changed"), {}))
    assert opt.step() == "changed"
    other = optim.SGD([p])
    other.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError):
        other.step()


def test_state_dict_hooks():
    p = mlkit.ones(1).requires_grad_()
    opt = optim.Adam([p])
    seen = []
    opt.register_state_dict_pre_hook(lambda o: seen.append("pre"))
    opt.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    opt.register_state_dict_post_hook(lambda o, d: {**d, "note": 1})
    opt.register_load_state_dict_pre_hook(lambda o, d: {k: v for k, v in d.items() if k != "note"})
    opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    saved = opt.state_dict()
    assert saved["note"] == 1
    opt.load_state_dict(saved)
    assert seen == ["first", "pre", "loaded"]


def test_an_optimizer_of_ones_own_with_a_step():
    class Halving(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"share": 0.5})

        @mlkit.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(group["share"])

    p = mlkit.ones(2).requires_grad_()
    opt = Halving([p])
    seen = []
    opt.register_step_post_hook(lambda *_: seen.append(1))
    opt.step()
    assert p.tolist() == [0.5, 0.5] and seen == [1]


def test_loading_does_not_share_and_refuses_what_does_not_fit():
    ps = parameters()
    opt = optim.Adam(ps, amsgrad=True)
    opt.step(closure_of(opt, ps))
    saved = opt.state_dict()
    other = optim.Adam(parameters(mlkit.float64), lr=0.5)
    other.load_state_dict(saved)
    q = other.param_groups[0]["params"][0]
    assert other.param_groups[0]["lr"] == 1e-3 and other.param_groups[0]["amsgrad"]
    assert other.state[q]["exp_avg"].dtype is mlkit.float64  # the parameter's
    assert other.state[q]["step"].dtype is mlkit.float32
    before = saved["state"][0]["exp_avg"].numpy().copy()
    other.step(closure_of(other, other.param_groups[0]["params"]))
    np.testing.assert_array_equal(saved["state"][0]["exp_avg"].numpy(), before)
    groups = other.param_groups
    with pytest.raises(ValueError, match="different number"):
        other.load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="size"):
        other.load_state_dict({"state": {}, "param_groups": [{"params": [0]}]})
    assert other.param_groups is groups


def test_files_from_before_a_setting_existed():
    p = mlkit.ones(2).requires_grad_()
    opt = optim.AdamW([p])
    old = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1, "params": [0]}
    state = {"step": 3, "exp_avg": np.ones(2, np.float32), "exp_avg_sq": np.ones(2, np.float32)}
    opt.load_state_dict({"state": {0: state}, "param_groups": [old]})
    p.grad = mlkit.ones(2)
    opt.step()
    assert opt.state[p]["step"].item() == 4 and opt.param_groups[0]["decoupled_weight_decay"]


def test_zero_grad():
    p = mlkit.ones(2).requires_grad_()
    opt = optim.SGD([p])
    p.grad = mlkit.ones(2)
    opt.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0]
    opt.zero_grad()
    assert p.grad is None
    assert opt.step(lambda: 7) == 7


def test_lbfgs_needs_a_known_line_search():
    p = mlkit.ones(2).requires_grad_()
    opt = optim.LBFGS([p], line_search_fn="backtracking")
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        opt.step(closure_of(opt, [p]))


def test_lbfgs_on_complex_parameters():
    p = mlkit.tensor([1 + 2j, -3j]).requires_grad_()
    opt = optim.LBFGS([p], line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        apart = p - (2 - 1j)
        loss = (apart * apart.conj()).real.sum()
        loss.backward()
        return loss

    opt.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), [2 - 1j, 2 - 1j], rtol=1e-5)


def test_momentum_flows_through_differentiable_steps():
    """d p3 / d p0 of three momentum steps on p**2, against the recursion differentiated by hand."""
    start = mlkit.tensor(1.0, dtype=mlkit.float64, requires_grad=True)
    p = start.clone()
    opt = optim.SGD([p], lr=0.1, momentum=0.5, differentiable=True)
    for _ in range(3):
        p.grad = 2 * p.clone()
        opt.step()
    p.backward()
    value, slope, speed, speed_slope = 1.0, 1.0, 0.0, 0.0
    for _ in range(3):
        speed, speed_slope = 0.5 * speed + 2 * value, 0.5 * speed_slope + 2 * slope
        value, slope = value - 0.1 * speed, slope - 0.1 * speed_slope
    assert p.item() == pytest.approx(value) and start.grad.item() == pytest.approx(slope)
