"""What the files under ``files/`` hold, built with either library (``T``), and how to compare two such objects."""

from __future__ import annotations

from collections import Counter, OrderedDict

DTYPES = """bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128 uint16 uint32
uint64""".split()


def contents(T) -> dict:  # noqa: N803 - the library, as in cases.py
    """Tensors of every dtype, views that share memory, and every allowed container."""
    base = T.arange(12.0).reshape(3, 4)
    parameter = T.nn.Parameter(T.tensor([1.5, -2.0]))
    again = [1, 2]
    return {
        "dtypes": {name: T.tensor([0, 1, 3]).to(getattr(T, name)) for name in DTYPES},
        "base": base,
        "rows": base[1:, ::2],
        "transposed": base.T,
        "expanded": base[0, :1].expand(4),
        "empty": T.zeros(0, 3),
        "number": T.tensor(2.5),
        "wants": T.ones(2, requires_grad=True),
        "parameter": parameter,
        "same parameter": parameter,
        "frozen": T.nn.Parameter(T.ones(1), requires_grad=False),
        "meta": T.zeros(2, 3, device="meta"),
        "size": T.Size([2, 3]),
        "dtype": T.bfloat16,
        "device": T.device("cpu"),
        "cuda": T.device("cuda", 1),
        "ordered": OrderedDict([("b", 1), ("a", 2)]),
        "counter": Counter([3, 3, 5]),
        "set": {1, 2, 3},
        "tuple": (1, (2.5, "three", None), [], {}, ()),
        "numbers": [0, 255, 256, 65536, -1, 2**31, -(2**40), 2**100, 1e300, float("inf"), 1 - 2j, True, False],
        "text": "Größe ✓",
        "bytes": b"\x00\xff\x80",
        "bytearray": bytearray(b"\x01\xfe"),
        "lists": [again, again],
        3: "three",
        (1, 2): "pair",
    }


def network(T):  # noqa: N803
    """A small model with every kind of state: weights, running statistics, a counter."""
    nn = T.nn
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))


def step(T, model, optimizer, x) -> float:  # noqa: N803
    """One step of training; the loss before it."""
    optimizer.zero_grad()
    loss = (model(x) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


OPTIMIZERS = {
    "adam": lambda T, p: T.optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1),
    "adamw": lambda T, p: T.optim.AdamW(p, lr=0.01),
    "sgd": lambda T, p: T.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
}


def picture(T):  # noqa: N803
    """The model's input."""
    return T.linspace(-1, 1, 4 * 16).reshape(4, 1, 4, 4)


def same(T, a, b, path="") -> None:  # noqa: N803
    """Both hold the same things: types, dtypes, shapes, values."""
    if isinstance(a, T.Tensor):
        assert isinstance(b, T.Tensor), path
        assert type(a).__name__ == type(b).__name__ and a.dtype == b.dtype and a.shape == b.shape, path
        assert a.requires_grad == b.requires_grad and str(a.device) == str(b.device), path
        if str(a.device) != "meta":
            assert bool((a == b).all()), path
    elif isinstance(a, dict):
        assert type(a) is type(b) and list(map(str, a)) == list(map(str, b)), path
        for x, y in zip(a.items(), b.items(), strict=True):
            same(T, x[0], y[0], path)
            same(T, x[1], y[1], f"{path}/{x[0]}")
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(T, x, y, f"{path}/{i}")
    else:
        assert type(a) is type(b) and a == b, path


def sharing(found: dict) -> None:
    """What shared memory before it was saved shares it still."""
    found["base"][1, 2] = 77.0
    assert found["rows"][0, 1] == 77.0 and found["transposed"][2, 1] == 77.0
    assert found["same parameter"] is found["parameter"]
    assert found["lists"][0] is found["lists"][1]
    assert found["rows"].stride() == (4, 2) and found["expanded"].stride() == (0,)
