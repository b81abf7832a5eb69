"""`import mlkit` is light: NumPy and mlkit's own core, nothing of the notebook, no compiler, no GPU library."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "IPython",
    "numba",
    "ipywidgets",
    "anywidget",
    "traitlets",
    "matplotlib",
    "cupy",
    "tqdm",
    "plotly",
    "safetensors",
}


def imported_by(statement: str) -> set[str]:
    """The names of all modules that a fresh Python loads for `statement`, from -X importtime."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")][1:]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def top(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


def test_import_mlkit_loads_nothing_heavy():
    modules = imported_by("import mlkit")
    assert "numpy" in modules and "mlkit.core.tensor" in modules  # the list is real
    assert not top(modules) & HEAVY


def test_a_step_of_training_loads_no_notebook():
    modules = imported_by(
        "import mlkit; from mlkit import nn, optim; m = nn.Linear(2, 1); o = optim.SGD(m.parameters(), 0.1);"
        "m(mlkit.ones(3, 2)).sum().backward(); o.step()"
    )
    assert not top(modules) & (HEAVY - {"numba"})


def test_reading_runs_loads_no_layers_and_no_optimizers():
    modules = imported_by("import mlkit.observe")
    assert "mlkit.observe.runs" in modules
    assert not {m for m in modules if m.startswith(("mlkit.nn", "mlkit.optim", "mlkit.observe.flow"))}
    modules = imported_by("from mlkit.observe import GradientFlow, open_flow; GradientFlow.__name__")
    assert "mlkit.observe.flow.attach" in modules


@pytest.mark.parametrize("words", ["--help", "--version", "demo --help"])
def test_the_command_answers_without_loading_arrays_of_anything(words):
    modules = imported_by(
        f"import sys\nfrom mlkit.cli import main\ntry: main({words.split()!r})\nexcept SystemExit as e: sys.exit(e.code)"
    )
    assert not top(modules) & HEAVY
