"""What fits behind a value, and settings to start with: a block that is added works at once where it can."""

from __future__ import annotations

import warnings
from typing import Any

import mlkit
from mlkit.builder.blocks import BlockType, Palette
from mlkit.builder.document import Block
from mlkit.builder.module import make_layer, run
from mlkit.builder.shapes import Value

_LAST = {
    "in_features",
    "input_size",
    "embed_dim",
    "d_model",
    "normalized_shape",
    "in1_features",
    "in2_features",
    "features",
}
_CHANNELS = {"in_channels", "num_features", "num_channels"}
_FIXED: dict[str, Any] = {
    "out_features": 64, "hidden_size": 64, "kernel_size": 3, "num_embeddings": 1000, "embedding_dim": 64,
    "output_size": 1, "upscale_factor": 2, "downscale_factor": 2, "padding": 1, "chunks": 2, "n_classes": 10,
    "length": 1, "start": 0, "size": [1, 1], "unflattened_size": [1, 1], "sizes": [1, 1], "lower": 0.1, "upper": 0.3,
    "min_val": -1.0, "max_val": 1.0, "threshold": 0.1, "value": 0.0, "groups": 1, "num_layers": 1, "cutoffs": [1],
    "pad": [1, 1], "norm_type": 2.0,
}  # fmt: skip
FAVOURITES = (
    "Input", "Linear", "Conv2d", "ReLU", "Flatten", "MaxPool2d", "BatchNorm2d", "Dropout", "Output", "GELU", "LayerNorm",
    "BatchNorm1d", "AdaptiveAvgPool2d", "AvgPool2d", "Conv1d", "Embedding", "LSTM", "GRU", "MultiheadAttention",
    "TransformerEncoderLayer", "Softmax", "Sigmoid", "Tanh", "Add", "Concat", "Mul", "MatMul", "Reshape", "Permute",
)  # fmt: skip


def starting_settings(found: BlockType, value: Value | None = None) -> dict[str, Any]:
    """Settings that must be given, as a person would begin: sizes that come in from the value, others usual.

    >>> from mlkit.builder.blocks import palette
    >>> starting_settings(palette()["Conv2d"], Value(("batch", 3, 32, 32), "float32"))
    {'in_channels': 3, 'out_channels': 16, 'kernel_size': 3}
    >>> starting_settings(palette()["Linear"], Value(("batch", 784), "float32"))
    {'in_features': 784, 'out_features': 64}
    """
    shape = value.shape if value is not None else ()
    made: dict[str, Any] = {}
    for p in found.properties:
        if not p.required:
            continue
        if found.name in ("Input", "Reshape") and p.default is not None:
            made[p.name] = p.default
            continue
        guess = p.default if p.default is not None else _guess(p.name, found, shape, made)
        if guess is not None and p.check(guess) is None:
            made[p.name] = guess
    if found.name in ("Upsample", "interpolate"):
        made["scale_factor"] = 2
    if found.has("output_ratio"):
        made["output_ratio"] = 0.5
    if found.kind == "function" and found.name in _DIMS:
        made.update(_DIMS[found.name])
    if found.name in ("clamp", "maximum", "minimum") and found.has("min"):
        made["min"] = 0
    if found.name in ("MultiheadAttention", "LSTM", "GRU", "RNN", "TransformerEncoderLayer", "TransformerDecoderLayer"):
        if found.has("batch_first"):
            made["batch_first"] = True  # as values are on this canvas
    return made


_DIMS: dict[str, dict[str, Any]] = {
    "unsqueeze": {"dim": 1}, "transpose": {"dim0": 1, "dim1": 2}, "narrow": {"dim": 1, "start": 0, "length": 1},
    "mean": {"dim": 1}, "sum": {"dim": 1}, "amax": {"dim": 1}, "amin": {"dim": 1}, "flatten": {"start_dim": 1},
    "chunk": {"chunks": 2, "dim": 1}, "pad": {"pad": [1, 1]},
}  # fmt: skip


def _guess(name: str, found: BlockType, shape: tuple, made: dict[str, Any]) -> Any:
    last = shape[-1] if len(shape) > 1 and isinstance(shape[-1], int) else None
    channels = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else None
    if name in _LAST:
        return last
    if name in _CHANNELS:
        return channels
    if name == "out_channels":
        come = made.get("in_channels") or channels
        return 16 if come is None or come <= 4 else min(2 * int(come), 512)
    if name in ("num_heads", "nhead"):
        width = made.get("embed_dim") or made.get("d_model") or 1
        return next(n for n in (8, 4, 2, 1) if int(width) % n == 0)
    if name == "num_groups":
        return next(n for n in (8, 4, 2, 1) if (channels or 1) % n == 0)
    if name == "kernel_size":
        return 2 if "pool" in found.name.lower() else 3
    if name == "padding" and "Pad" in found.name:
        return 1
    if name == "dims":
        return list(range(len(shape))) if shape else [0, 1]
    if name == "dim":
        return 1
    if name == "size":
        return 5 if "Norm" in found.name else [1, 1]
    if name == "shape" and found.name == "Parameter":
        return [int(n) for n in shape[1:] if isinstance(n, int)] or [1]
    if name == "hidden_size" and last is not None:
        return max(int(last), 8)
    return _FIXED.get(name)


def fill_from(found: BlockType, properties: dict[str, Any], value: Value | None) -> dict[str, Any]:
    """Sizes that are not set yet, taken from what has just been linked."""
    if value is None or not value.shape:
        return {}
    missing = {p.name for p in found.properties if p.required and properties.get(p.name) is None}
    return {name: v for name, v in starting_settings(found, value).items() if name in missing}


def fits(value: Value, types: Palette, memory: dict[Any, list[str]] | None = None) -> list[str]:
    """Names of the blocks that can take a value, what is usual first. Each is tried without data.

    >>> from mlkit.builder.blocks import palette
    >>> fits(Value(("batch", 1, 28, 28), "float32"), palette())[:4]
    ['Conv2d', 'ReLU', 'Flatten', 'Linear']
    """
    key = (value.shape, value.dtype, value.parts, len(types.types))
    if memory is not None and key in memory:
        return memory[key]
    good = []
    for found in types:
        if found.kind == "output" or (
            found.kind not in ("input", "parameter", "graph", "data") and _takes(found, value)
        ):
            good.append(found.name)
    order: dict[str, float] = {name: i for i, name in enumerate(FAVOURITES)}
    if len(value.shape) == 4:  # images: what looks at neighbours comes before what looks at rows
        order["Linear"] = order["Flatten"] + 0.5
    good.sort(key=lambda name: (order.get(name, 99), types[name].group, name))
    if memory is not None:
        memory[key] = good
    return good


def _takes(found: BlockType, value: Value) -> bool:
    ports = list(found.inputs) if not found.variadic else ["0"]
    if found.group == "Losses" or value.parts:
        return False
    if not ports:
        return False
    tensors = [_tensor(value)]
    tensors += [tensors[0]] * (len(ports) - 1)
    block = Block("trial", found.name, starting_settings(found, value))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if found.kind == "module":
                make_layer(found, block, "meta").to("meta")(*tensors)
            else:
                run(found, block, tensors, {})
        return True
    except Exception:
        return False


def _tensor(value: Value) -> Any:
    sizes = [n if isinstance(n, int) else 4 for n in value.shape]
    return mlkit.zeros(*sizes, dtype=getattr(mlkit, value.dtype), device="meta")
