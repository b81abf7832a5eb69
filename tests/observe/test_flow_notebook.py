"""The guide's notebook on gradients runs from the top and says what its text says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.notebooks import run_guide


def test_the_guide_shows_what_it_tells_of(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    guide = run_guide("watching-gradients", tmp_path, "gradient_flow")
    said, picture = guide.said, guide.picture
    assert said("findings").startswith("Vanishing gradients: layers 1 to") and "Sigmoid" in said("findings")
    assert "Nothing to complain of" in said("repair")
    right = [float(said(name).split("test accuracy")[1].split("%")[0]) for name in ("train", "repair")]
    assert right[0] < 20 and right[1] > 85
    assert said("wild").startswith("Exploding gradients") and said("dead").startswith("Dead units")
    assert "Nothing to complain of" in said("run")
    assert "Gradient flow of" in picture("healthy") and "Gradient flow of" in picture("run")
