"""Importing the widgets: lazily, with an explanation when something is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlkit_widgets import _base


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_importing_loads_neither_numpy_nor_a_notebook() -> None:
    done = run(
        "import sys, mlkit_widgets; mlkit_widgets.__all__; dir(mlkit_widgets)\n"
        "print(sorted({'numpy', 'anywidget', 'ipywidgets', 'IPython', 'traitlets'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_alias_is_the_same_package() -> None:
    done = run(
        "from mlkit.widgets import Watch, TrainingCurves, GraphInspector\n"
        "import mlkit_widgets\n"
        "print(Watch is TrainingCurves is mlkit_widgets.TrainingCurves, GraphInspector.__module__)"
    )
    assert done.stdout.split() == ["True", "mlkit_widgets.graph_inspector.widget"], done.stderr


@pytest.mark.parametrize("missing", ["anywidget", "traitlets"])
def test_without_the_notebook_parts_the_error_names_the_install(missing: str) -> None:
    done = run(f"import sys; sys.modules[{missing!r}] = None\nfrom mlkit.widgets import Watch")
    assert done.returncode == 1
    assert 'pip install "mlkit[lab]"' in done.stderr and f"needs {missing}" in done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    import mlkit_widgets

    with pytest.raises(AttributeError, match="TrainingCurves"):
        _ = mlkit_widgets.Curves


def test_a_checkout_that_was_not_built_says_how(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make widgets"):
        _base.read_view(tmp_path, "TrainingCurves")
    (tmp_path / "view.js").write_text("export default {}", "utf-8")
    assert _base.read_view(tmp_path, "TrainingCurves") == "export default {}"
