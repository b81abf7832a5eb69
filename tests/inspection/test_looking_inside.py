"""The guide's notebook on looking inside runs from the top and says what its text says."""

from __future__ import annotations

from pathlib import Path

from tests.tools.notebooks import run_guide


def test_the_guide_shows_what_it_tells_of(tmp_path: Path) -> None:
    guide = run_guide("looking-inside", tmp_path, "graph_inspector")
    said, picture = guide.said, guide.picture
    right = int(said("number").split("the label is")[1].split()[0])
    assert f"linear in 3 (Linear): output[0, {right}] =" in said("number")
    assert "max_pool2d in 1.3" in said("back") and "conv2d in 1.0" in said("back")
    shares = [float(line.split(":")[1].split()[0]) for line in said("if").splitlines()]
    assert len(shares) == 4 and len(set(shares)) == 4 and all(0 < share < 1 for share in shares)
    assert "then ShapeError" in said("error") and "the first NaN comes from mul" in said("nan")
    for name in ("open", "gradient", "error", "nan", "playground"):
        assert picture(name).startswith("<svg")
