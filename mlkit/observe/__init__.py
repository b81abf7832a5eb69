"""Watch and steer training: recorders, run directories, and one `Source` to read them all.

A training loop reports to a `Recorder`; whoever draws (a widget, a dashboard, a report) asks `open_source` for a
`Source` and does not care whether the run is in this process, in another, or over.
"""

import importlib
from typing import TYPE_CHECKING

from mlkit.observe.control import Control
from mlkit.observe.directory import RunDirectory
from mlkit.observe.overview import Overview
from mlkit.observe.recorder import Recorder
from mlkit.observe.runs import RunSummary, RunTable, compare_runs, delete_run, list_runs, rename_run, tidy_runs
from mlkit.observe.source import DirectorySource, RecorderSource, Source, open_source

if TYPE_CHECKING:
    from mlkit.observe.flow import GradientFlow, open_flow

__all__ = [
    "Control",
    "DirectorySource",
    "GradientFlow",
    "Overview",
    "Recorder",
    "RecorderSource",
    "RunDirectory",
    "RunSummary",
    "RunTable",
    "Source",
    "compare_runs",
    "delete_run",
    "list_runs",
    "open_flow",
    "open_source",
    "rename_run",
    "tidy_runs",
]


def __getattr__(name: str):
    """Looking at gradients needs layers and optimizers, which a reader of runs does without."""
    if name not in ("GradientFlow", "open_flow", "flow"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    flow = importlib.import_module("mlkit.observe.flow")
    found = flow if name == "flow" else getattr(flow, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
