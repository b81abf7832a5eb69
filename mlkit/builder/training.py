"""What a model on the canvas is trained with: data that is there, losses and optimizers, and whether they fit the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlkit.builder.document import Document
from mlkit.builder.shapes import Repair, Shapes
from mlkit.core.errors import DataError
from mlkit.data import DataLoader

LOSSES = {
    "cross_entropy": "Cross entropy (classes)",
    "mse": "Mean squared error",
    "l1": "Mean absolute error",
    "huber": "Huber",
    "smooth_l1": "Smooth L1",
    "bce_with_logits": "Binary cross entropy (logits)",
    "nll": "Negative log likelihood",
}
OPTIMIZERS = {
    "adamw": "AdamW", "adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop", "nadam": "NAdam", "radam": "RAdam",
    "adagrad": "Adagrad", "adamax": "Adamax", "muon": "Muon",
}  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "data": "digits", "loss": "cross_entropy", "optimizer": "adamw", "lr": 0.003, "epochs": 10, "batch_size": 64,
    "model_name": "", "run_name": "",
}  # fmt: skip
TOY = 2000  # points of a toy data set


@dataclass(frozen=True)
class Sample:
    """What one example looks like: shapes and dtypes of what goes in, of the target, and how many classes there are."""

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    target: tuple[int, ...] | None
    target_dtype: str
    classes: int | None
    length: int | None


@dataclass(frozen=True)
class Data:
    """Data that can be picked: its name, what it is in words, and a function that gives (training, validation or None).

    Data that is not on this machine yet has ``fetch``, which brings it, and ``sample``, what it will look like.
    """

    name: str
    words: str
    make: Callable[[], tuple[Any, Any]]
    fetch: Callable[[], Any] | None = None
    sample: Sample | None = None


MNIST = Sample(((1, 28, 28),), ("float32",), (), "int64", 10, 60000)


def catalogue(own: Mapping[str, Any] | None = None) -> dict[str, Data]:
    """Data by name: what the user passed, then what ships with mlkit, then toys.

    >>> list(catalogue({"mine": [1, 2, 3]}))[:2]
    ['mine', 'digits']
    """
    from mlkit.data import datasets, digits, handwriting, mnist

    found: dict[str, Data] = {}
    for name, thing in (own or {}).items():
        found[name] = Data(name, f"{name} (yours)", lambda thing=thing: _pair(thing))  # type: ignore[misc]
    made = [Data("digits", "digits: 1,797 images of 1×8×8", lambda: (digits(train=True), digits(train=False)))]
    here = handwriting._find_mnist(None) is not None
    made.append(Data("mnist", f"MNIST: images of 1×28×28{'' if here else ' (to be downloaded, 12 MB)'}",
                     lambda: (mnist(train=True, download=False), mnist(train=False, download=False)),
                     None if here else mnist, MNIST))  # fmt: skip
    for toy in ("moons", "circles", "spirals", "blobs"):
        function = getattr(datasets, toy)
        made.append(Data(toy, f"{toy}: {TOY:,} points in a plane",
                         lambda function=function: _split(function(TOY))))  # type: ignore[misc]  # fmt: skip
    for one in made:
        found.setdefault(one.name, one)
    return found


def _split(points: Any) -> tuple[Any, Any]:
    from mlkit import Generator
    from mlkit.data import random_split

    share = len(points) // 5
    train, valid = random_split(points, [len(points) - share, share], generator=Generator().manual_seed(0))
    return train, valid


def _pair(thing: Any) -> tuple[Any, Any]:
    if isinstance(thing, tuple) and len(thing) == 2:
        return thing
    return thing, None


def loader_of(thing: Any, batch_size: int, train: bool) -> Any:
    """A loader as it is; a data set, or a pair of arrays, in batches."""
    if thing is None:
        return None
    if hasattr(thing, "__getitem__") and hasattr(thing, "__len__") and not hasattr(thing, "batch_size"):
        return DataLoader(thing, batch_size=batch_size, shuffle=train)
    return thing


def sample_of(thing: Any) -> Sample:
    """Look at the first example of a data set or the first batch of a loader.

    >>> from mlkit.data import digits
    >>> sample_of(digits()).shapes, sample_of(digits()).classes
    (((1, 8, 8),), 10)
    """
    loader = loader_of(thing, 2, False)
    try:
        batch = next(iter(loader))
    except StopIteration:
        raise DataError("The data is empty.") from None
    target: Any
    if isinstance(batch, dict):
        key = next((k for k in ("target", "label", "labels", "y") if k in batch), None)
        target = batch.get(key)
        inputs = [v for k, v in batch.items() if k != key and hasattr(v, "shape")]
    elif isinstance(batch, (tuple, list)) and len(batch) >= 2:
        *rest, target = batch
        inputs = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], (tuple, list)) else list(rest)
    else:
        raise DataError(f"A batch of this data is {type(batch).__name__}; (inputs, targets) is needed.",
                        hint="Pass a data set of (input, target) pairs, or a loader of such batches.")  # fmt: skip
    classes = getattr(thing, "classes", None)
    if classes is None and hasattr(thing, "dataset"):
        classes = getattr(thing.dataset, "classes", None)
    whole = hasattr(target, "dtype") and "int" in str(target.dtype) and len(target.shape) == 1
    try:
        length = len(thing.dataset) if hasattr(thing, "dataset") and hasattr(thing, "batch_size") else len(thing)
    except TypeError:
        length = None
    return Sample(
        tuple(tuple(map(int, v.shape[1:])) for v in inputs),
        tuple(str(v.dtype).rpartition(".")[2] for v in inputs),
        tuple(map(int, target.shape[1:])) if hasattr(target, "shape") else None,
        str(getattr(target, "dtype", "")).rpartition(".")[2],
        len(classes) if classes is not None and whole else None,
        length,
    )


@dataclass(frozen=True)
class Objection:
    """Why a training cannot begin, in words, with a repair where there is one."""

    message: str
    repair: Repair | None = None


def objections(document: Document, shapes: Shapes, sample: Sample, loss: str) -> list[Objection]:
    """What stands between a model and its training on this data.

    >>> from mlkit.builder import templates
    >>> from mlkit.builder.shapes import infer_shapes
    >>> from mlkit.data import digits
    >>> model = templates.cnn(size=28)
    >>> print(objections(model, infer_shapes(model), sample_of(digits()), "cross_entropy")[0].message)
    The data gives (N, 1, 8, 8), the input image takes (N, 1, 28, 28).
    """
    found: list[Objection] = []
    inputs, outputs = document.main.of_type("Input"), document.main.of_type("Output")
    if not inputs or not outputs:
        missing = "Input" if not inputs else "Output"
        return [Objection(f"The model has no {missing} block.")]
    if len(inputs) != len(sample.shapes):
        return [Objection(f"The model has {len(inputs)} inputs, and the data gives {len(sample.shapes)}.")]
    if len(outputs) > 1:
        return [Objection(f"The model gives {len(outputs)} values, and a loss takes one.")]
    for block, shape, dtype in zip(inputs, sample.shapes, sample.dtypes, strict=True):
        wants = list(block.properties.get("shape") or ["batch", 784])
        gives: list[Any] = ["batch", *shape]
        if wants != gives:
            repair: Repair | None = Repair(
                "set", f"Set the shape of {block.name} to {shape_text(gives)}", block.name, "shape", gives
            )
            found.append(Objection(
                f"The data gives {shape_text(gives)}, the input {block.name} takes {shape_text(wants)}.", repair))  # fmt: skip
        elif block.properties.get("dtype", "float32") != dtype and "float" not in dtype:
            repair = Repair("set", f"Set the dtype of {block.name} to {dtype}", block.name, "dtype", dtype)
            found.append(Objection(f"The data is of dtype {dtype}, the input {block.name} of "
                                   f"{block.properties.get('dtype', 'float32')}.", repair))  # fmt: skip
    if found:
        return found
    for problem in shapes.problems:
        found.append(Objection(f"{problem.block}: {problem.message}", problem.repairs[0] if problem.repairs else None))
    if found:
        return found
    last = document.main.into(outputs[0].name)
    value = shapes.of(last[0]) if last else None
    if value is None:
        return [Objection(f"Nothing is linked to {outputs[0].name}.")]
    if loss in ("cross_entropy", "nll"):
        if "float" in sample.target_dtype and sample.target != tuple(value.shape[1:]):
            found.append(Objection(f"{LOSSES[loss]} needs classes, and the data's targets are {sample.target_dtype}."))
        elif sample.classes is not None and len(value.shape) > 1 and value.shape[1] != sample.classes:
            feeder = document.main[last[0].source]
            repair = None
            if feeder.type == "Linear" and not feeder.shared:
                repair = Repair("set", f"Set out_features of {feeder.name} to {sample.classes}", feeder.name,
                                "out_features", sample.classes)  # fmt: skip
            found.append(Objection(f"The model gives {value.shape[1]} numbers for each example, and the data has "
                                   f"{sample.classes} classes.", repair))  # fmt: skip
    elif sample.target is not None and loss in ("mse", "l1", "huber", "smooth_l1", "bce_with_logits"):
        if "int" in sample.target_dtype:
            found.append(Objection(f"{LOSSES[loss]} needs targets that are numbers, and the data has classes.",
                                   Repair("train", "Use cross entropy", property="loss", value="cross_entropy")))  # fmt: skip
        elif tuple(value.shape[1:]) != sample.target:
            found.append(Objection(f"The model gives {shape_text(value.shape)}, and the targets are "
                                   f"{shape_text(['batch', *sample.target])}."))  # fmt: skip
    return found


def shape_text(shape: Any) -> str:
    """A shape as it stands on the canvas.

    >>> shape_text(["batch", 1, 8, 8])
    '(N, 1, 8, 8)'
    """
    sizes = ["N" if n == "batch" else str(n).replace("batch", "N") for n in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def check_setting(name: str, value: Any, data: Mapping[str, Data]) -> Any:
    """A setting of the training, or an error in words.

    >>> check_setting("epochs", 3, {})
    3
    """
    if name not in DEFAULTS:
        raise DataError(f"A training has no setting {name!r}.", f"it has: {', '.join(DEFAULTS)}")
    choices = {"data": data, "loss": LOSSES, "optimizer": OPTIMIZERS}.get(name)
    if choices is not None:
        if value not in choices:
            raise DataError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
    elif name in ("epochs", "batch_size"):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
            raise DataError(f"{name} must be a whole number from 1, got {value!r}.")
    elif name == "lr":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
            raise DataError(f"lr must be a number above 0, got {value!r}.")
    elif value and (not isinstance(value, str) or not value.isidentifier()):
        raise DataError(f"{value!r} cannot be the name of a variable.", hint="Letters, digits and _, no space.")
    return value
