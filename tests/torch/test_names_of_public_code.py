"""Names that tutorials and examples use are here: ``public_names.txt`` lists them by path."""

from pathlib import Path

import pytest

from mlkit.torch import namespace

LINES = Path(__file__).with_name("public_names.txt").read_text("utf-8").splitlines()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.partition(":")[0])
def test_a_name_is_here(line):
    path, _, names = line.partition(": ")
    home = namespace.load("torch").Tensor if path == "torch.Tensor" else namespace.load(path)
    if path == "torch.Tensor":
        home = home([[1.0]])
    gone = [name for name in names.split() if not hasattr(home, name)]
    assert not gone
