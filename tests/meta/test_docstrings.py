"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS = {
    "mlkit.backends.cupy": "cupy",
    "mlkit.plot": "matplotlib",
    "mlkit_widgets": "anywidget",
    "mlkit.utils.einops": "einops",
}


def modules() -> list[str]:
    found = ["mlkit", "mlkit_widgets"]
    for package, folder in (("mlkit", ROOT / "mlkit"), ("mlkit_widgets", ROOT / "widgets" / "mlkit_widgets")):
        found += [
            module.name for module in pkgutil.walk_packages([str(folder)], package + ".", onerror=lambda name: None)
        ]
    return sorted(name for name in set(found) if not name.endswith("__main__"))


@pytest.mark.parametrize("name", modules())
def test_examples(name, tmp_path, monkeypatch):
    for prefix, package in NEEDS.items():
        if name.startswith(prefix):
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)  # an example may write a file
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said: list[str] = []
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
