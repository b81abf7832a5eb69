"""The GPU's own kernels and NVIDIA's libraries in float32, float16 and bfloat16, against float64 on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.core.errors import LabelError, MlkitError
from mlkit.nn import functional as F

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not mlkit.cuda.is_available(), reason="needs an NVIDIA GPU and CuPy"),
]

TOLERANCE = {mlkit.float64: 1e-10, mlkit.float32: 2e-5, mlkit.float16: 4e-3, mlkit.bfloat16: 3e-2}
TYPES = list(TOLERANCE)


def rng(seed=0):
    return np.random.default_rng(seed)


def outcome(fn, arrays, dtype, place, weights=()):
    """fn's results and the gradients of all arrays, as float64."""
    tensors = []
    for i, a in enumerate(arrays):
        if a.dtype.kind != "f":
            tensors.append(mlkit.tensor(a, device=place))
            continue
        kind = mlkit.float32 if i in weights and dtype in (mlkit.float16, mlkit.bfloat16) else dtype
        rounded = mlkit.tensor(a).to(kind)  # the reference gets the numbers that the GPU gets
        rounded = rounded.to(mlkit.float64) if place == "cpu" else rounded.to(place)
        tensors.append(rounded.requires_grad_())
    out = fn(*tensors)
    out = out[0] if isinstance(out, tuple) else out
    ramp = mlkit.tensor(np.cos(np.arange(out.numel())), device=place).reshape(out.shape).to(dtype).to(out.dtype)
    (out * ramp).sum(
        dtype=mlkit.float64 if place == "cpu" else mlkit.float32 if dtype.itemsize < 8 else dtype
    ).backward()
    grads = [t.grad for t in tensors if t.requires_grad]
    return [x.detach().cpu().to(mlkit.float64).numpy() for x in (out, *grads)]


def agree(fn, arrays, dtype, weights=(), loose=1.0):
    want = outcome(fn, arrays, dtype, "cpu", weights)
    got = outcome(fn, arrays, dtype, "cuda", weights)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.shape == b.shape
        size = np.sqrt((b**2).mean()) + 1e-30
        off = np.sqrt(((a - b) ** 2).mean()) / size
        assert off < TOLERANCE[dtype] * loose, f"result {i}: relative error {off:.3g}"


PRODUCTS = {
    "plain": (lambda a, b: a @ b, (33, 17), (17, 29)),
    "turned": (lambda a, b: a.t() @ b.t(), (17, 33), (29, 17)),
    "batch": (lambda a, b: a @ b, (5, 33, 16), (5, 16, 8)),
    "shared": (lambda a, b: a @ b, (5, 3, 16), (16, 8)),
    "broadcast": (lambda a, b: a @ b, (2, 1, 3, 16), (4, 16, 8)),
    "heads": (lambda a, b: a.transpose(1, 2) @ b.permute(0, 2, 3, 1), (2, 9, 3, 16), (2, 7, 3, 16)),
    "spread heads": (
        lambda a, b: a @ b[:, :, None].expand(2, 3, 4, 8, 5).reshape(2, 12, 8, 5),
        (2, 12, 6, 8),
        (2, 3, 8, 5),
    ),
    "spread batch": (lambda a, b: a @ b[:, None].expand(2, 3, 8, 5), (2, 3, 6, 8), (2, 8, 5)),
    "vector": (lambda a, b: a @ b, (3, 16), (16,)),
    "linear": (lambda a, b, c: F.linear(a, b, c), (4, 5, 24), (16, 24), (16,)),
    "odd linear": (lambda a, b, c: F.linear(a, b, c), (5, 7), (3, 7), (3,)),
    "gaps": (lambda a, b: a[:, ::2] @ b[::2], (5, 14), (14, 6)),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name, dtype):
    fn, *shapes = PRODUCTS[name]
    agree(fn, [rng(i).normal(size=s) for i, s in enumerate(shapes)], dtype)


def test_complex_products_and_empty_ones():
    a, b = (rng(i).normal(size=(4, 4)) + 1j * rng(i + 5).normal(size=(4, 4)) for i in range(2))
    got = (mlkit.tensor(a, device="cuda") @ mlkit.tensor(b, device="cuda").t()).cpu().numpy()
    np.testing.assert_allclose(got, a @ b.T, rtol=1e-12)
    assert (mlkit.ones(2, 0, device="cuda") @ mlkit.ones(0, 3, device="cuda")).cpu().numpy().tolist() == [[0] * 3] * 2
    assert (mlkit.ones(0, 2, device="cuda") @ mlkit.ones(2, 3, device="cuda")).shape == (0, 3)


ROWS = {
    "softmax": (lambda x: x.softmax(-1), (7, 1003)),
    "log_softmax": (lambda x: x.log_softmax(-1), (70, 5)),
    "softmax of another dim": (lambda x: x.softmax(0), (7, 5)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (96,), w, b), (5, 33, 96), (96,), (96,)),
    "layer_norm of many rows": (lambda x, w, b: F.layer_norm(x, (64,), w, b), (5003, 64), (64,), (64,)),
    "layer_norm of long rows": (lambda x, w, b: F.layer_norm(x, (2056,), w, b), (301, 2056), (2056,), (2056,)),
    "layer_norm of longer rows": (lambda x, w, b: F.layer_norm(x, (8192,), w, b), (7, 8192), (8192,), (8192,)),
    "layer_norm of odd rows": (lambda x, w, b: F.layer_norm(x, (8203,), w, b), (7, 8203), (8203,), (8203,)),
    "layer_norm without bias": (lambda x, w: F.layer_norm(x, (768,), w), (65, 768), (768,)),
    "layer_norm alone": (lambda x: F.layer_norm(x, (768,)), (65, 768)),
    "rms_norm of long rows": (lambda x, w: F.rms_norm(x, (1032,), w), (37, 1032), (1032,)),
    "layer_norm of two": (lambda x, w, b: F.layer_norm(x, (4, 5), w, b), (6, 4, 5), (4, 5), (4, 5)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (100,), w), (37, 100), (100,)),
    "sum of columns": (lambda x: x.sum(0), (1000, 33)),
    "sum of rows": (lambda x: x.sum(-1), (100, 333)),
    "sum of images": (lambda x: x.sum((0, 2, 3)), (4, 8, 5, 6)),
    "sum of all": (lambda x: x.sum(), (40, 50)),
    "mean of all": (lambda x: x.mean(), (40, 50)),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (6, 8, 5, 7), (8,), (8,)),
    "batch_norm of odd": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (6, 3, 5, 7), (3,), (3,)),
    "batch_norm of rows": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (60, 12), (12,), (12,)),
    "batch_norm last": (
        lambda x, w, b: F.batch_norm(x.permute(0, 3, 1, 2), None, None, w, b, True), (6, 5, 7, 64), (64,), (64,)),
    "batch_norm of many rows": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (5003, 40), (40,), (40,)),
    "batch_norm of many": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (40, 12, 16, 17), (12,), (12,)),
    "batch_norm last of many": (
        lambda x, w, b: F.batch_norm(x.permute(0, 3, 1, 2), None, None, w, b, True), (20, 17, 19, 136), (136,), (136,)),
    "max_pool": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 5, 11, 9)),
    "max_pool last": (lambda x: F.max_pool2d(x.permute(0, 3, 1, 2), 2), (2, 8, 8, 6)),
    "lstm": (lambda x, h, c, w: mlkit.core.dispatch.ops.lstm_sequence(x, h, c, w)[0], (5, 3, 32), (3, 8), (3, 8), (32, 8)),
    "gru": (lambda x, h, w, b: mlkit.core.dispatch.ops.gru_sequence(x, h, w, b), (5, 3, 24), (3, 8), (24, 8), (24,)),
    "attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), *[(2, 3, 33, 16)] * 3),
    "causal attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *[(2, 3, 64, 32)] * 3),
    "attention of views": (
        lambda q, k, v: F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True),
        *[(2, 40, 3, 16)] * 3,
    ),
}  # fmt: skip
MIXED = dict.fromkeys((name for name in ROWS if name.startswith("batch_norm") and "odd" not in name), (1, 2))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ROWS)
def test_rows_images_and_sequences(name, dtype):
    fn, *shapes = ROWS[name]
    agree(fn, [rng(i).normal(size=s) for i, s in enumerate(shapes)], dtype, MIXED.get(name, ()), loose=2.0)


CONVOLUTIONS = {
    "3x3": (F.conv2d, (2, 16, 9, 10), (24, 16, 3, 3), (24,), {"padding": 1}),
    "1x1": (F.conv2d, (2, 16, 9, 10), (24, 16, 1, 1), (24,), {}),
    "1x1 last": (lambda x, w, b: F.conv2d(x.permute(0, 3, 1, 2), w, b), (2, 9, 10, 16), (24, 16, 1, 1), (24,), {}),
    "1x1 strided": (F.conv2d, (2, 16, 9, 10), (24, 16, 1, 1), (24,), {"stride": 2}),
    "1x1 padded": (F.conv2d, (2, 16, 9, 10), (24, 16, 1, 1), (24,), {"padding": 1}),
    "1x1 groups": (F.conv2d, (2, 16, 9, 10), (24, 8, 1, 1), (24,), {"groups": 2}),
    "1x1 of one channel": (F.conv2d, (3, 1, 9, 10), (5, 1, 1, 1), (5,), {}),
    "1d of one place": (F.conv1d, (2, 8, 30), (16, 8, 1), (16,), {}),
    "strided": (F.conv2d, (2, 3, 17, 17), (8, 3, 7, 7), (8,), {"stride": 2, "padding": 3}),
    "groups": (F.conv2d, (2, 16, 9, 9), (32, 8, 3, 3), (32,), {"groups": 2, "dilation": 2}),
    "depthwise": (F.conv2d, (2, 16, 9, 9), (16, 1, 3, 3), (16,), {"groups": 16, "padding": 1}),
    "1d": (F.conv1d, (2, 8, 30), (16, 8, 5), (16,), {"padding": 2}),
    "3d": (F.conv3d, (1, 8, 6, 7, 8), (8, 8, 3, 3, 3), (8,), {"padding": 1}),
    "turned": (F.conv_transpose2d, (2, 16, 5, 6), (16, 8, 3, 3), (8,), {"stride": 2, "padding": 1}),
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name, dtype):
    fn, x, w, b, how = CONVOLUTIONS[name]
    arrays = [rng(i).normal(size=s) * (0.2 if i else 1) for i, s in enumerate((x, w, b))]
    with mlkit.backends.cudnn.flags(allow_tf32=False):
        agree(lambda *t: fn(*t, **how), arrays, dtype, loose=2.0)


@pytest.mark.parametrize("dtype", TYPES)
def test_cross_entropy(dtype):
    labels = rng(1).integers(0, 1003, 37)
    labels[[3, 20]] = -100
    agree(lambda x, y: F.cross_entropy(x, y), [rng().normal(size=(37, 1003)), labels], dtype, loose=2.0)
    agree(
        lambda x, y: F.cross_entropy(x, y, reduction="sum"), [rng().normal(size=(37, 1003)), labels], dtype, loose=2.0
    )


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_embedding(dtype, same):
    index = rng(2).integers(0, 11, (8, 9))
    mlkit.use_deterministic_algorithms(same)
    try:
        agree(lambda i, w: F.embedding(i, w, padding_idx=2), [index, rng().normal(size=(11, 70))], dtype, loose=2.0)
    finally:
        mlkit.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", TYPES)
def test_dropout_draws_the_stream_of_the_cpu(dtype):
    x = mlkit.tensor(rng().normal(size=1003) + 5).to(dtype)
    found = []
    for place in ("cpu", "cuda"):
        mlkit.manual_seed(7)
        found.append(F.dropout(x.to(place), 0.3).cpu().to(mlkit.float64).numpy())
    assert ((found[0] == 0) == (found[1] == 0)).all() and 200 < (found[0] == 0).sum() < 400
    np.testing.assert_allclose(found[1], found[0], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("make", [
    lambda ps: mlkit.optim.AdamW(ps, 1e-2), lambda ps: mlkit.optim.Adam(ps, 1e-2, weight_decay=0.1, maximize=True),
    lambda ps: mlkit.optim.SGD(ps, 0.1), lambda ps: mlkit.optim.SGD(ps, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
])  # fmt: skip
def test_optimizers_in_one_launch(make):
    found = []
    for place in ("cpu", "cuda"):
        ps = [mlkit.tensor(rng(i).normal(size=s).astype(np.float32), device=place).requires_grad_()
              for i, s in enumerate([(3, 4), (5,), (40000,), ()])]  # fmt: skip
        opt = make(ps)
        for step in range(4):
            opt.zero_grad()
            sum((p * p).sum() * (i + 1 + step) for i, p in enumerate(ps)).backward()
            norm = nn.utils.clip_grad_norm_(ps, 3.0)
            opt.step()
        found.append([p.detach().cpu().numpy() for p in ps] + [norm.cpu().numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("shape", [(5003, 40), (40, 12, 16, 17), (20, 136, 17, 19)])
@pytest.mark.parametrize("last", [False, True])
def test_a_batch_norm_finds_the_same_sums_each_time(shape, last):
    x = mlkit.tensor(rng().normal(size=shape).astype(np.float32), device="cuda")
    if last and len(shape) > 2:
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    x.requires_grad_()
    found = set()
    for _ in range(30):
        weight = mlkit.ones(shape[1], device="cuda", requires_grad=True)
        out = F.batch_norm(x, None, None, weight, None, True)
        (out * out).sum().backward()
        found.add((out.detach().cpu().numpy().tobytes(), weight.grad.cpu().numpy().tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("fn", [lambda x, g: g * x, lambda x, g: x - g, lambda x, g: g > x])
def test_a_result_lies_as_the_first_array_of_its_shape(fn):
    x = mlkit.tensor(rng().normal(size=(2, 5, 6, 3)).astype(np.float32)).permute(0, 3, 1, 2)
    g = mlkit.tensor(rng(1).normal(size=(2, 3, 1, 1)).astype(np.float32)).expand(2, 3, 5, 6)
    x_there = x.permute(0, 2, 3, 1).cuda().permute(0, 3, 1, 2)
    found = fn(x_there, g[:, :, :1, :1].cuda().expand(2, 3, 5, 6))
    assert found.stride() == x_there.stride() == (90, 1, 18, 3)
    np.testing.assert_allclose(found.cpu().numpy(), fn(x, g).numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["round", "floor", "ceil", "trunc"])
def test_steps_are_taken_in_every_type(name, dtype):
    x = mlkit.tensor([-1.5, -0.75, 0.125, 0.5, 2.5, 7.75], dtype=dtype)
    assert getattr(x.cuda(), name)().tolist() == getattr(np, name)(x.double().numpy()).tolist()


def test_running_statistics_move_as_on_the_cpu():
    x = rng().normal(size=(6, 8, 5, 5)).astype(np.float32)
    found = []
    for place in ("cpu", "cuda"):
        layer = nn.BatchNorm2d(8).to(place)
        layer(mlkit.tensor(x, device=place))
        found.append([layer.running_mean.cpu().numpy(), layer.running_var.cpu().numpy()])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_a_bad_label_is_reported_where_the_gpu_is_waited_for():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.criterion = nn.CrossEntropyLoss()

        def forward(self, x, y):
            return self.criterion(x, y)

    loss = Net()(mlkit.randn(4, 3, device="cuda"), mlkit.tensor([0, 3, 1, 2], device="cuda"))
    with pytest.raises(LabelError, match="Target 3 is out of bounds") as caught:
        loss.item()
    assert "criterion" in str(caught.value) and "test_gpu_kernels_cuda.py" in str(caught.value)
    mlkit.cuda.synchronize()  # said once


def test_a_bad_index_is_reported_where_the_gpu_is_waited_for():
    table = nn.Embedding(5, 3).to("cuda")
    table(mlkit.tensor([[1, 5]], device="cuda"))
    with pytest.raises(MlkitError, match="index 5 is out of bounds"):
        mlkit.cuda.synchronize()


def test_the_gradient_scaler_skips_a_step_with_infinities():
    p = mlkit.ones(5, device="cuda").requires_grad_()
    opt, scaler = mlkit.optim.SGD([p], 0.1), mlkit.amp.GradScaler("cuda", init_scale=4.0)
    for factor, expected in ((1.0, 0.9), (float("inf"), 0.9), (1.0, 0.8)):
        opt.zero_grad()
        scaler.scale((p * factor).sum()).backward()
        scaler.step(opt)
        scaler.update()
        np.testing.assert_allclose(p.detach().cpu().numpy(), expected, rtol=1e-6)
    assert scaler.get_scale() == 2.0


def test_an_in_place_result_is_taken_over_only_where_nobody_can_tell():
    found = {}
    for place in ("cpu", "cuda"):
        x = mlkit.tensor(rng().normal(size=(4, 6)), device=place).requires_grad_()
        plain = (x * 2).relu_()  # nobody else has the product
        shared = x * 3
        other = shared.detach()
        shared.relu_()
        viewed = x * 4
        row = viewed[1]
        viewed.relu_()
        twice = (x * 5).relu_().mul_(2)
        saved = x * 6
        square = saved * saved
        saved.relu_()
        (plain.sum() + (shared * other).sum() + row.sum() + (twice * twice).sum() + viewed.exp().sum()).backward()
        found[place] = [t.detach().cpu().numpy() for t in (plain, shared, other, row, viewed, twice, x.grad)]
        with pytest.raises(MlkitError, match="modified by an inplace operation"):
            square.sum().backward()
    for a, b in zip(found["cuda"], found["cpu"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
