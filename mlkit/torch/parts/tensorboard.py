"""``torch.utils.tensorboard``: a ``SummaryWriter`` onto a run directory, which mlkit's curves and dashboards read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlkit.observe import Recorder
from mlkit.torch.hook import warn_once

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Scalars and texts of a training go to a run directory below `log_dir`.

    See them with ``mlkit.widgets.Watch(writer.run_directory)``; they are not TensorBoard's files.

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

    def _not_kept(self, *args: Any, **options: Any) -> None:
        """Not kept: a run directory holds curves and messages. Says so once."""
        warn_once("SummaryWriter: pictures, histograms, graphs and tables are not kept; scalars and texts are.")

    add_image = add_images = add_image_with_boxes = add_figure = add_video = add_audio = add_histogram = _not_kept
    add_histogram_raw = add_graph = add_embedding = add_pr_curve = add_custom_scalars = add_mesh = add_tensor = (
        _not_kept
    )

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
