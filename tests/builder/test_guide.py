"""The guide "Build a model from blocks" runs from its top."""

import re

import pytest

from tests.tools.notebooks import run_guide


@pytest.mark.slow
def test_the_guide_runs_and_shows_what_it_says(tmp_path):
    guide = run_guide("build-a-model", tmp_path, "model_builder")
    for cell in ("train", "edit-code"):  # beside it may stand that kernels were compiled
        assert float(re.search(r"accuracy ([\d.]+)", guide.said(cell))[1]) >= 0.95, guide.said(cell)
    assert "class CNN(nn.Sequential)" in guide.said("show-code") and guide.said("save").endswith("True\n")
    assert len([name for name in guide.cells if guide.picture(name)]) == 3
