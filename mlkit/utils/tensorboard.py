"""A ``SummaryWriter`` onto a run directory, which mlkit's curves and dashboards read."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, ShapeError
from mlkit.core.files import atomic_write
from mlkit.observe import Recorder

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Scalars, texts, pictures and histograms of a training go to a run directory below `log_dir`.

    See the curves with ``mlkit.widgets.Watch(writer.run_directory)``; they are not TensorBoard's files. Pictures are
    ``images/<tag>/<step>.png``; histograms are lines of ``histograms/<tag>.jsonl``, each with "step", "edges" and
    "counts", and their mean and deviation are curves.

    Args:
        log_dir: Folder that holds the run directory; ``$MLKIT_RUNS`` or ``./runs`` by default.
        comment: Part of the run's name.
    """

    def __init__(self, log_dir: str | os.PathLike | None = None, comment: str = "", *args: Any, **options: Any):
        root = None if log_dir is None else Path(log_dir).parent
        name = (Path(log_dir).name if log_dir is not None else "run") + comment
        self._recorder = Recorder("".join(c if c.isalnum() or c in "._-" else "-" for c in name), root=root)
        self._recorder.begin()
        self._step = 0
        self._closed = False

    @property
    def run_directory(self) -> Path | None:
        """Where the run is kept."""
        return self._recorder.path

    log_dir = run_directory

    def get_logdir(self) -> str:
        """Where the run is kept."""
        return str(self.run_directory)

    def add_scalar(
        self, tag: str, scalar_value: Any, global_step: int | None = None, *args: Any, **options: Any
    ) -> None:
        """One point of the curve `tag`."""
        self._step = self._step + 1 if global_step is None else int(global_step)
        self._recorder.record(self._step, {tag: float(scalar_value)})

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: int | None = None, *a: Any
    ) -> None:
        """One point of each curve ``main_tag/name``."""
        self._step = self._step + 1 if global_step is None else int(global_step)
        self._recorder.record(self._step, {f"{main_tag}/{n}": float(v) for n, v in tag_scalar_dict.items()})

    def add_text(self, tag: str, text_string: str, global_step: int | None = None, *args: Any) -> None:
        """A message among the run's events."""
        self._recorder.event("message", tag=tag, text=str(text_string))

    def add_hparams(self, hparam_dict: dict[str, Any], metric_dict: dict[str, Any] | None = None, *args: Any) -> None:
        """What the run was made with, and how it ended."""
        self._recorder.update(hyperparameters={k: getattr(v, "item", lambda v=v: v)() for k, v in hparam_dict.items()})
        if metric_dict:
            self._recorder.record(self._step, {name: float(value) for name, value in metric_dict.items()})

    def add_image(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: Any = None, dataformats: str = "CHW"
    ) -> None:
        """A picture: numbers from 0 to 1, or bytes; its axes are named by `dataformats` ("CHW", "HWC" or "HW")."""
        self._write_image(tag, _picture(tag, img_tensor, dataformats), global_step)

    def add_images(
        self, tag: str, img_tensor: Any, global_step: int | None = None, walltime: Any = None, dataformats: str = "NCHW"
    ) -> None:
        """Pictures side by side, [N, C, H, W] unless `dataformats` says otherwise."""
        array = _array(img_tensor)
        if sorted(dataformats.upper()) != sorted("NCHW") or array.ndim != 4:
            raise ShapeError(f"add_images: {tag!r} has the shape {list(array.shape)}, which is not {dataformats}.")
        array = array.transpose([dataformats.upper().index(axis) for axis in "NHWC"])
        columns = int(np.ceil(np.sqrt(len(array))))
        blank = np.zeros_like(array[:1])
        rows = [array[i : i + columns] for i in range(0, len(array), columns)]
        rows[-1] = np.concatenate([rows[-1], *[blank] * (columns - len(rows[-1]))])
        together = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
        self._write_image(tag, _picture(tag, together, "HWC"), global_step)

    def add_figure(
        self, tag: str, figure: Any, global_step: int | None = None, close: bool = True, walltime: Any = None
    ) -> None:
        """A figure of matplotlib, or several in a list, as pictures; `close`: it is not needed any more."""
        figures = list(figure) if isinstance(figure, (list, tuple)) else [figure]
        for number, one in enumerate(figures):
            path = self._file("images", tag if len(figures) == 1 else f"{tag}-{number}", global_step, ".png")
            if path is not None:
                with atomic_write(path, mode="wb") as file:
                    one.savefig(file, format="png")
            if close:
                import matplotlib.pyplot

                matplotlib.pyplot.close(one)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        *args: Any,
        **options: Any,
    ) -> None:
        """How often which values are there: 64 equal intervals, or what `bins` says to `numpy.histogram`."""
        array = _array(values).astype(np.float64).ravel()
        finite = array[np.isfinite(array)]
        if not len(finite):
            raise ArgumentError(f"add_histogram: {tag!r} has no finite value among {len(array)}.")
        counts, edges = np.histogram(finite, bins=64 if bins == "tensorflow" else bins)
        step = self._next(global_step)
        path = self._file("histograms", tag, None, ".jsonl")
        if path is not None:
            line = {"step": step, "edges": edges.tolist(), "counts": counts.tolist()}
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self._recorder.record(step, {f"{tag}/mean": float(finite.mean()), f"{tag}/std": float(finite.std())})

    def _next(self, step: int | None) -> int:
        self._step = self._step + 1 if step is None else int(step)
        return self._step

    def _file(self, kind: str, tag: str, step: int | None, ending: str) -> Path | None:
        """Where a picture or a histogram goes; None where no run directory could be made, which was said then."""
        if self.run_directory is None:
            return None
        parts = ["".join(c if c.isalnum() or c in "._-" else "-" for c in part).strip(".") for part in tag.split("/")]
        place = self.run_directory / kind / Path(*[part or "-" for part in parts])
        path = place / f"{self._next(step)}{ending}" if kind == "images" else place.with_name(place.name + ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write_image(self, tag: str, pixels: np.ndarray, step: int | None) -> None:
        from PIL import Image

        path = self._file("images", tag, step, ".png")
        if path is not None:
            with atomic_write(path, mode="wb") as file:
                Image.fromarray(pixels).save(file, format="PNG")

    def add_graph(self, *args: Any, **options: Any) -> None:
        """Not kept; says once what there is instead."""
        warnings.warn(
            "SummaryWriter.add_graph: not kept. mlkit.compiler.trace(model, x) gives the graph, and shows it.",
            stacklevel=2,
        )

    def _not_kept(self, *args: Any, **options: Any) -> None:
        """Not kept; says so once."""
        warnings.warn(
            "SummaryWriter: embeddings, sounds, videos, meshes and precision-recall curves are not kept; scalars, texts, "
            "pictures, figures and histograms are.",
            stacklevel=2,
        )

    add_image_with_boxes = add_video = add_audio = add_histogram_raw = add_embedding = add_pr_curve = _not_kept
    add_custom_scalars = add_custom_scalars_marginchart = add_custom_scalars_multilinechart = add_mesh = _not_kept
    add_tensor = add_onnx_graph = _not_kept

    def flush(self) -> None:
        """Write what is not written yet."""
        self._recorder.flush()

    def close(self) -> None:
        """The run is finished."""
        if not self._closed:
            self._closed = True
            self._recorder.end("finished")

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def _picture(tag: str, values: Any, axes: str) -> np.ndarray:
    """Bytes [height, width, channels], or [height, width]."""
    array, axes = _array(values), axes.upper()
    if sorted(axes) not in (sorted("CHW"), sorted("HW")) or array.ndim != len(axes):
        raise ShapeError(
            f"add_image: {tag!r} has the shape {list(array.shape)}, which is not {axes}.",
            hint="Name its axes: dataformats='CHW', 'HWC' or 'HW'.",
        )
    array = array.transpose([axes.index(axis) for axis in ("HWC" if "C" in axes else "HW")])
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4):
        raise ShapeError(
            f"add_image: {tag!r} has {array.shape[-1]} channels, and a picture has 1, 3 or 4.",
            hint="Name its axes: dataformats='CHW', 'HWC' or 'HW'.",
        )
    if array.dtype != np.uint8:
        array = (np.clip(np.nan_to_num(array.astype(np.float64)), 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
