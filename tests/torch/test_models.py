"""torchvision's models: its names and shapes, its numbers, files of weights from the disk."""

import json
from pathlib import Path

import numpy as np
import pytest

import mlkit
from mlkit.torch import namespace
from mlkit.torch.parts import models
from tests.torch.make_models import digest, outputs

KEPT = json.loads(Path(__file__).with_name("models.json").read_text("utf-8"))


def test_every_model_has_torchvisions_names_and_shapes():
    assert sorted(KEPT["digests"]) == models.list_models()
    with mlkit.device("meta"):
        wrong = [name for name, expected in KEPT["digests"].items() if digest(models.get_model(name)) != expected]
    assert not wrong


def test_the_files_of_weights_are_torchvisions():
    for name, files in KEPT["files"].items():
        kind = models.get_model_weights(name)
        ours = {one.name: [one.url, one.value.crop_size, one.value.resize_size] for one in kind}
        assert ours == {key: [url, crop, resize] for key, url, crop, resize in files}, name
        assert kind.DEFAULT.name == KEPT["defaults"][name] and kind.DEFAULT is kind[kind.DEFAULT.name]


def test_outputs_are_torchvisions():
    found = outputs(mlkit, namespace.load("torchvision").models)
    assert found.keys() == KEPT["outputs"].keys()
    for name, values in found.items():
        expected = np.array(KEPT["outputs"][name])
        np.testing.assert_allclose(values, expected, rtol=0, atol=2e-4 * abs(expected).max(), err_msg=name)


def test_weights_come_from_a_file(tmp_path, monkeypatch):
    import mlkit.torch as torch

    there = models.resnet18(num_classes=3)
    torch.save(there.state_dict(), tmp_path / "mine.pth")
    again = models.resnet18(weights=str(tmp_path / "mine.pth"), num_classes=3)
    assert torch.equal(again.layer4[1].conv2.weight, there.layer4[1].conv2.weight)
    with pytest.raises(RuntimeError, match="not of this model"):
        models.resnet34(weights=tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="no file"):
        models.resnet34(weights=tmp_path / "nothing.pth")
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    try:
        with pytest.raises(ValueError, match=r"(?s)squeezenet1_1-b8a52dc0\.pth.*Get the file") as caught:
            models.squeezenet1_1(weights="DEFAULT")
        assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
        kept = models.squeezenet1_1()
        torch.save(kept.state_dict(), models.SqueezeNet1_1_Weights.DEFAULT.path())
        for weights in ("DEFAULT", "IMAGENET1K_V1", models.SqueezeNet1_1_Weights.DEFAULT,
                        models.get_weight("SqueezeNet1_1_Weights.IMAGENET1K_V1")):  # fmt: skip
            loaded = models.squeezenet1_1(weights=weights)
            assert torch.equal(loaded.classifier[1].weight, kept.classifier[1].weight)
        with pytest.warns(UserWarning, match="weights='DEFAULT'"):
            models.squeezenet1_1(pretrained=True)
        with pytest.raises(TypeError, match="num_classes=3"):
            models.squeezenet1_1(weights="DEFAULT", num_classes=3)
    finally:
        torch.hub.set_dir(before)
    with pytest.raises(TypeError, match="not of this model"):
        models.squeezenet1_1(weights=models.ResNet18_Weights.DEFAULT)


def test_public_files_of_densenet_have_older_names(tmp_path):
    import re

    import mlkit.torch as torch

    model = models.DenseNet(8, (2, 1), 8, num_classes=4)
    state = {re.sub(r"(denselayer\d\.(?:norm|conv))(\d)", r"\1.\2", k): v for k, v in model.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    again = models.DenseNet(8, (2, 1), 8, num_classes=4)
    models.densenet._Older(again).load_state_dict(state)
    assert torch.equal(
        again.features.denseblock1.denselayer2.conv2.weight, model.features.denseblock1.denselayer2.conv2.weight
    )


def test_pictures_are_prepared_as_the_weights_need_them():
    from PIL import Image

    prepare = models.ResNet50_Weights.DEFAULT.transforms()
    assert (prepare.crop_size, prepare.resize_size) == ([224], [232])
    out = prepare(Image.new("RGB", (300, 260), (255, 0, 0)))
    assert out.shape == (3, 224, 224) and abs(out[0].mean().item() - (1 - 0.485) / 0.229) < 1e-5
    with pytest.raises(KeyError, match="ImageNet's classes"):
        models.ResNet50_Weights.DEFAULT.meta["categories"]


def test_branches_are_left_out_while_training():
    from mlkit.torch.parts.models.blocks import StochasticDepth

    mlkit.manual_seed(0)
    layer, x = StochasticDepth(0.25), mlkit.ones(4000, 2)
    out = layer(x)
    assert set(out.flatten().tolist()) <= {0.0, mlkit.tensor(1 / 0.75).item()} and abs(out.mean().item() - 1) < 0.05
    assert mlkit.equal(out[:, 0], out[:, 1]) and layer.eval()(x) is x
    with pytest.raises(RuntimeError, match="64"):
        models.VisionTransformer(64, 16, 1, 2, 8, 8)(mlkit.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="resnet18"):
        models.get_model("resnet19")
