"""Programs about gradients and function transforms that run under PyTorch and under mlkit.

Each takes the library ``T`` and ``x``, a maker of tensors: ``x("name", *shape)`` gives float64 numbers that follow from
the name. It returns tensors in any nesting. ``RAISES`` are calls that must raise; kept is which built-in class PyTorch's
error belongs to.
"""

from __future__ import annotations

import warnings
import zlib

import numpy as np

PROGRAMS: dict = {}
RAISES: dict = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


def maker(T):
    def x(name: str, *shape, low=None, high=None, dtype="float64"):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if high is not None:
            return T.from_numpy(np.asarray(rng.integers(low or 0, high, shape)))
        numbers = np.asarray(rng.normal(size=shape)).astype(dtype)
        if dtype.startswith("complex"):
            numbers = numbers + 1j * np.asarray(rng.normal(size=shape))
        return T.from_numpy(np.array(numbers, order="C")) if shape else T.tensor(numbers[()])

    return x


def flat(tree, prefix="out") -> dict:
    """The tensors of a nesting by path."""
    if isinstance(tree, dict):
        return {k: v for key, item in tree.items() for k, v in flat(item, f"{prefix}.{key}").items()}
    if isinstance(tree, (tuple, list)):
        return {k: v for i, item in enumerate(tree) for k, v in flat(item, f"{prefix}.{i}").items()}
    if tree is None:
        return {prefix: np.array("none")}
    if isinstance(tree, (bool, int, float, str)):
        return {prefix: np.array(tree)}
    return {prefix: np.asarray(tree.detach().numpy(force=True))}


def run(name: str, T) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flat(PROGRAMS[name](T, maker(T)))


def error_of(name: str, T):
    """The error of a call that must raise; None when it does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            RAISES[name](T, maker(T))
        except Exception as error:
            return error
    return None


def builtin_of(error) -> str:
    """The most special built-in class of an error."""
    for cls in type(error).__mro__:
        if cls.__module__ == "builtins":
            return cls.__name__
    raise AssertionError


# --- grad, vjp, jvp ------------------------------------------------------------------------------------------------------


def wave(T, a):
    return (a.sin() * a.exp()).sum() + a.prod()


@program
def grad_of_a_function(T, x):
    return T.func.grad(lambda a: wave(T, a))(x("a", 5))


@program
def third_derivative(T, x):
    return T.func.grad(T.func.grad(T.func.grad(lambda a: a**4 * a.sin())))(x("a"))


@program
def grad_by_several_and_nested_arguments(T, x):
    def f(p, b, c):
        return (p["w"] @ b + p["v"][0]).tanh().sum() * c

    p = {"w": x("w", 3, 4), "v": (x("v", 3),)}
    args = (p, x("b", 4), x("c"))
    return T.func.grad(f)(*args), T.func.grad(f, argnums=(1, 2))(*args), T.func.grad(f, argnums=-1)(*args)


@program
def grad_and_value_with_aux(T, x):
    f = lambda a: ((a * a).sum(), {"twice": a * 2})  # noqa: E731
    return T.func.grad_and_value(f, has_aux=True)(x("a", 3)), T.func.grad(f, has_aux=True)(x("a", 3))


@program
def vjp_of_a_dict(T, x):
    f = lambda a, b: {"s": (a * b).sin(), "m": a @ b}  # noqa: E731
    out, pull = T.func.vjp(f, x("a", 4), x("b", 4))
    first = pull({"s": x("g", 4), "m": x("h")})
    return out, first, pull({"s": x("g2", 4), "m": x("h2")})


@program
def vjp_has_aux(T, x):
    out, pull, aux = T.func.vjp(lambda a: (a.sin(), a.cos()), x("a", 4), has_aux=True)
    return out, aux, pull(x("g", 4))


@program
def jvp_through_many_ops(T, x):
    def f(a, b):
        y = T.softmax(a @ b, 1) + T.logsumexp(a, 1, keepdim=True)
        return y.cumsum(0), y.max(dim=1)[0], T.cat([y, y.flip(0)]).var(0), y[:, [0, 1, 1]].relu()

    return T.func.jvp(f, (x("a", 3, 4), x("b", 4, 5)), (x("ta", 3, 4), x("tb", 4, 5)))


@program
def jvp_of_complex_functions(T, x):
    f = lambda z: (z.abs(), z.angle(), z * z.conj(), (z * z).real, z.exp())  # noqa: E731
    return T.func.jvp(f, (x("z", 4, dtype="complex128"),), (x("t", 4, dtype="complex128"),))


@program
def jvp_of_vjp_and_vjp_of_jvp(T, x):
    f = lambda a: (a**3).sin() * a.sum()  # noqa: E731

    def pulled(a):
        return T.func.vjp(f, a)[1](x("g", 4))[0]

    def pushed(a):
        return T.func.jvp(f, (a,), (x("t", 4),))[1]

    return T.func.jvp(pulled, (x("a", 4),), (x("t", 4),)), T.func.vjp(pushed, x("a", 4))[1](x("g", 4))


@program
def jvp_nested(T, x):
    f = lambda a: a**3 * a.sin()  # noqa: E731
    inner = lambda a: T.func.jvp(f, (a,), (x("t", 3),))[1]  # noqa: E731
    return T.func.jvp(inner, (x("a", 3),), (x("u", 3),))


@program
def perturbations_do_not_mix(T, x):
    f = lambda a: a * T.func.jvp(lambda b: a + b, (x("one"),), (T.ones_like(a),))[1]  # noqa: E731
    g = lambda a: a * T.func.grad(lambda b: a * b)(x("one"))  # noqa: E731
    return T.func.jvp(f, (x("a"),), (T.ones_like(x("a")),)), T.func.grad(g)(x("a"))


@program
def linearize_a_function(T, x):
    out, push = T.func.linearize(lambda a: (a.sin() @ a, a * 2), x("a", 4))
    return out, push(x("t", 4)), push(x("u", 4))


@program
def results_follow_what_is_tracked_outside(T, x):
    w = x("w", 3).requires_grad_()
    g = T.func.grad(lambda a: (a * a * w).sum())(x("a", 3))
    g.sum().backward()
    return g.requires_grad, w.grad, T.func.grad(lambda a: (a * a).sum())(x("a", 3)).requires_grad


@program
def control_flow_in_jvp_and_grad(T, x):
    def f(a):
        while a.sum() < 5:
            a = a * 1.5 + 0.1
        return a.sum() if a.max() > 1 else -a.sum()

    return T.func.grad(f)(x("a", 3).abs()), T.func.jvp(f, (x("a", 3).abs(),), (x("t", 3),))


@program
def in_place_inside_transforms(T, x):
    def f(a):
        y = a.clone()
        y[0] = a[1] * a[2]
        y[1:].mul_(a[:-1])
        y += a.sum()
        z = T.zeros_like(a)
        z[:2] = y[1:3] * 2
        return (y * z.add_(a)).sum()

    a, t = x("a", 4), x("t", 4)
    batch = x("batch", 3, 4)
    return T.func.grad(f)(a), T.func.jvp(f, (a,), (t,)), T.func.vmap(f)(batch), T.func.vmap(T.func.grad(f))(batch)


# --- Jacobians and Hessians ---------------------------------------------------------------------------------------------------


@program
def jacobians(T, x):
    f = lambda a: (a.sin(), {"p": a.prod(), "m": a[:, None] * a})  # noqa: E731
    return T.func.jacrev(f)(x("a", 3)), T.func.jacfwd(f)(x("a", 3))


@program
def jacobian_by_two_arguments(T, x):
    f = lambda a, b: (a @ b).tanh()  # noqa: E731
    args = (x("a", 2, 3), x("b", 3))
    return T.func.jacrev(f, argnums=(0, 1))(*args), T.func.jacfwd(f, argnums=(0, 1))(*args), T.func.jacrev(f, 1)(*args)


@program
def jacobian_with_aux_and_chunks(T, x):
    f = lambda a: (a.sin(), a.sum())  # noqa: E731
    return (
        T.func.jacrev(f, has_aux=True)(x("a", 3)),
        T.func.jacfwd(f, has_aux=True)(x("a", 3)),
        T.func.jacrev(lambda a: a**2, chunk_size=2)(x("a", 5)),
    )


@program
def hessians(T, x):
    f = lambda a: (a.sin() * a.roll(1, 0)).sum() * a.prod()  # noqa: E731
    a = x("a", 4)
    F = T.func
    return (
        F.hessian(f)(a),
        F.jacfwd(F.jacrev(f))(a),
        F.jacrev(F.jacfwd(f))(a),
        F.jacrev(F.jacrev(f))(a),
        F.jacfwd(F.jacfwd(f))(a),
        F.jacrev(F.grad(f))(a),
        F.vmap(F.hessian(f))(x("batch", 2, 4)),
    )


@program
def hessian_of_a_network(T, x):
    def f(w, v):
        h = (x("in", 5, 3) @ w).tanh()
        return T.nn.functional.mse_loss(h @ v, x("target", 5, 1), reduction="sum")

    return T.func.hessian(f, argnums=(0, 1))(x("w", 3, 2), x("v", 2, 1))


# --- vmap ----------------------------------------------------------------------------------------------------------------------------


@program
def vmap_dims(T, x):
    f = T.func.vmap
    a, b = x("a", 3, 4, 5), x("b", 5, 3)
    return (
        f(T.dot)(x("p", 3, 4), x("q", 3, 4)),
        f(lambda t: t.sum(0), in_dims=1)(a),
        f(lambda t: t.T, in_dims=-1, out_dims=1)(a),
        f(lambda t, u: (t @ u, u), in_dims=(0, 1), out_dims=(1, 0))(a, b),
        f(lambda t, u: t * u, in_dims=(None, 0))(b, x("s", 4)),
        f(lambda d, s: d["x"] * s + d["y"][0], in_dims=({"x": 0, "y": (1,)}, None))(
            {"x": x("dx", 3, 2), "y": (x("dy", 2, 3),)}, x("sc")
        ),
        f(lambda t: {"a": t, "b": [t.sum(), t.mean()]})(x("p", 3, 4)),
        f(lambda t: T.ones(2, dtype=T.float64))(b),
        f(lambda t: (t, b), out_dims=(0, None))(b),
    )


@program
def vmap_nested(T, x):
    f = T.func.vmap
    a, b = x("a", 3, 4), x("b", 5, 4)
    return (
        f(lambda u: f(lambda v: (u * v).sum())(b))(a),
        f(f(f(lambda t: t * 2)))(x("c", 2, 3, 4)),
        f(f(T.dot, in_dims=(None, 0)), in_dims=(0, None))(a, b),
        f(lambda t: f(lambda u: u @ t)(x("d", 3, 4, 4)))(a),
    )


@program
def vmap_chunks(T, x):
    return T.func.vmap(lambda t: (t.sin(), t.sum()), chunk_size=2)(x("a", 5, 3))


@program
def vmap_indexing(T, x):
    f = T.func.vmap
    a, i = x("a", 3, 4, 5), x("i", 3, 2, high=4)
    return (
        f(lambda t, k: t[k])(a, i),
        f(lambda t: t[[0, 2], 1:3])(a),
        f(lambda t, k: t[:, k])(a, i),
        f(lambda k: x("w", 6, 2)[k])(i),
        f(lambda t, k: t[k, :2][None])(a, i),
        f(lambda t, k: t[k, k])(a, i),
        f(lambda t, k: T.take_along_dim(t, k[:, None], 0))(a, i),
        f(lambda t, k: t.index_select(0, k))(a, i),
        f(lambda t, k: T.zeros_like(t).index_add(0, k, t[:2]))(a, i),
        f(lambda t: T.where(t > 0, t, 0.0))(a),
        f(lambda t: t.masked_fill(t > 0, -1.0))(a),
        f(lambda t: t[T.tensor([True, False, True, False])])(a),
        f(lambda t: t.topk(2)[1])(a),
        f(lambda t: t.sort(-1, descending=True)[0])(a),
        f(lambda t: t.argmax())(a),
        f(lambda k: T.nn.functional.one_hot(k, 5))(i),
    )


@program
def vmap_writing(T, x):
    f = T.func.vmap

    def write(t, k):
        y = t.clone()
        y[k] = t[:2] * 2
        y[0, 1] = 5.0
        y[:, 0] += t.sum()
        y.masked_fill_(t > 1.5, 0.0)
        return y

    def fresh(t):
        out = t.new_zeros(3)
        out[0] = t[0, 0]
        return out.add_(T.ones_like(out))

    return f(write)(x("a", 3, 4, 5), x("i", 3, 2, high=4)), f(fresh)(x("a", 3, 4, 5))


@program
def vmap_products(T, x):
    f = T.func.vmap
    out = []
    shapes = {"v": (4,), "m": (4, 4), "t": (2, 4, 4)}
    for left in shapes:
        for right in shapes:
            for dims in ((0, 0), (0, None), (None, 0)):
                a = x("l" + left, *(((3,) if dims[0] == 0 else ()) + shapes[left]))
                b = x("r" + right, *(((3,) if dims[1] == 0 else ()) + shapes[right]))
                out.append(f(T.matmul, in_dims=dims)(a, b))
    out.append(f(T.nn.functional.linear)(x("i", 3, 5, 4), x("w", 3, 2, 4), x("b", 3, 2)))
    out.append(f(T.nn.functional.linear, in_dims=(None, None, 0))(x("i", 5, 4), x("w", 2, 4), x("b", 3, 2)))
    return out


@program
def per_sample_gradients_of_a_cnn(T, x):
    F = T.nn.functional

    def net(p, image):
        h = F.conv2d(image[None], p["w1"], p["b1"], padding=1).relu()
        h = F.max_pool2d(h, 2)
        h = F.layer_norm(F.avg_pool2d(F.conv2d(h, p["w2"], stride=2, groups=2), 1), (2, 2), p["g"])
        return F.linear(h.flatten(1), p["w3"], p["b3"])

    def loss(p, image, label):
        return F.cross_entropy(net(p, image), label[None])

    p = {
        "w1": x("w1", 4, 2, 3, 3),
        "b1": x("b1", 4),
        "w2": x("w2", 4, 2, 2, 2),
        "g": x("g", 2, 2),
        "w3": x("w3", 3, 16),
        "b3": x("b3", 3),
    }
    images, labels = x("images", 5, 2, 8, 8), x("labels", 5, high=3)
    each = T.func.vmap(T.func.grad(loss), in_dims=(None, 0, 0))(p, images, labels)
    values = T.func.vmap(loss, in_dims=(None, 0, 0))(p, images, labels)
    return each, values


@program
def an_ensemble(T, x):
    F = T.nn.functional

    def net(p, image):
        h = F.conv2d(image, p["w1"], p["b1"], padding=1).relu()
        h = F.batch_norm(h, None, None, p["g"], p["h"], training=True)
        return F.linear(h.mean((2, 3)), p["w3"])

    p = {
        "w1": x("w1", 3, 4, 2, 3, 3),
        "b1": x("b1", 3, 4),
        "g": x("g", 3, 4),
        "h": x("h", 3, 4),
        "w3": x("w3", 3, 3, 4),
    }
    images = x("images", 5, 2, 6, 6)
    out = T.func.vmap(net, in_dims=(0, None))(p, images)
    both = T.func.vmap(net)(p, x("more", 3, 5, 2, 6, 6))
    grads = T.func.grad(lambda q: T.func.vmap(net, in_dims=(0, None))(q, images).pow(2).sum())(p)
    return out, both, grads


@program
def vmap_inside_autograd(T, x):
    w, a = x("w", 4).requires_grad_(), x("a", 3, 4).requires_grad_()
    y = T.func.vmap(lambda t: (t * w).sin().sum())(a)
    y.pow(2).sum().backward()
    return y, w.grad, a.grad


@program
def vmap_of_jvp_and_jvp_of_vmap(T, x):
    f = lambda a: T.softmax(a, 0) * a.norm()  # noqa: E731
    a, t = x("a", 3, 4), x("t", 3, 4)
    return (
        T.func.vmap(lambda p, q: T.func.jvp(f, (p,), (q,)))(a, t),
        T.func.jvp(T.func.vmap(f), (a,), (t,)),
        T.func.vmap(lambda q: T.func.jvp(f, (a[0],), (q,))[1])(t),
        T.func.vmap(lambda q: T.func.vjp(f, a[0])[1](q)[0])(t),
    )


@program
def functional_calls(T, x):
    model = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Tanh(), T.nn.Linear(4, 2)).double()
    p = {name: x(name, *v.shape) for name, v in model.named_parameters()}
    call = T.func.functional_call
    before = [v.detach().clone() for v in model.parameters()]
    out = call(model, p, (x("in", 5, 3),))
    grads = T.func.grad(lambda q: call(model, q, x("in", 5, 3)).pow(2).sum())(p)
    pair = call(
        model,
        ({"0.weight": p["0.weight"], "0.bias": p["0.bias"]}, {"2.weight": p["2.weight"], "2.bias": p["2.bias"]}),
        x("in", 5, 3),
    )
    same = all(bool((a == b).all()) for a, b in zip(before, model.parameters()))
    return out, grads, pair, same


@program
def buffers_of_an_ensemble(T, x):
    models = []
    for i in range(3):
        m = T.nn.BatchNorm1d(4).double()
        with T.no_grad():
            m.weight.copy_(x(f"w{i}", 4))
            m.bias.copy_(x(f"b{i}", 4))
        models.append(m)
    params, buffers = T.func.stack_module_state(models)

    def run(p, b, data):
        out = T.func.functional_call(models[0], (p, b), (data,))
        return out, b

    out, after = T.func.vmap(run, in_dims=(0, 0, None))(params, buffers, x("data", 6, 4))
    return out, after, {k: v.requires_grad for k, v in params.items()}


# --- autograd.Function ---------------------------------------------------------------------------------------------------------


def functions(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return scale * x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.scale * 3 * x * x, None

    class Exp(T.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.exp()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(output)
            ctx.save_for_forward(output)

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

        @staticmethod
        def jvp(ctx, t):
            (y,) = ctx.saved_tensors
            return t * y

    class Product(T.autograd.Function):
        @staticmethod
        def forward(a, b):
            return a * b, a + b

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx, g, h):
            a, b = ctx.saved_tensors
            ga = gb = 0
            if g is not None:
                ga, gb = g * b, g * a
            if h is not None:
                ga, gb = ga + h, gb + h
            return ga, gb

        @staticmethod
        def vmap(info, in_dims, a, b):
            a = a if in_dims[0] is not None else a.expand(info.batch_size, *a.shape)
            a = a.movedim(in_dims[0] or 0, 0)
            b = b.movedim(in_dims[1], 0) if in_dims[1] is not None else b
            return Product.apply(a, b), (0, 0)

    class Straight(T.autograd.Function):
        """Rounds forward, is the identity backward."""

        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.round()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g

    return Cube, Exp, Product, Straight


@program
def custom_function(T, x):
    Cube, Exp, Product, Straight = functions(T)
    a = x("a", 4).requires_grad_()
    (g,) = T.autograd.grad(Cube.apply(a, 2.0).sum(), a, create_graph=True)
    (gg,) = T.autograd.grad(g.sum(), a, create_graph=True)
    (ggg,) = T.autograd.grad(gg.sum(), a)
    y = Exp.apply(a)
    (e,) = T.autograd.grad(y.sum(), a, create_graph=True)
    (ee,) = T.autograd.grad(e.sin().sum(), a)
    p, q = Product.apply(a, a.detach() + 1)
    return g, gg, ggg, y, e, ee, T.autograd.grad(p.sum(), a), type(y.grad_fn).__name__, p.requires_grad


@program
def custom_function_in_transforms(T, x):
    _, Exp, Product, Straight = functions(T)
    F = T.func
    a, b = x("a", 3, 4), x("b", 4)
    return (
        F.vmap(Exp.apply)(a),
        F.grad(lambda t: Exp.apply(t).sum())(a),
        F.vmap(F.grad(lambda t: Exp.apply(t).sum()))(a),
        F.grad(lambda t: F.vmap(Exp.apply)(t).sum())(a),
        F.jvp(Exp.apply, (b,), (x("t", 4),)),
        F.jacrev(Exp.apply)(b),
        F.jacfwd(Exp.apply)(b),
        F.hessian(lambda t: Exp.apply(t).sum())(b),
        F.vmap(Product.apply, in_dims=(0, None))(a, b),
        F.vmap(Product.apply, in_dims=(None, 0))(b, a),
        F.grad(lambda t: F.vmap(Product.apply, in_dims=(0, None))(a, t)[0].sum())(b),
        F.vmap(F.grad(lambda t: (Straight.apply(t) * b).sum()))(a),
        F.grad(lambda t: F.vmap(lambda u: (Straight.apply(u) * b).sum())(t).sum())(a),
        F.vmap(F.grad(lambda u, t: (Straight.apply(u) * t).sum()), in_dims=(None, 0))(b, a),
    )


@program
def custom_function_in_place_and_flags(T, x):
    class AddOne(T.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.mark_dirty(a)
            a.add_(1)
            return a

        @staticmethod
        def backward(ctx, g):
            return g * 3

    class Split(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            mask = a > 0
            ctx.mark_non_differentiable(mask)
            ctx.save_for_backward(mask)
            ctx.flags = ctx.needs_input_grad
            return a * mask, mask

        @staticmethod
        def backward(ctx, g, gm):
            (mask,) = ctx.saved_tensors
            return g * mask, None

    a = x("a", 5).requires_grad_()
    c = a * 2
    d = AddOne.apply(c)
    (d * x("w", 5)).sum().backward()
    first = a.grad.clone()
    view = a * 2
    part = view[1:3]
    AddOne.apply(part)
    view.sum().backward()
    y, mask = Split.apply(a, x("b", 5))
    y.sum().backward()
    return d is c, first, a.grad, mask, mask.requires_grad, y.grad_fn.flags


@program
def forward_mode_by_hand(T, x):
    fwAD = T.autograd.forward_ad
    with fwAD.dual_level():
        a = fwAD.make_dual(x("a", 4), x("t", 4))
        y = (a.sin() * x("b", 4)).cumsum(0)
        p, t = fwAD.unpack_dual(y)
        none = fwAD.unpack_dual(x("b", 4)).tangent
        back = x("c", 4).requires_grad_()
        d = fwAD.make_dual(back, x("t", 4))
        (g,) = T.autograd.grad((d**3).sum(), d, create_graph=True)
        hvp = fwAD.unpack_dual(g).tangent
        z = fwAD.unpack_dual((d**3).sum()).tangent
        (gz,) = T.autograd.grad(z, back)
    return p, t, none, hvp, gz, y * 2


# --- autograd.functional ---------------------------------------------------------------------------------------------------------------


@program
def older_functional(T, x):
    A = T.autograd.functional
    f = lambda a, b: ((a * b).sin(), (a.sum() * b) ** 2)  # noqa: E731
    s = lambda a, b: (a**3 * b).sum() + (a * b).prod()  # noqa: E731
    args, v = (x("a", 3), x("b", 3)), (x("v", 3), x("u", 3))
    return (
        A.jacobian(f, args),
        A.jacobian(f, args, vectorize=True),
        A.jacobian(f, args, vectorize=True, strategy="forward-mode"),
        A.hessian(s, args),
        A.hessian(s, args, vectorize=True),
        A.hessian(s, args, vectorize=True, outer_jacobian_strategy="forward-mode"),
        A.vjp(f, args, v),
        A.jvp(f, args, v),
        A.hvp(s, args, v),
        A.vhp(s, args, v),
        A.jacobian(lambda a: a.exp(), args[0]),
        A.hessian(lambda a: a.exp().sum(), args[0]),
        A.jacobian(lambda a, b: a * 2, args),
    )


@program
def older_functional_create_graph(T, x):
    a = x("a", 3).requires_grad_()
    jac = T.autograd.functional.jacobian(lambda t: t**3, a, create_graph=True)
    jac.sum().backward()
    return jac, a.grad


# --- checkpoints, hooks on what is kept -----------------------------------------------------------------------------------------------


@program
def checkpointing(T, x):
    from importlib import import_module

    C = import_module(f"{T.__name__}.utils.checkpoint")
    out = []
    for reentrant in (True, False):
        w, a = x("w", 4, 4).requires_grad_(), x("a", 3, 4).requires_grad_()
        f = lambda t: (t @ w).tanh() @ w  # noqa: E731, B023
        y = C.checkpoint(f, a, use_reentrant=reentrant)
        (y + C.checkpoint(f, y, use_reentrant=reentrant)).sin().sum().backward()
        out += [y, w.grad, a.grad]
    a = x("a", 3, 4).requires_grad_()
    y = C.checkpoint(lambda t, k=1: (t.exp() * k).sin(), a, use_reentrant=False, k=3)
    (g,) = T.autograd.grad(y.sum(), a, create_graph=True)
    (gg,) = T.autograd.grad(g.sum(), a)
    return out, g, gg


@program
def checkpoint_of_a_sequential(T, x):
    from importlib import import_module

    C = import_module(f"{T.__name__}.utils.checkpoint")
    model = T.nn.Sequential(*[T.nn.Linear(3, 3) for _ in range(5)]).double()
    with T.no_grad():
        for name, p in model.named_parameters():
            p.copy_(x(name, *p.shape))
    a = x("a", 2, 3).requires_grad_()
    out = []
    for reentrant in (True, False):
        model.zero_grad()
        a.grad = None
        C.checkpoint_sequential(model, 2, a, use_reentrant=reentrant).sin().sum().backward()
        out += [a.grad, [p.grad for p in model.parameters()]]
    return out


@program
def hooks_on_kept_tensors(T, x):
    a = x("a", 3).requires_grad_()
    kept = []

    def pack(t):
        kept.append(t.numel())
        return t.detach() * 2

    with T.autograd.graph.saved_tensors_hooks(pack, lambda p: p / 2):
        y = (a.exp() * a).sum()
    y.backward()
    b = x("a", 3).requires_grad_()
    with T.autograd.graph.save_on_cpu():
        z = (b.sin() * b).prod()
    z.backward()
    return a.grad, len(kept), b.grad


@program
def hooks_on_several_gradients(T, x):
    a, b, c = (x(n, 3).requires_grad_() for n in "abc")
    seen, first = [], []
    T.autograd.graph.register_multi_grad_hook([a, b, c], lambda gs: seen.append([g is None for g in gs]))
    T.autograd.graph.register_multi_grad_hook([a, b], lambda g: first.append(g.sum()), mode="any")
    (a * b).sum().backward()
    (a * c).sum().backward()
    return seen, len(first)


@program
def next_functions(T, x):
    a, b = x("a", 3).requires_grad_(), x("b", 3)
    y = a.exp() * b + a
    return [str(None if n is None else n.name().split("::")[-1]) for n, _ in y.grad_fn.next_functions], y.grad_fn.name()


# --- calls that raise ----------------------------------------------------------------------------------------------------------------------


def _raising(name, call):
    RAISES[name] = call


for _name, _call in {
    "vmap item": lambda T, x: T.func.vmap(lambda t: t.sum().item())(x("a", 3, 4)),
    "vmap if": lambda T, x: T.func.vmap(lambda t: t if t.sum() > 0 else -t)(x("a", 3, 4)),
    "vmap float": lambda T, x: T.func.vmap(lambda t: float(t.sum()))(x("a", 3, 4)),
    "vmap numpy": lambda T, x: T.func.vmap(lambda t: t.numpy())(x("a", 3, 4)),
    "vmap tolist": lambda T, x: T.func.vmap(lambda t: t.tolist())(x("a", 3, 4)),
    "vmap in place": lambda T, x: T.func.vmap(lambda t: T.zeros(4, dtype=T.float64).add_(t))(x("a", 3, 4)),
    "vmap setitem": lambda T, x: T.func.vmap(lambda t: T.zeros(4, dtype=T.float64).__setitem__(0, t[0]))(x("a", 3, 4)),
    "vmap mask": lambda T, x: T.func.vmap(lambda t: t[t > 0])(x("a", 3, 4)),
    "vmap nonzero": lambda T, x: T.func.vmap(lambda t: t.nonzero())(x("a", 3, 4)),
    "vmap unique size": lambda T, x: T.func.vmap(lambda t: T.masked_select(t, t > 0))(x("a", 3, 4)),
    "vmap dim": lambda T, x: T.func.vmap(lambda t: t, in_dims=3)(x("a", 3, 4)),
    "vmap dims length": lambda T, x: T.func.vmap(lambda s, t: s, in_dims=(0,))(x("a", 3), x("b", 3)),
    "vmap dims type": lambda T, x: T.func.vmap(lambda t: t, in_dims="a")(x("a", 3)),
    "vmap dims None": lambda T, x: T.func.vmap(lambda t: t, in_dims=None)(x("a", 3)),
    "vmap all None": lambda T, x: T.func.vmap(lambda s, t: s, in_dims=(None, None))(x("a", 3), x("b", 3)),
    "vmap sizes": lambda T, x: T.func.vmap(lambda s, t: s)(x("a", 3), x("b", 4)),
    "vmap no inputs": lambda T, x: T.func.vmap(lambda: 1)(),
    "vmap of a number": lambda T, x: T.func.vmap(lambda t: t)(3),
    "vmap to a number": lambda T, x: T.func.vmap(lambda t: 3)(x("a", 3)),
    "vmap to None": lambda T, x: T.func.vmap(lambda t: None)(x("a", 3)),
    "vmap out None": lambda T, x: T.func.vmap(lambda t: t, out_dims=None)(x("a", 3)),
    "vmap out length": lambda T, x: T.func.vmap(lambda t: (t, t), out_dims=(0,))(x("a", 3)),
    "vmap out dim": lambda T, x: T.func.vmap(lambda t: t, out_dims=3)(x("a", 3)),
    "vmap random": lambda T, x: T.func.vmap(lambda t: t + T.rand(4))(x("a", 3, 4)),
    "vmap dropout": lambda T, x: T.func.vmap(T.nn.functional.dropout)(x("a", 3, 4)),
    "vmap randomness": lambda T, x: T.func.vmap(lambda t: t, randomness="foo")(x("a", 3, 4)),
    "vmap chunk": lambda T, x: T.func.vmap(lambda t: t, chunk_size=0)(x("a", 3, 4)),
    "vmap 0-d": lambda T, x: T.func.vmap(lambda t: t)(x("a")),
    "vmap shapes": lambda T, x: T.func.vmap(lambda t, u: t + u)(x("a", 3, 4), x("b", 3, 5)),
    "vmap sum dim": lambda T, x: T.func.vmap(lambda t: t.sum(1))(x("a", 3, 4)),
    "vmap backward": lambda T, x: T.func.vmap(lambda t: t.sum().backward())(x("a", 3, 4)),
    "grad not scalar": lambda T, x: T.func.grad(lambda t: t)(x("a", 3)),
    "grad not tensor": lambda T, x: T.func.grad(lambda t: 3)(x("a", 3)),
    "grad of float": lambda T, x: T.func.grad(lambda t: t)(2.0),
    "grad of integers": lambda T, x: T.func.grad(lambda t: t.sum().double())(x("a", 3, high=4)),
    "grad tuple": lambda T, x: T.func.grad(lambda t: (t.sum(),))(x("a", 3)),
    "grad argnums": lambda T, x: T.func.grad(lambda t: t.sum(), argnums=2)(x("a", 3)),
    "grad argnums twice": lambda T, x: T.func.grad(lambda s, t: s @ t, argnums=(0, 0))(x("a", 3), x("b", 3)),
    "grad no aux": lambda T, x: T.func.grad(lambda t: t.sum(), has_aux=True)(x("a", 3)),
    "grad backward": lambda T, x: T.func.grad(lambda t: (t.sum().backward(), t.sum())[1])(x("a", 3)),
    "jvp shapes": lambda T, x: T.func.jvp(lambda t: t, (x("a", 3, 4),), (x("a", 4),)),
    "jvp not tuple": lambda T, x: T.func.jvp(lambda t: t, x("a", 3), x("a", 3)),
    "jvp not tensor": lambda T, x: T.func.jvp(lambda t: 3, (x("a", 3),), (x("a", 3),)),
    "jvp integers": lambda T, x: T.func.jvp(lambda t: t, (x("a", 3, high=4),), (x("a", 3, high=4),)),
    "vjp not tensor": lambda T, x: T.func.vjp(lambda t: 3, x("a", 3)),
    "vjp cotangent shape": lambda T, x: T.func.vjp(lambda t: t, x("a", 3, 4))[1](x("b", 4)),
    "vjp cotangent structure": lambda T, x: T.func.vjp(lambda t: (t, t), x("a", 3))[1](x("b", 3)),
    "vjp no cotangent": lambda T, x: T.func.vjp(lambda t: t.sum(), x("a", 3))[1](),
    "jacrev integers": lambda T, x: T.func.jacrev(lambda t: t)(x("a", 3, high=4)),
    "linearize shape": lambda T, x: T.func.linearize(lambda t: t.sin(), x("a", 3, 4))[1](x("b", 4)),
    "functional_call type": lambda T, x: T.func.functional_call(T.nn.Linear(2, 2), 3, x("a", 2)),
    "functional_call strict": lambda T, x: T.func.functional_call(
        T.nn.Linear(2, 2).double(), {"w": x("a", 2)}, x("a", 2), strict=True
    ),
    "stack nothing": lambda T, x: T.func.stack_module_state([]),
    "stack kinds": lambda T, x: T.func.stack_module_state([T.nn.Linear(2, 2), T.nn.ReLU()]),
    "dual outside": lambda T, x: T.autograd.forward_ad.make_dual(x("a", 3), x("b", 3)),
    "jacobian strict": lambda T, x: T.autograd.functional.jacobian(lambda t: x("b", 2), x("a", 3), strict=True),
    "jacobian type": lambda T, x: T.autograd.functional.jacobian(lambda t: t, 3),
    "hessian not scalar": lambda T, x: T.autograd.functional.hessian(lambda t: t, x("a", 3)),
    "vjp v missing": lambda T, x: T.autograd.functional.vjp(lambda t: t, x("a", 3)),
    "vjp v shape": lambda T, x: T.autograd.functional.vjp(lambda t: t, x("a", 3), x("b", 2)),
    "gradcheck nothing": lambda T, x: T.autograd.gradcheck(lambda t: t, x("a", 3)),
    "disabled hooks": lambda T, x: _disabled(T, x),
    "checkpoint keywords": lambda T, x: _checkpoint(T, x, use_reentrant=True, b=2),
    "checkpoint determinism": lambda T, x: _checkpoint(T, x, use_reentrant=False, determinism_check="foo"),
    "backward twice": lambda T, x: _twice(T, x),
    "changed in place": lambda T, x: _changed(T, x),
    "function count": lambda T, x: _wrong(T, x, lambda g: (g, g)),
    "function shape": lambda T, x: _wrong(T, x, lambda g: g[:2]),
    "function type": lambda T, x: _wrong(T, x, lambda g: 3),
    "function no backward": lambda T, x: _wrong(T, x, None),
    "function save": lambda T, x: _wrong(T, x, lambda g: g, save=3),
    "function no jvp": lambda T, x: T.func.jvp(functions(T)[3].apply, (x("a", 3),), (x("t", 3),)),
    "once differentiable": lambda T, x: _once(T, x),
    "anomaly": lambda T, x: _anomaly(T, x),
    "multi hook mode": lambda T, x: T.autograd.graph.register_multi_grad_hook([], print, mode="foo"),
}.items():
    _raising(_name, _call)


def _disabled(T, x):
    with T.autograd.graph.disable_saved_tensors_hooks("no"), T.autograd.graph.save_on_cpu():
        pass


def _checkpoint(T, x, **how):
    from importlib import import_module

    return import_module(f"{T.__name__}.utils.checkpoint").checkpoint(
        lambda a, b=1: a * b, x("a", 3).requires_grad_(), **how
    )


def _twice(T, x):
    y = (x("a", 3).requires_grad_() ** 2).sum()
    y.backward()
    y.backward()


def _changed(T, x):
    y = x("a", 3).requires_grad_().exp()
    z = y * y
    y.add_(1)
    z.sum().backward()


def _wrong(T, x, given, save=None):
    class Wrong(T.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            if save is not None:
                ctx.save_for_backward(save)
            return a * 1

        if given is not None:

            @staticmethod
            def backward(ctx, g):
                return given(g)

    Wrong.apply(x("a", 3).requires_grad_()).sum().backward()


def _once(T, x):
    from importlib import import_module

    once = import_module(f"{T.__name__}.autograd.function").once_differentiable

    class Square(T.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return a * a

        @staticmethod
        @once
        def backward(ctx, g):
            return ctx.saved_tensors[0] * 2 * g

    a = x("a", 3).requires_grad_()
    (g,) = T.autograd.grad(Square.apply(a * a).sum() ** 2, a, create_graph=True)
    g.sum().backward()


def _anomaly(T, x):
    with T.autograd.detect_anomaly():
        a = x("a", 3).requires_grad_()
        (T.sqrt(a * 0) * 0).sum().backward()
