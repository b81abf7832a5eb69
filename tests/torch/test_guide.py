"""The page "Coming from PyTorch" runs from the top, as its cells stand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlkit.torch.differences import DIFFERENCES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "notebooks" / "guide" / "coming-from-pytorch.ipynb"


def test_the_page_runs(tmp_path):
    pytest.importorskip("IPython")
    cells = [
        "".join(cell["source"]) for cell in json.loads(PAGE.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    code = (
        "import json, sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "for cell in json.load(sys.stdin):\n    shell.run_cell(cell).raise_error()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "widgets")]), "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        env=env,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("epoch ")]
    assert len(losses) == 3 and losses[2] < 0.5 * losses[0]
    assert "Did you mean 'Linear'" in done.stdout and "Sparse tensors are not supported now" in done.stdout
    assert all(difference.what in done.stdout for difference in DIFFERENCES)
    assert "Using a target size (torch.Size([3]))" in done.stderr


def test_the_page_holds_no_outputs():
    assert not any(cell.get("outputs") for cell in json.loads(PAGE.read_text("utf-8"))["cells"])
