"""PyTorch's documented names are here: ``public_names.txt``, counted from PyTorch by `make_names`, lists them by path.

Those that are not are listed in ``absent_names.txt``: a name that goes missing fails, and so does one that came
and is still listed as absent. ``python -m tests.torch.test_names_of_public_code`` prints what that file should hold.
"""

import textwrap
from pathlib import Path

import pytest

from mlkit.torch import namespace
from mlkit.torch.paths import NOT_HERE

HERE = Path(__file__).parent


def by_path(file: str) -> dict[str, list[str]]:
    text = (HERE / file).read_text("utf-8").replace("\n    ", " ")
    return {path: names.split() for path, _, names in (line.partition(":") for line in text.splitlines())}


PUBLIC, ABSENT = by_path("public_names.txt"), by_path("absent_names.txt")


def gone(path: str) -> list[str]:
    if path in NOT_HERE:
        return []
    home = namespace.load("torch").Tensor if path == "torch.Tensor" else namespace.load(path)
    return [name for name in PUBLIC[path] if not hasattr(home, name)]


@pytest.mark.parametrize("path", PUBLIC)
def test_every_documented_name_is_here_or_known_to_be_absent(path):
    assert gone(path) == ABSENT.get(path, [])


def test_most_are_here():
    paths = [path for path in PUBLIC if path not in NOT_HERE]
    asked = {"torch", "torch.Tensor", "torch.nn", "torch.nn.functional", "torch.optim", "torch.optim.lr_scheduler"}
    for path in asked:
        assert len(ABSENT.get(path, [])) <= 0.2 * len(PUBLIC[path]), path
    assert asked < set(paths) and not set(ABSENT) - set(paths)


if __name__ == "__main__":
    for path in PUBLIC:
        if names := gone(path):
            print(textwrap.fill(" ".join(names), 118, initial_indent=f"{path}: ", subsequent_indent="    ",
                                break_on_hyphens=False, break_long_words=False))  # fmt: skip
