"""Convolution and attention through cuDNN's graphs, on the arrays as they lie.

A graph is built once per shape, type and layout and kept with its plan. Images and filters are given with channels last
in memory behind an (N, C, ...) view, as their results are, so a chain of convolutions never reorders its data. Where
cuDNN or its Python binding is missing, or has no plan for a case, CuPy's way computes the same.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import threading
import warnings
from typing import Any

import numpy as np

from mlkit.backends.cupy import blas, source
from mlkit.backends.cupy.launch import Launch
from mlkit.core import config
from mlkit.core.errors import MlkitError
from mlkit.ops.conv import output_size

#: plans kept per thread and GPU; the oldest go first
KEPT = 4096


@functools.cache
def binding() -> Any:
    """cuDNN's Python binding, or None; said once why."""
    reason = "nvidia-cudnn-frontend is not installed"
    if importlib.util.find_spec("cudnn") is not None:
        try:
            found = importlib.import_module("cudnn")
            found.backend_version()
            return found
        except Exception as error:
            reason = f"it does not load ({error})"
    warnings.warn(
        f"cuDNN cannot be used: {reason}. Convolution and attention run on plain CuPy, several times slower. "
        'pip install "mlkit[cuda13]" brings it.',
        UserWarning,
        stacklevel=2,
    )
    return None


def usable() -> bool:
    """Whether cuDNN and its binding are installed."""
    if importlib.util.find_spec("cudnn") is None:
        return False
    return binding() is not None


def version() -> int:
    """cuDNN's version as a number: 91900 for 9.19.0."""
    return binding().backend_version()


class _Local(threading.local):
    """Handles (with the stream they were last told of) and plans of a thread, per GPU."""

    def __init__(self) -> None:
        self.handles: dict[int, list] = {}
        self.plans: dict[tuple, Plan | None] = {}
        self.convolutions: dict[tuple, tuple | None] = {}


_local = _Local()


def handle(xp):
    """(this thread's handle on the stream in use, the GPU's number)."""
    number = xp.cuda.runtime.getDevice()
    found = _local.handles.get(number)
    if found is None:
        found = _local.handles[number] = [binding().create_handle(), None]
    stream = xp.cuda.get_current_stream().ptr
    if found[1] != stream:
        binding().set_stream(found[0], stream)
        found[1] = stream
    return found[0], number


class Plan:
    """A graph that has been built, and the memory that it works in."""

    def __init__(self, graph, notes: list) -> None:
        cudnn = binding()
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        if notes:
            graph.deselect_numeric_notes(notes)
        graph.check_support()
        graph.build_plans()
        self.graph, self.workspace = graph, graph.get_workspace_size()
        self.direct, self.count, self.index = _direct(graph)
        self.places = np.zeros(max(1, self.count), np.uint64)  # the addresses of a call, in the order of their numbers
        self.at = self.places.ctypes.data

    def run(self, xp, to, *arrays) -> None:
        """Run with the arrays in the order of their numbers, from 1."""
        memory = xp.cuda.alloc(self.workspace) if self.workspace else None
        room = memory.ptr if memory is not None else 0
        if self.direct is not None and self.count == len(arrays):
            places = self.places
            for i, x in enumerate(arrays):
                places[i] = x.data.ptr
            self.direct(self.at, self.count, room, to.backend_handle, self.index)
        else:
            addresses = {number: x.data.ptr for number, x in enumerate(arrays, 1)}
            self.graph.execute(addresses, room or None, handle=to)


def _direct(graph) -> tuple[Any, int, int]:
    """(the compiled graph's own ``execute`` that takes a table of addresses, how many, the plan's place) where this
    version of the binding has it: tens of microseconds less a call than the one in Python, which describes every
    argument first. (None, 0, 0) where it looks otherwise."""
    try:
        if graph.selected_engine is not None:
            return None, 0, 0
        lowered = graph._lowered_graph
        index = graph._materialize_backend_plan(graph._plan_index).cpp_index if graph._plans else None
        lowered._prepare_variant_pack_template()
        numbers = list(lowered._get_variant_pack_uids_sorted())
        if numbers != list(range(1, len(numbers) + 1)):
            return None, 0, 0
        return lowered._execute_with_raw_ptrs, len(numbers), -1 if index is None else index
    except AttributeError:
        return None, 0, 0


def plan(xp, key: tuple, build) -> tuple[Plan | None, Any]:
    """The plan under that key, built by ``build(handle)`` when it is new; None where cuDNN has none."""
    to, number = handle(xp)
    key = (number, *key)
    plans = _local.plans
    if key not in plans:
        if len(plans) >= KEPT:
            del plans[next(iter(plans))]
        try:
            plans[key] = build(to)
        except MlkitError:  # no room on the GPU, say: not cuDNN's refusal
            raise
        except Exception as error:  # cuDNN has no engine for it: each refusal is another exception of its binding
            plans[key] = None
            warnings.warn(
                f"cuDNN refuses this operation ({type(error).__name__}: {error}): {key}. It runs on plain CuPy, slower.",
                UserWarning,
                stacklevel=2,
            )
    return plans[key], to


def _type(dtype):
    kinds = binding().data_type
    return {"float32": kinds.FLOAT, "float16": kinds.HALF, "bfloat16": kinds.BFLOAT16}[source.name(dtype)]


def _graph(dtype, to):
    cudnn = binding()
    full = cudnn.data_type.FLOAT
    return cudnn.pygraph(io_data_type=_type(dtype), intermediate_data_type=full, compute_data_type=full, handle=to)


def _fits(*arrays) -> bool:
    if not config.cudnn or any(source.name(x.dtype) not in ("float32", "float16", "bfloat16") for x in arrays):
        return False
    return all(x.dtype == arrays[0].dtype for x in arrays) and binding() is not None


# --- convolution ----------------------------------------------------------------------------------------------------------


def _steps_last(shape: tuple) -> list[int]:
    """The steps (in elements) of an (N, C, *spatial) array with channels last."""
    return list(source.last_strides(shape, 1)[0])


def _last(xp, x):
    """x, or a copy, with channels last in memory."""
    if source.lies_last(x.shape, x.strides, x.itemsize):
        return x
    if x.flags.c_contiguous:
        return _turned(xp, x, True)
    out = source.channels_last(xp, x.shape, x.dtype)
    out[...] = x
    return out


# channels brought behind the places (b is then the places) or back before them
_TURN = r"""
extern "C" __global__ void turn(const T* x, T* out, i64 n, i64 rows, i64 columns) {
    const J i = blockIdx.x * (J)blockDim.x + threadIdx.x, a = rows, b = columns;
    if (i >= n) return;
    const J k = i % a, rest = i / a;
    out[i] = x[(rest / b * a + k) * b + rest % b];
}
"""
#: per shape, dtype and direction: the strides and bytes of the copy, and its launch
_turns: dict[tuple, tuple] = {}


def _turned(xp, x, last: bool):
    """A copy of an (N, C, *spatial) array: with channels last of one in C order, or the other way round."""
    key = x.shape, x.dtype, last
    found = _turns.get(key)
    if found is None:
        if len(_turns) >= KEPT:
            _turns.clear()
        found = _turns[key] = _turn(xp, x, last)
    strides, size, run = found
    out = xp.ndarray(x.shape, x.dtype, xp.cuda.alloc(size), strides)
    if size:
        run(x.data.ptr, out.data.ptr)
    return out


def _turn(xp, x, last: bool) -> tuple:
    strides, size = source.last_strides(x.shape, x.itemsize)
    channels, places = x.shape[1], math.prod(x.shape[2:])
    rows, columns = (channels, places) if last else (places, channels)
    place = "int" if x.size + 256 < 1 << 31 else "i64"
    kernel = source.kernel(xp, "turn", _TURN, f"typedef {place} J;", T=source.name(x.dtype))
    numbers = (np.int64(n) for n in (x.size, rows, columns))
    return strides if last else None, size, Launch(xp, kernel, (-(-x.size // 256),), (256,), "PP", *numbers)


def _convolution(xp, kind: str, dtype, x: tuple, w: tuple, y: tuple, stride, padding, dilation):
    """(plan, handle) of a convolution between those shapes: "forward", "input" or "weight" says what it computes."""
    tf32, same = config.cudnn_tf32, config.cudnn_deterministic
    key = ("convolution", kind, source.name(dtype), x, w, y, stride, padding, dilation, tf32, same)

    def build(to):
        cudnn = binding()
        graph, stored = _graph(dtype, to), _type(dtype)
        shapes = {"x": x, "w": w, "y": y}
        made = {"forward": "y", "input": "x", "weight": "w"}[kind]
        numbers = {name: i for i, name in enumerate([n for n in "xwy" if n != made] + [made], 1)}

        def tensor(name):
            shape = shapes[name]
            strides = _steps_last(shape)
            return graph.tensor(dim=list(shape), stride=strides, data_type=stored, uid=numbers[name], name=name)

        how = {
            "pre_padding": [p[0] for p in padding],
            "post_padding": [p[1] for p in padding],
            "stride": list(stride),
            "dilation": list(dilation),
        }
        if kind == "forward":
            out = graph.conv_fprop(image=tensor("x"), weight=tensor("w"), **how)
        elif kind == "input":
            weight = tensor("w")
            out = graph.conv_dgrad(loss=tensor("y"), filter=weight, **how)
        else:
            image = tensor("x")
            out = graph.conv_wgrad(image=image, loss=tensor("y"), **how)
        shape = shapes[made]
        out.set_output(True).set_dim(list(shape)).set_stride(_steps_last(shape)).set_data_type(stored)
        out.set_uid(numbers[made])
        notes = []
        if dtype.name == "float32" and not tf32:
            notes.append(cudnn.numerical_note.TENSOR_CORE)
        if same:
            notes.append(cudnn.numerical_note.NONDETERMINISTIC)
        return Plan(graph, notes)

    return plan(xp, key, build)


def _wide(*shapes):
    """1-d shapes as 2-d ones of height 1."""
    return [(*s[:2], 1, *s[2:]) if len(s) == 3 else tuple(s) for s in shapes]


def _wide_how(stride, padding, dilation):
    if len(stride) == 1:
        return (1, *stride), ((0, 0), *padding), (1, *dilation)
    return tuple(stride), tuple(padding), tuple(dilation)


def _planned(xp, kind: str, a, b, shape, stride, padding, dilation) -> tuple | None:
    """(plan or product, handle, the result) for a convolution of arrays a and b: "forward" of x and weight, "input" of weight and
    g, "weight" of x and g; ``shape`` is that of a gradient. None where cuDNN is not to be used.

    What is looked at each time is kept under the shapes: a training step asks hundreds of times.
    """
    if not config.cudnn or a.dtype.itemsize > 4 or binding() is None:
        return None
    key = (
        kind, xp.cuda.runtime.getDevice(), a.shape, b.shape, a.dtype, b.dtype, shape, stride, padding, dilation,
        config.cudnn_tf32, config.cudnn_deterministic,
    )  # fmt: skip
    kept = _local.convolutions
    try:
        found = kept[key]
    except KeyError:
        if len(kept) >= KEPT:
            kept.clear()
        found = kept[key] = _result(xp, kind, a, b, shape, stride, padding, dilation)
    if found is None:
        return None
    made, wanted, dtype, strides, size = found
    to = handle(xp)[0] if made.__class__ is Plan else None
    return made, to, xp.ndarray(wanted, dtype, xp.cuda.alloc(size), strides)


def _product(kind: str, a, b, shape, stride, padding) -> blas.Product | None:
    """A convolution that looks at one place at a time is a product of matrices, (places, channels) by (channels,
    channels): cuBLAS is asked in half the time that cuDNN takes to be."""
    weight = {"forward": b, "input": a}.get(kind)
    over, into = weight.shape[:2] if weight is not None else shape[:2]
    size = weight.shape[2:] if weight is not None else shape[2:]
    image = shape if kind == "input" else a.shape
    places = image[0] * math.prod(image[2:])
    if math.prod(size) > 1 or any(s != 1 for s in stride) or any(p != (0, 0) for p in padding):
        return None
    if into != image[1] or blas.bindings() is None or max(places, over, into) >= 1 << 31:
        return None
    name = source.name(a.dtype)
    if kind == "forward":
        return blas.Product(name, config.cudnn_tf32, (0, into), (1, into), (places, over, into), False)
    if kind == "input":
        return blas.Product(name, config.cudnn_tf32, (0, over), (0, into), (places, into, over), True)
    return blas.Product(name, config.cudnn_tf32, (1, over), (0, into), (over, into, places), True)


def _result(xp, kind: str, a, b, shape, stride, padding, dilation) -> tuple | None:
    """(plan or product, the result's shape, dtype, strides and bytes); None where cuDNN is not to be used."""
    if not _fits(a, b) or not a.size or not b.size or a.ndim > 5:
        return None
    if kind == "forward":
        spatial = zip(a.shape[2:], b.shape[2:], stride, padding, dilation, strict=True)
        sizes = tuple(output_size(n, k, s, p, d) for n, k, s, p, d in spatial)
        if min(sizes) < 1:
            return None
        wanted = (a.shape[0], b.shape[0], *sizes)
        shapes = a.shape, b.shape, wanted
    else:
        wanted = tuple(shape)
        if not math.prod(wanted):
            return None
        shapes = (wanted, a.shape, b.shape) if kind == "input" else (a.shape, wanted, b.shape)
    found: Any = _product(kind, a, b, wanted, stride, padding)
    if found is None:
        found, _ = _convolution(xp, kind, a.dtype, *_wide(*shapes), *_wide_how(stride, padding, dilation))
    if found is None:
        return None
    strides, size = source.last_strides(wanted, a.itemsize)
    if kind == "weight" and math.prod(wanted[2:]) == 1:  # the same order of memory as C's, so it can have C's steps
        strides = (wanted[1] * a.itemsize, *[a.itemsize] * (len(wanted) - 1))
    return found, wanted, a.dtype, strides, size


def convolution(xp, x, weight, bias, stride, padding, dilation):
    """The forward; None where cuDNN is not to be used."""
    if bias is not None and bias.dtype != x.dtype:
        return None
    found = _planned(xp, "forward", x, weight, None, stride, padding, dilation)
    if found is None:
        return None
    plan, to, out = found
    plan.run(xp, to, _last(xp, x), _last(xp, weight), out)
    if bias is not None:
        blas.add_rows(xp, out.transpose(0, *range(2, out.ndim), 1), bias)
    return out


def input_gradient(xp, g, weight, shape, stride, padding, dilation):
    """The gradient with respect to the input; None where cuDNN is not to be used."""
    found = _planned(xp, "input", weight, g, shape, stride, padding, dilation)
    if found is None:
        return None
    plan, to, out = found
    plan.run(xp, to, _last(xp, weight), _last(xp, g), out)
    return out


def weight_gradient(xp, x, g, shape, stride, padding, dilation):
    """The gradient with respect to the weight, in C order; None where cuDNN is not to be used."""
    found = _planned(xp, "weight", x, g, shape, stride, padding, dilation)
    if found is None:
        return None
    plan, to, out = found
    plan.run(xp, to, _last(xp, x), _last(xp, g), out)
    return out if out.flags.c_contiguous else _turned(xp, out, False)


# --- attention ------------------------------------------------------------------------------------------------------------


def _heads(x):
    """(*, heads, rows, features) as four dims, each row's features neighbours in memory."""
    if x.ndim != 4:
        x = x.reshape((math.prod(x.shape[:-3]), *x.shape[-3:]) if x.ndim > 2 else (1, 1, *x.shape))
    return x if x.strides[-1] == x.itemsize and min(x.strides) > 0 else x.copy(order="C")


def _like(xp, x, size: int):
    """An empty (batch, heads, rows, size) whose heads lie before or after the rows as those of x."""
    batch, count, rows, _ = x.shape
    if x.strides[1] < x.strides[2]:
        return xp.empty((batch, rows, count, size), x.dtype).transpose(0, 2, 1, 3)
    return xp.empty((batch, count, rows, size), x.dtype)


def _steps(x) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


def _attends(query, key, value, scale) -> bool:
    lead = query.shape[:-2]
    return (
        config.cudnn_attention
        and _fits(query, key, value)
        and query.dtype.itemsize == 2
        and query.ndim >= 2
        and key.shape[:-2] == lead == value.shape[:-2]
        and query.shape[-1] % 8 == 0 == value.shape[-1] % 8
        and max(query.shape[-1], value.shape[-1]) <= 256
        and query.size > 0 < value.size
    )


def attention(xp, query, key, value, scale, is_causal):
    """(output, logarithm of each row's sum in float32); None where cuDNN is not to be used."""
    if not _attends(query, key, value, scale):
        return None
    q, k, v = _heads(query), _heads(key), _heads(value)
    out = _like(xp, q, v.shape[3])
    sums = xp.empty(q.shape[:3], np.float32)
    laid = tuple((x.shape, _steps(x)) for x in (q, k, v, out))
    key = ("attention", source.name(q.dtype), laid, float(scale), bool(is_causal))

    def build(to):
        graph = _graph(q.dtype, to)
        given = [
            graph.tensor(dim=list(shape), stride=list(steps), data_type=_type(q.dtype), uid=i, name=name)
            for i, (name, (shape, steps)) in enumerate(zip(("q", "k", "v"), laid, strict=False), 1)
        ]
        o, stats = graph.sdpa(
            q=given[0], k=given[1], v=given[2], generate_stats=True, attn_scale=float(scale),
            use_causal_mask=bool(is_causal), name="attention",
        )  # fmt: skip
        o.set_output(True).set_dim(list(out.shape)).set_stride(list(_steps(out))).set_data_type(_type(q.dtype)).set_uid(
            4
        )
        _statistics(stats.set_output(True), sums.shape).set_uid(5)
        return Plan(graph, [])

    found, to = plan(xp, key, build)
    if found is None:
        return None
    found.run(xp, to, q, k, v, out, sums)
    shape = query.shape[:-1]
    if query.ndim != 4:
        out = out.reshape((*shape, v.shape[3]))
    return out, sums.reshape(shape)


def _statistics(tensor, shape):
    batch, count, rows = shape
    tensor.set_dim([batch, count, rows, 1]).set_stride([count * rows, rows, 1, 1])
    return tensor.set_data_type(binding().data_type.FLOAT)


def attention_gradient(xp, g, query, key, value, out, scale, is_causal):
    """The gradients of query, key and value; None where cuDNN is not to be used."""
    if not _attends(query, key, value, scale) or out[1].dtype != np.float32 or g.dtype != query.dtype:
        return None
    q, k, v, o, go = (_heads(x) for x in (query, key, value, out[0], g))
    sums = xp.ascontiguousarray(out[1]).reshape(q.shape[:3])
    made = [_like(xp, q, q.shape[3]), _like(xp, k, k.shape[3]), _like(xp, v, v.shape[3])]
    laid = tuple((x.shape, _steps(x)) for x in (q, k, v, o, go))
    same = config.cudnn_deterministic
    key_ = ("attention gradient", source.name(q.dtype), laid, float(scale), bool(is_causal), same)

    def build(to):
        graph = _graph(q.dtype, to)
        given = [
            graph.tensor(dim=list(shape), stride=list(steps), data_type=_type(q.dtype), uid=i, name=f"t{i}")
            for i, (shape, steps) in enumerate(laid, 1)
        ]
        batch, count, rows = sums.shape
        stats = graph.tensor(
            dim=[batch, count, rows, 1], stride=[count * rows, rows, 1, 1], uid=6, name="stats",
            data_type=binding().data_type.FLOAT,
        )  # fmt: skip
        more = {"use_deterministic_algorithm": True} if same else {}
        results = graph.sdpa_backward(
            q=given[0], k=given[1], v=given[2], o=given[3], dO=given[4], stats=stats, attn_scale=float(scale),
            use_causal_mask=bool(is_causal), name="attention_gradient", **more,
        )  # fmt: skip
        for i, (result, x) in enumerate(zip(results, made, strict=True), 7):
            result.set_output(True).set_dim(list(x.shape)).set_stride(list(_steps(x)))
            result.set_data_type(_type(q.dtype)).set_uid(i)
        return Plan(graph, [])

    found, to = plan(xp, key_, build)
    if found is None:
        return None
    found.run(xp, to, q, k, v, o, go, sums, *made)
    return tuple(x.reshape(t.shape) for x, t in zip(made, (query, key, value), strict=True))


def install(reader, kernels: dict, gradients: dict) -> None:
    """Put cuDNN's attention in front of the reader's own."""
    xp, plain = reader.xp, reader.attention

    def forward(query, key, value, *, scale=None, is_causal=False):
        out = attention(xp, query, key, value, scale, is_causal)
        return plain(query, key, value, scale=scale, is_causal=is_causal) if out is None else out

    def backward(rule, m, g, query, key, value, out, needs, scale, is_causal):
        found = None
        if g[0] is not None and g[1] is None:
            found = attention_gradient(xp, g[0], query, key, value, out, scale, is_causal)
        if found is None:
            if out[1].dtype != query.dtype:
                out = (out[0], out[1].astype(query.dtype))
            return rule(m, g, query, key, value, out, needs, scale, is_causal)
        return found

    kernels["attention"] = forward
    reader.attention = forward
    gradients["attention", None] = backward
