"""mlkit's own objects through their notebook hooks: tensors with gradients, parameters, optimizers, loaders."""

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.display import dataset, optimizer


def test_a_tensor_shows_dtype_shape_device_and_grad(parse):
    x = mlkit.randn(4, 6, requires_grad=True)
    (x * x).sum().backward()
    page = parse(x._repr_html_())
    assert "float32 [4, 6] cpu grad" in page.text
    assert "value" in page.text and "gradient" in page.text
    assert len(page.all("table", "values")) == 2
    y = x * 2
    assert "MulBackward" in parse(y._repr_html_()).text and "gradient" not in parse(y._repr_html_()).text


@pytest.mark.parametrize("make", [
    lambda: mlkit.zeros(3, 4, device="meta"),
    lambda: mlkit.tensor(3.5),
    lambda: mlkit.zeros(0, 3),
    lambda: mlkit.arange(24).reshape(2, 3, 4).transpose(0, 2),
    lambda: mlkit.tensor([True, False]),
    lambda: nn.Parameter(mlkit.randn(16, 8, 3, 3)),
])  # fmt: skip
def test_every_kind_of_tensor(make, parse):
    tensor = make()
    page = parse(tensor._repr_html_())
    assert str(list(tensor.shape)) in page.text
    bundle = tensor._repr_mimebundle_()
    assert bundle["text/plain"] == repr(tensor) and bundle["text/html"] == page.html


def test_displaying_runs_no_operation():
    from mlkit.core import events

    seen = []
    x = mlkit.randn(64, 3, 32, 32)
    stop = events.subscribe("op", lambda *args: seen.append(args[0]))
    try:
        x._repr_html_()
    finally:
        stop()
    assert seen == []


def test_an_optimizer_lists_its_groups(parse):
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    adam = mlkit.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 0.25}, {"params": model[1].parameters()}], lr=1e-3
    )
    page = parse(optimizer.html(adam))
    assert "AdamW" in page.text and "0.25" in page.text and "58 parameters in 2 groups" in page.text
    assert "no gradient yet: 4 tensors" in page.text
    model(mlkit.randn(3, 4)).sum().backward()
    adam.step()
    page = parse(optimizer.html(adam))
    assert "no gradient yet" not in page.text and "state" in page.text


def test_a_dataset_shows_samples_and_class_balance(parse):
    data = mlkit.data.LabelledImages(
        np.random.rand(30, 1, 8, 8).astype(np.float32), np.arange(30) % 3, ["cat", "dog", "<b>owl"], "pets"
    )
    page = parse(dataset.html(data))
    assert "30 samples" in page.text and "<b>owl" in page.text
    assert len([a for a in page.all("img") if a["alt"].startswith("sample, label")]) == 12
    assert any("cat 10, dog 10" in a["alt"] for a in page.all("img"))
    loader = mlkit.data.DataLoader(data, batch_size=8, shuffle=True)
    page = parse(dataset.html(loader))
    assert "4 batches of 8" in page.text and "shuffled" in page.text


def test_looking_at_a_loader_draws_nothing_from_the_random_stream():
    class Augmented(mlkit.data.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return mlkit.rand(1, 8, 8), index

    mlkit.manual_seed(3)
    expected = mlkit.rand(4).tolist()
    mlkit.manual_seed(3)
    dataset.html(Augmented())
    assert mlkit.rand(4).tolist() == expected


def test_a_dataset_that_fails_says_so(parse, hostile):
    class Broken(mlkit.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            raise OSError(hostile)

    assert "could not be read" in parse(dataset.html(Broken())).text
