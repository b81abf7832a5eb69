"""Keep what torchvision's models are: ``python -m tests.torch.make_models`` with torch and torchvision 0.28 installed.

Writes ``models.json``: for each model a digest of its parameters' names, shapes and order; for small ones the numbers
that they give with weights drawn by NumPy. The tests read it; torchvision is not needed to run them.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

SMALL = ("resnet18", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "densenet121", "efficientnet_b0")


def names_of(model) -> list:
    """The state's names, shapes and types, and the parameters' order."""
    state = [
        [name, list(value.shape), str(value.dtype).partition(".")[2]] for name, value in model.state_dict().items()
    ]
    return [state, [name for name, _ in model.named_parameters()]]


def digest(model) -> str:
    return hashlib.sha256(json.dumps(names_of(model)).encode()).hexdigest()[:16]


def fill(torch, model) -> None:
    """Weights of a usual size, the same in every library."""
    draw = np.random.default_rng(0)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            values = draw.standard_normal(tuple(tensor.shape)).astype(np.float32)
            if name.endswith("running_var"):
                values = 1 + 0.1 * abs(values)
            elif tensor.dim() > 1:
                values /= np.sqrt(tensor.numel() / tensor.shape[0])
            else:
                values = 0.1 * values + ("weight" in name)
            tensor.copy_(torch.from_numpy(values))


def outputs(torch, models) -> dict[str, list[float]]:
    """Numbers of small models on one picture; of the others' kinds, small ones made by their classes."""
    made = {name: models.get_model(name, num_classes=7) for name in SMALL}
    made["resnext"] = models.ResNet(models.resnet.Bottleneck, [1, 1, 1, 1], 7, groups=4, width_per_group=8)
    made["dilated"] = models.ResNet(models.resnet.Bottleneck, [2, 1, 1, 2], 7,
                                    replace_stride_with_dilation=[False, True, True])  # fmt: skip
    made["vit"] = models.VisionTransformer(64, 16, 2, 2, 32, 48, num_classes=7)
    found = {}
    for name, model in made.items():
        fill(torch, model)
        size = 64
        picture = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, size, size)).astype(np.float32))
        with torch.no_grad():
            found[name] = model.eval()(picture).flatten().tolist()
    return found


def main() -> None:
    import torch
    import torchvision
    from torchvision import models

    from mlkit.torch.parts.models import list_models

    with torch.device("meta"):
        digests = {name: digest(models.get_model(name)) for name in list_models()}
    files = {
        name: [[one.name, one.url, *(one.transforms.keywords.get(k, d) for k, d in (("crop_size", 0), ("resize_size", 256)))]
               for one in models.get_model_weights(name) if one.name != "IMAGENET1K_FEATURES"]
        for name in list_models()
    }  # fmt: skip
    defaults = {name: models.get_model_weights(name).DEFAULT.name for name in list_models()}
    kept = {"torchvision": torchvision.__version__.partition("+")[0], "digests": digests, "files": files,
            "defaults": defaults, "outputs": outputs(torch, models)}  # fmt: skip
    path = Path(__file__).with_name("models.json")
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    print(f"{len(digests)} models, torchvision {kept['torchvision']}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
