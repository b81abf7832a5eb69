"""The page "Coming from PyTorch" runs from the top, as its cells stand."""

import json

from mlkit.torch.differences import DIFFERENCES
from tests.tools.notebooks import ROOT, run_guide

PAGE = ROOT / "notebooks" / "guide" / "coming-from-pytorch.ipynb"


def test_the_page_runs(tmp_path):
    said = run_guide("coming-from-pytorch", tmp_path).said
    losses = [float(line.rpartition(" ")[2]) for line in said("train").splitlines() if line.startswith("epoch ")]
    assert len(losses) == 3 and losses[2] < 0.5 * losses[0]
    assert "Did you mean 'Linear'" in said("missing") and "Sparse tensors are not supported now" in said("missing")
    assert all(difference.what in said("differences") for difference in DIFFERENCES)
    assert "Using a target size (torch.Size([3]))" in said("broadcast")


def test_the_page_holds_no_outputs():
    assert not any(cell.get("outputs") for cell in json.loads(PAGE.read_text("utf-8"))["cells"])
