"""The list of differences is true: each one shows itself, and names are compared with PyTorch's own."""

import pytest

from mlkit.torch import differences, namespace
from mlkit.torch.paths import NOT_HERE, PLACES


@pytest.mark.parametrize("difference", differences.DIFFERENCES, ids=lambda d: d.what[:40])
def test_a_difference_is_as_described(difference):
    assert differences.run(difference.program) == difference.here != difference.there


def test_the_list_prints(capsys):
    differences.main()
    text = capsys.readouterr().out
    assert all(d.what in text for d in differences.DIFFERENCES) and "torch.fx" in text and "sparse_coo_tensor" in text


def test_every_missing_name_says_so():
    for path, (kinds, others) in differences.missing_names().items():
        if not namespace.exists(path):
            continue
        home = namespace.load(path)
        for name in kinds + others:
            with pytest.raises(AttributeError) as caught:
                getattr(home, name)
            text = str(caught.value)
            assert path in text and name in text
            if name in others and f"{path}.{name}" not in NOT_HERE and f"{path}.{name}" not in PLACES:
                assert "PyTorch's, and mlkit does not have it" in text or "is not in mlkit" in text, text


@pytest.mark.parametrize(
    ("path", "share"),
    [("torch.nn", 0.95), ("torch.nn.functional", 0.85), ("torch.optim", 0.9), ("torch.optim.lr_scheduler", 1.0),
     ("torch.nn.init", 1.0), ("torch.linalg", 1.0), ("torch.fft", 0.94), ("torch.special", 1.0),
     ("torch.distributions", 0.9), ("torch.autograd", 0.8), ("torch.func", 0.8), ("torch.amp", 1.0),
     ("torch.nn.utils.rnn", 1.0), ("torch.types", 1.0)],
)  # fmt: skip
def test_how_much_of_a_path_is_here(path, share):
    names = namespace.pytorch_names()[path]
    gone = sum(map(len, differences.missing_names()[path]))
    assert 1 - gone / len(names) >= share


@pytest.mark.parametrize("path", sorted(PLACES))
def test_every_path_loads(path):
    if not namespace.exists(path):
        with pytest.raises(ModuleNotFoundError, match=path):
            namespace.load(path)
        return
    module = namespace.load(path)
    assert module.__name__ == path
    for name in dir(module):
        assert hasattr(module, name) or f"{path}.{name}" not in PLACES, name


@pytest.mark.parametrize("path", sorted(NOT_HERE))
def test_every_path_that_is_not_here_says_why(path):
    with pytest.raises(ModuleNotFoundError, match=path) as caught:
        namespace.load(path)
    assert NOT_HERE[path] in str(caught.value)


def test_mlkits_own_names_are_not_pytorchs():
    torch = namespace.load("torch")
    for name in ("Trainer", "display", "config"):
        assert not hasattr(torch, name)
    with pytest.raises(AttributeError, match="import mlkit"):
        torch.Trainer
