"""The palette: what a model can be put together from, read by reflection from mlkit.nn and its functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import mlkit
from mlkit import nn
from mlkit.core.errors import DataError

Plain = None | bool | int | float | str | list  # what a property may be: data, never code

_CHOICES: dict[str, tuple] = {
    "padding_mode": ("zeros", "reflect", "replicate", "circular"),
    "nonlinearity": ("tanh", "relu"),
    "reduction": ("mean", "sum", "none"),
    "approximate": ("none", "tanh"),
    "activation": ("relu", "gelu"),
    "mode": ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"),
}
_OTHER_CHOICES: tuple[tuple, ...] = (("mean", "sum", "max"), ("constant", "reflect", "replicate", "circular"))
_SHARES = {"p", "dropout", "dropout_p", "label_smoothing"}  # 0 to 1
_AT_LEAST_ONE = {
    "in_channels", "out_channels", "in_features", "out_features", "num_features", "num_channels", "num_groups",
    "kernel_size", "stride", "dilation", "groups", "embed_dim", "num_heads", "nhead", "d_model", "hidden_size",
    "input_size", "num_embeddings", "embedding_dim", "normalized_shape", "in1_features", "in2_features", "n_classes",
    "dim_feedforward", "upscale_factor", "downscale_factor",
}  # fmt: skip
_COUNTS = {"num_layers", "num_encoder_layers", "num_decoder_layers", "repeat", "chunks"}  # each is so many objects
_ZERO_OR_MORE = {"padding", "output_padding"}
LARGEST = 2**31 - 1
MOST_REPEATS = 1000


@dataclass(frozen=True)
class Property:
    """One setting of a block: what kind of value, what it is when nobody sets it, and what it may be."""

    name: str
    type: str = "any"  # int, float, bool, str, ints (a number or a list of them) or any
    default: Any = None
    required: bool = False
    choices: tuple | None = None
    low: float | None = None
    high: float | None = None

    def check(self, value: Any) -> str | None:
        """What is wrong with a value, or None.

        >>> palette()["Dropout"].property("p").check(3.0)
        'p must be 0 to 1, got 3.0'
        """
        if value is None and (self.default is None or not self.required):
            return None
        if self.choices is not None and isinstance(value, str) and value not in self.choices:
            return f"{self.name} must be one of {', '.join(map(repr, self.choices))}, got {value!r}"
        kinds = {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}.get(self.type)
        if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and self.type in ("int", "float"))):
            return f"{self.name} must be of type {self.type}, got {value!r}"
        if self.type == "ints" and not isinstance(value, str):
            numbers = value if isinstance(value, list) else [value]
            if not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
                return f"{self.name} must be an integer or a list of integers, got {value!r}"
        for number in _numbers(value):
            if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
                high = "" if self.high is None else f" to {self.high:g}"
                return f"{self.name} must be {self.low:g}{high}{'' if high else ' or more'}, got {number!r}"
            if not -LARGEST <= number <= LARGEST:
                return f"{self.name} must be a number of at most {LARGEST}, got {number!r}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """The property as plain data."""
        return {**vars(self), "choices": list(self.choices) if self.choices else None}


def _numbers(value: Any) -> list:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, list):
        return [n for item in value for n in _numbers(item)]
    return [value]


@dataclass(frozen=True)
class BlockType:
    """An entry of the palette.

    ``inputs`` are the ports that must be linked, ``optional`` those that may be; ``variadic`` blocks take any number of
    inputs, named "0", "1", ... ``kind`` says how the block runs: "module", "function", "operator", "method", "index",
    "parameter", or "input", "output" and "graph", which are the document's own; "data" stands beside the model.
    """

    name: str
    group: str
    doc: str
    kind: str
    inputs: tuple[str, ...] = ("input",)
    outputs: tuple[str, ...] = ("output",)
    optional: tuple[str, ...] = ()
    variadic: bool = False
    properties: tuple[Property, ...] = ()
    target: Any = field(default=None, compare=False, repr=False)  # the class, or the function's home and name
    symbol: str = ""  # operator sign, or the function's home: "F", "torch"

    def property(self, name: str) -> Property:
        """The property of that name."""
        return next(p for p in self.properties if p.name == name)

    def has(self, name: str) -> bool:
        """Whether there is a property of that name."""
        return any(p.name == name for p in self.properties)

    def to_dict(self) -> dict[str, Any]:
        """The entry as plain data, for a canvas."""
        return {
            "name": self.name,
            "group": self.group,
            "doc": self.doc,
            "kind": self.kind,
            "inputs": list(self.inputs),
            "optional": list(self.optional),
            "outputs": list(self.outputs),
            "variadic": self.variadic,
            "properties": [p.to_dict() for p in self.properties],
        }


_GROUPS = {
    "activation": "Activations", "adaptive": "Losses", "attention": "Attention", "convolution": "Convolution",
    "distance": "Distances", "dropout": "Dropout", "embedding": "Embedding", "linear": "Linear", "loss": "Losses",
    "normalization": "Normalization", "padding": "Padding", "pooling": "Pooling", "recurrent": "Recurrent",
    "resampling": "Resampling", "transformer": "Transformer",
}  # fmt: skip
_OUTPUTS = {
    "LSTM": ("output", "state"),
    "GRU": ("output", "hidden"),
    "RNN": ("output", "hidden"),
    "MultiheadAttention": ("output", "weights"),
    "LSTMCell": ("hidden", "cell"),
}
_SKIPPED = {"device", "dtype", "inplace", "size_average", "reduce", "self", "args", "kwargs", "_weight", "_freeze"}
_NO_BLOCKS = {
    "RNNBase",
    "RNNCellBase",
    "Module",
    "NLLLoss2d",
    "AdaptiveLogSoftmaxWithLoss",
    "TransformerEncoder",
    "TransformerDecoder",
}
# functions of tensors: name -> how many tensors go in; their settings are read from their signatures
_FUNCTIONS = {
    "F": {
        "relu": 1, "gelu": 1, "silu": 1, "softmax": 1, "log_softmax": 1, "leaky_relu": 1, "elu": 1, "softplus": 1,
        "mish": 1, "hardswish": 1, "max_pool2d": 1, "avg_pool2d": 1, "adaptive_avg_pool2d": 1, "max_pool1d": 1,
        "avg_pool1d": 1, "adaptive_avg_pool1d": 1, "interpolate": 1, "pad": 1, "normalize": 1, "dropout": 1,
        "scaled_dot_product_attention": 3,
    },
    "torch": {
        "sigmoid": 1, "tanh": 1, "flatten": 1, "mean": 1, "sum": 1, "amax": 1, "amin": 1, "exp": 1, "log": 1,
        "sqrt": 1, "rsqrt": 1, "abs": 1, "sin": 1, "cos": 1, "square": 1, "squeeze": 1, "unsqueeze": 1,
        "transpose": 1, "clamp": 1, "chunk": 1, "maximum": 2, "minimum": 2, "narrow": 1,
    },
}  # fmt: skip
_FUNCTION_SETTINGS = {
    "softmax": ("dim",), "log_softmax": ("dim",), "max_pool2d": ("kernel_size", "stride", "padding"),
    "max_pool1d": ("kernel_size", "stride", "padding"), "avg_pool1d": ("kernel_size", "stride", "padding"),
    "avg_pool2d": ("kernel_size", "stride", "padding"), "interpolate": ("size", "scale_factor", "mode"),
    "pad": ("pad", "mode", "value"), "normalize": ("p", "dim"), "dropout": ("p",),
    "scaled_dot_product_attention": ("is_causal",), "flatten": ("start_dim", "end_dim"), "mean": ("dim", "keepdim"),
    "sum": ("dim", "keepdim"), "amax": ("dim", "keepdim"), "amin": ("dim", "keepdim"), "squeeze": ("dim",),
    "unsqueeze": ("dim",), "narrow": ("dim", "start", "length"), "transpose": ("dim0", "dim1"), "clamp": ("min", "max"), "chunk": ("chunks", "dim"),
    "gelu": ("approximate",), "leaky_relu": ("negative_slope",), "elu": ("alpha",),
    "adaptive_avg_pool2d": ("output_size",), "adaptive_avg_pool1d": ("output_size",), "softplus": ("beta",),
}  # fmt: skip
_STANDING = {"softmax": ("dim", -1), "log_softmax": ("dim", -1)}  # PyTorch warns when these are left out
OPERATORS = {"Add": "+", "Subtract": "-", "Mul": "*", "Divide": "/", "MatMul": "@", "Power": "**"}


def _doc(thing: Any) -> str:
    text = (inspect.getdoc(thing) or "").strip().split("\n\n")[0]
    return " ".join(text.split())


def _kind(name: str, annotation: Any, default: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    for kind in ("bool", "float", "int", "str"):
        if text in (kind, f"{kind} | None"):
            return kind
    if name in ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "normalized_shape"):
        return "ints"
    if isinstance(default, (bool, float, str)):
        return type(default).__name__
    return "any"


def _property(name: str, parameter: inspect.Parameter) -> Property:
    required = parameter.default is inspect.Parameter.empty
    default = None if required else parameter.default
    if callable(default):
        default = getattr(default, "__name__", None)
    if isinstance(default, tuple):
        default = list(default)
    if not isinstance(default, Plain):
        default = None
    low = high = None
    exponent = name == "p" and isinstance(default, (int, float)) and (default > 1 or isinstance(default, int))
    if name in _SHARES and not exponent:
        low, high = 0, 1
    elif name in _COUNTS:
        low, high = 1, MOST_REPEATS
    elif name in _AT_LEAST_ONE:
        low = 1
    elif name in _ZERO_OR_MORE:
        low = 0
    choices = _CHOICES.get(name)
    if choices and isinstance(default, str) and default not in choices:  # another class's meaning of the same word
        choices = next((c for c in _OTHER_CHOICES if default in c), None)
    return Property(name, _kind(name, parameter.annotation, default), default, required, choices, low, high)


def _signature(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments of a class; what ``*args`` and ``**kwargs`` hand on is named by the class above."""
    own: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        found = inspect.signature(vars(base)["__init__"]).parameters
        variable = {p.name for p in found.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        named = {n: p for n, p in found.items() if n not in variable and n not in _SKIPPED and not n.startswith("_")}
        own = {**named, **own}
        if not variable or base is object:
            break
    return own


def yours(name: str) -> str:
    """How a class of the user's becomes a block."""
    word = name if name.isidentifier() else "MyLayer"
    return (f"Is it a class of yours? Run the cell that defines class {word}(nn.Module), or name it: "
            f"ModelBuilder(blocks=[{word}]).")  # fmt: skip


def vars_of(cls: Any) -> Any:
    """The function that a module class runs."""
    return cls.forward


def module_type(cls: type, group: str | None = None, inputs: tuple[str, ...] | None = None,
                outputs: tuple[str, ...] | None = None) -> BlockType:  # fmt: skip
    """The palette entry of an ``nn.Module`` class, read from its signatures.

    >>> block = module_type(nn.Conv2d)
    >>> block.name, block.group, [p.name for p in block.properties if p.required]
    ('Conv2d', 'Convolution', ['in_channels', 'out_channels', 'kernel_size'])
    """
    taken = _signature(cls)
    if issubclass(cls, nn.RNNBase):  # what the base class asks is not what its kinds are made with
        other = {"mode"} if cls is nn.LSTM else {"mode", "proj_size"}
        taken = {n: p for n, p in taken.items() if n not in other}
    optional: tuple[str, ...] = ()
    if inputs is None:
        found = list(inspect.signature(vars_of(cls)).parameters.values())[1:]
        places = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        inputs = tuple(p.name for p in places if p.default is p.empty)
        optional = tuple(p.name for p in places if p.default is None and "bool" not in str(p.annotation))
    room = cls.__module__.rpartition(".")[2]
    if cls.__name__ in ("Flatten", "Unflatten", "Identity") and cls.__module__.startswith("mlkit.nn"):
        group = group or "Shapes"
    return BlockType(
        cls.__name__,
        group or _GROUPS.get(room, "Yours") if cls.__module__.startswith("mlkit.nn") else group or "Yours",
        _doc(cls) if cls.__doc__ or cls.__module__.startswith("mlkit.") else "A class of yours",
        "module",
        tuple(inputs or ()),
        outputs if outputs is not None else _OUTPUTS.get(cls.__name__, ("output",)),
        optional,
        properties=tuple(_property(n, p) for n, p in taken.items()),
        target=cls,
    )


def _function_type(home: str, name: str, tensors: int) -> BlockType:
    function = getattr(nn.functional if home == "F" else mlkit, name)
    parameters = inspect.signature(function).parameters
    wanted = _FUNCTION_SETTINGS.get(name, ())
    properties = []
    for key in wanted:
        p = _property(key, parameters[key]) if key in parameters else Property(key)
        if name in _STANDING and key == _STANDING[name][0]:
            p = replace(p, required=True, default=_STANDING[name][1])
        properties.append(p)
    ports = ("query", "key", "value") if tensors == 3 else ("input", "other")[:tensors]
    outputs = ("0",) if name == "chunk" else ("output",)
    return BlockType(name, "Functions", _doc(function), "function", ports, outputs, properties=tuple(properties),
                     target=function, symbol=home)  # fmt: skip


def _own_types() -> list[BlockType]:
    shape = Property("shape", "any", ["batch", 784], True)
    dtype = Property("dtype", "str", "float32", False,
                     ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"))  # fmt: skip
    value = Property("value", "float", None)
    made = [
        BlockType("Input", "Inputs", "What comes into the model: a shape, of which the first size may be 'batch'",
                  "input", (), properties=(shape, dtype)),
        BlockType("Output", "Inputs", "What the model gives back", "output", ("input",), ()),
        BlockType("Parameter", "Inputs", "A tensor that is learned: a position table, a class token", "parameter", (),
                  properties=(Property("shape", "ints", None, True, low=1),
                              Property("init", "str", "zeros", False, ("zeros", "ones", "randn")))),
        BlockType("Graph", "Inputs", "A sub-graph, repeated so many times with weights of its own each time", "graph",
                  properties=(Property("graph", "str", None, True),
                              Property("repeat", "int", 1, False, None, 1, MOST_REPEATS))),
        BlockType("Concat", "Joins", "Join tensors along an axis", "function", (), variadic=True, symbol="torch",
                  properties=(Property("dim", "int", 1),), target=mlkit.cat),
        BlockType("Stack", "Joins", "Join tensors along a new axis", "function", (), variadic=True, symbol="torch",
                  properties=(Property("dim", "int", 0),), target=mlkit.stack),
        BlockType("Reshape", "Shapes", "The same numbers in another shape; 'batch' keeps the first size, -1 is found",
                  "method", properties=(Property("shape", "any", ["batch", -1], True),), symbol="reshape"),
        BlockType("Permute", "Shapes", "Axes in another order", "method",
                  properties=(Property("dims", "ints", None, True),), symbol="permute"),
        BlockType("Select", "Shapes", "One place along an axis", "index",
                  properties=(Property("dim", "int", 1), Property("index", "int", 0))),
    ]  # fmt: skip
    docs = {"Add": "Sum of two tensors: the residual join", "Mul": "Product, element by element",
            "Subtract": "Difference of two tensors", "Divide": "Quotient, element by element",
            "MatMul": "Matrix product", "Power": "A power of every element"}  # fmt: skip
    for name, sign in OPERATORS.items():
        settings = () if name == "MatMul" else (value,)
        made.append(BlockType(name, "Joins", docs[name], "operator", ("input", "other"), properties=settings,
                              symbol=sign))  # fmt: skip
    return made


def _data_types() -> list[BlockType]:
    """Data that a model can be trained with at once; what they are is said in `mlkit.builder.training.catalogue`."""
    from mlkit.data import datasets

    kinds = {"digits": "images", "MNIST": "images", **dict.fromkeys(("moons", "circles", "spirals", "blobs"), "points")}
    made = []
    for name, kind in kinds.items():
        function = getattr(datasets, name.lower())
        made.append(BlockType(name, "Data", _doc(function), "data", (), (kind, "labels"), target=function, symbol=kind))
    return made


class Palette:
    """Block types by name, in groups.

    >>> found = palette()
    >>> found["Linear"].doc != "" and "Conv2d" in found and "Sequential" not in found
    True
    >>> [b.name for b in found.search("max pool 2d")][:2]
    ['MaxPool2d', 'max_pool2d']
    """

    def __init__(self, types: dict[str, BlockType]):
        self.types = types
        self.noticed: set[str] = set()  # classes of the notebook, which nobody has named as blocks

    def __contains__(self, name: object) -> bool:
        return name in self.types

    def __getitem__(self, name: str) -> BlockType:
        if name not in self.types:
            raise DataError(f"There is no block named {name!r}.", hint=yours(name))
        return self.types[name]

    def __iter__(self):
        return iter(self.types.values())

    def register(self, cls: type, group: str = "Yours", inputs: tuple[str, ...] | None = None,
                 outputs: tuple[str, ...] | None = None) -> BlockType:  # fmt: skip
        """Make an ``nn.Module`` class of your own a block; its signatures give ports and properties."""
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise DataError(f"A block is made from an nn.Module class, got {cls!r}.")
        old = self.types.get(cls.__name__)
        if old is not None and old.group != "Yours":
            raise DataError(f"{cls.__name__} is the name of a block already.", hint="Give your class another name.")
        self.types[cls.__name__] = module_type(cls, group, inputs, outputs)
        self.noticed.discard(cls.__name__)
        return self.types[cls.__name__]

    def notice(self, classes: Iterable[type]) -> bool:
        """Take classes of the notebook for blocks as well; whether anything has changed.

        A block of mlkit's or one that was registered keeps its name. What has no ``forward`` that can be read is left.
        """
        changed = False
        for cls in classes:
            old = self.types.get(cls.__name__)
            if old is not None and (old.target is cls or cls.__name__ not in self.noticed):
                continue
            try:
                made = module_type(cls, "Yours")
            except (TypeError, ValueError, AttributeError):
                continue
            if made.inputs or made.optional:
                self.types[cls.__name__] = made
                self.noticed.add(cls.__name__)
                changed = True
        return changed

    def groups(self) -> dict[str, list[BlockType]]:
        """Group name -> its entries."""
        found: dict[str, list[BlockType]] = {}
        for block in self:
            found.setdefault(block.group, []).append(block)
        return found

    def search(self, words: str) -> list[BlockType]:
        """Entries in whose name, group or description every word stands; names first."""
        parts = words.lower().split()
        joined = "".join(parts)

        def rank(block: BlockType) -> int | None:
            name = block.name.lower().replace("_", "")
            text = f"{name} {block.group} {block.doc}".lower()
            if joined in name:
                return 0 if name == joined else 1
            return 2 if all(part in text for part in parts) else None

        return sorted((b for b in self if rank(b) is not None), key=lambda b: rank(b) or 0)

    def to_dict(self) -> dict[str, Any]:
        """The palette as plain data, for a canvas."""
        return {"groups": {name: [b.to_dict() for b in found] for name, found in self.groups().items()}}


@functools.cache
def _standard() -> dict[str, BlockType]:
    made = _own_types()
    for name in nn.__all__:
        cls = getattr(nn, name)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)) or name in _NO_BLOCKS or "Lazy" in name:
            continue
        if cls.__module__.rpartition(".")[2] in _GROUPS:
            made.append(module_type(cls))
    for home, names in _FUNCTIONS.items():
        made += [_function_type(home, name, count) for name, count in names.items()]
    made += _data_types()
    return {block.name: block for block in made}


def palette() -> Palette:
    """A palette of everything mlkit has; what is registered in it stays in it."""
    return Palette(dict(_standard()))


_PAIRS = {"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size"}


def canonical(block: BlockType, properties: dict[str, Any]) -> dict[str, Any]:
    """Properties in the block's order, without those that say what holds anyway; (3, 3) is 3.

    >>> canonical(palette()["Conv2d"], {"kernel_size": [3, 3], "in_channels": 1, "out_channels": 2, "stride": 1})
    {'in_channels': 1, 'out_channels': 2, 'kernel_size': 3}
    """
    out = {}
    for p in block.properties:
        if p.name not in properties:
            continue
        value = _plain(properties[p.name])
        if p.name in _PAIRS and isinstance(value, list) and len(value) and len(set(map(str, value))) == 1:
            value = value[0]
        if p.name == "stride" and "pool" in block.name.lower() and value is not None:
            kernel = _plain(properties.get("kernel_size"))
            kernel = kernel[0] if isinstance(kernel, list) and len(set(kernel)) == 1 else kernel
            value = None if value == kernel else value
        if p.name in ("kdim", "vdim") and value == properties.get("embed_dim"):
            value = None  # as when it is left out
        if p.name == "normalized_shape" and isinstance(value, list) and len(value) == 1:
            value = value[0]
        if p.required or value != p.default or type(value) is not type(p.default):
            out[p.name] = value
    return {n: v for n, v in out.items() if not (v is None and block.property(n).default is None)}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value
