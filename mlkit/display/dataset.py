"""A dataset or a loader as HTML: how much there is, what one sample looks like, how the classes are balanced."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.display import picture, svg
from mlkit.display.markup import card, escape, image, number, plural, shape_text, strip
from mlkit.display.sample import dtype_name, raw, to_numpy


def html(dataset: Any) -> str:
    """A card for a Dataset or a DataLoader. Only samples are read; a loader is not iterated."""
    loader = hasattr(dataset, "dataset") and hasattr(dataset, "batch_size")
    source = dataset.dataset if loader else dataset
    length = _length(source)
    words = [plural(length, "sample") if length is not None else "samples without a known number"]
    if loader:
        batches = _length(dataset)
        words.insert(0, f"{plural(batches, 'batch')} of {dataset.batch_size}" if batches is not None else "batches")
        workers = getattr(dataset, "num_workers", 0)
        words.append("shuffled" if _shuffled(dataset) else "in order")
        words.append(plural(workers, "worker process") if workers else "no worker processes")
        words.insert(1, f"of {escape(type(source).__name__, 60)}")
    head = f'<p class="head"><b>{escape(type(dataset).__name__, 60)}</b> {", ".join(words)}</p>'
    return card("dataset", head, samples(source, length), balance(source))


def _length(thing: Any) -> int | None:
    try:
        return len(thing)
    except TypeError:
        return None


def _shuffled(loader: Any) -> bool:
    return bool(getattr(loader, "shuffle", False)) or type(getattr(loader, "sampler", None)).__name__ == "RandomSampler"


def samples(dataset: Any, length: int | None, most: int = 12) -> str:
    """The first samples: images with their labels, or what the parts of one sample are."""
    if not length or not hasattr(dataset, "__getitem__"):
        return '<p class="note">empty</p>' if length == 0 else '<p class="note">samples come as they are iterated</p>'
    try:
        first = _unchanged(lambda: [dataset[i] for i in range(min(length, most))])
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        return f'<div class="failed"><p class="warn">sample 0 to {min(length, most) - 1} could not be read</p><pre>{escape(words, 800)}</pre></div>'
    parts = [_part(value) for value in (first[0] if isinstance(first[0], (tuple, list)) else (first[0],))]
    note = f'<p class="note">one sample: {", ".join(f"<code>{escape(p, 80)}</code>" for p in parts)}</p>'
    return _strip(first, getattr(dataset, "classes", None)) + note


def _unchanged(read: Any) -> Any:
    """Random augmentation must not make a display change what training draws next."""
    import mlkit

    if not hasattr(mlkit, "get_rng_state"):
        return read()
    state = mlkit.get_rng_state()
    try:
        return read()
    finally:
        mlkit.set_rng_state(state)


def _part(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{dtype_name(value)} {shape_text(value.shape)}"
    return f"{type(value).__name__} {value!r}" if isinstance(value, (int, float, str, bool)) else type(value).__name__


def _array(value: Any) -> np.ndarray | None:
    if isinstance(value, np.ndarray) or hasattr(value, "_array"):
        array = raw(value)
        return None if array is None else to_numpy(array)
    return None


def _strip(first: list[Any], classes: Any) -> str:
    figures = []
    for sample in first:
        values = sample if isinstance(sample, (tuple, list)) else (sample,)
        array = _array(values[0])
        if array is None or array.ndim not in (2, 3):
            return ""
        images = picture.as_images(array[None] if array.ndim == 3 else array[None, None])
        if images is None:
            return ""
        figures.append(_figure(images[0], label_text(values[1], classes) if len(values) > 1 else ""))
    return strip(figures)


def _figure(one: np.ndarray, label: str) -> str:
    low, high, _ = picture.brightness(one)
    step = max(1, -(-max(one.shape[:2]) // 64))
    uri, width, height = picture.image_png(picture.pixels(one[::step, ::step], low, high), 56)
    return f"<figure>{image(uri, f'sample, label {label}' if label else 'sample', width, height, 'pixels')}<figcaption>{escape(label, 14)}</figcaption></figure>"


def label_text(value: Any, classes: Any = None) -> str:
    """A label as a word: the class's name where the dataset has ``classes``."""
    array = _array(value)
    item = array.item() if array is not None and array.size == 1 else value
    if classes is not None and isinstance(item, int) and 0 <= item < len(classes):
        return str(classes[item])
    return "" if array is not None and array.size != 1 else str(item)


def balance(dataset: Any) -> str:
    """Bars of how often each class comes, where the dataset keeps its labels together (``targets`` or ``labels``)."""
    labels = getattr(dataset, "targets", None)
    labels = getattr(dataset, "labels", None) if labels is None else labels
    if labels is None:
        return ""
    array = _array(labels)
    array = np.asarray(labels) if array is None else array
    if array.ndim != 1 or array.dtype.kind not in "iub" or not array.size:
        return ""
    values, counts = np.unique(array, return_counts=True)
    classes = getattr(dataset, "classes", None)
    names = [label_text(int(v), classes) for v in values]
    limit = 20
    chart = svg.bars(names, counts.tolist(), limit=limit)
    alt = "class balance: " + ", ".join(f"{n} {c}" for n, c in zip(names[:limit], counts.tolist(), strict=False))
    height = max(18, min(limit, len(names)) * 18)
    more = f" (the first {limit} of {number(len(names))})" if len(names) > limit else ""
    return f"<figure><figcaption>class balance{more}</figcaption>{svg.embed(chart, alt, 320, height)}</figure>"
