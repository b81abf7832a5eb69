# torchvision.transforms.v2: pictures and tensors through the same pipeline; what draws nothing is equal to the digit.
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

pixels = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
picture = Image.fromarray(pixels)
pipeline = v2.Compose(
    [
        v2.ToImage(),
        v2.Resize((24, 32), antialias=True),
        v2.CenterCrop(20),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
)
out = pipeline(picture)
print(out.shape, out.dtype, f"{out.mean().item():.2f} {out.std().item():.2f}")
tensor = torch.from_numpy(pixels).permute(2, 0, 1)
for name, value in {
    "flip": F.horizontal_flip(tensor),
    "crop": F.crop(tensor, 2, 3, 10, 12),
    "pad": F.pad(tensor, [1, 2, 3, 4], fill=7),
    "gray": F.rgb_to_grayscale(tensor),
    "bright": F.adjust_brightness(tensor, 1.5),
    "invert": F.invert(tensor),
    "solarize": F.solarize(tensor, 128),
    "posterize": F.posterize(tensor, 3),
    "five": torch.stack(v2.FiveCrop(8)(tensor)),
    "permuted": F.permute_channels(tensor, [2, 0, 1]),
    "image": F.to_image(picture),
    "half": F.to_dtype(tensor, torch.float16, scale=True) > 0.5,
    "colour": F.grayscale_to_rgb(F.rgb_to_grayscale(tensor)),
    "size": torch.tensor(F.get_size(picture)),
    "quarter": F.rotate(tensor, 90, expand=True),
}.items():
    print(name, tuple(value.shape), value.dtype, int(value.long().sum()))
for transform in (
    v2.RandomHorizontalFlip(p=1.0),
    v2.RandomVerticalFlip(p=1.0),
    v2.RandomGrayscale(p=1.0),
    v2.RandomInvert(p=1.0),
    v2.Lambda(lambda x: x // 2),
    v2.Identity(),
):
    print(type(transform).__name__, int(transform(tensor).long().sum()), int(transform(tensor)[0, 0, 0]))
print(repr(v2.CenterCrop(16)).startswith("CenterCrop("), isinstance(v2.RandomApply([v2.Identity()], p=0.3), v2.Transform))
shapes = [
    v2.RandomResizedCrop(16)(tensor).shape,
    v2.RandomRotation(20)(tensor).shape,
    v2.RandAugment()(picture).size,
    v2.TrivialAugmentWide()(picture).size,
    v2.RandomErasing(p=1)(tensor).shape,
]
print(shapes)
images, labels = v2.MixUp(num_classes=4)(torch.zeros(6, 3, 8, 8), torch.arange(6) % 4)
print(images.shape, labels.shape, labels.sum(1).tolist())
images, labels = v2.CutMix(num_classes=4)(torch.zeros(6, 3, 8, 8), torch.arange(6) % 4)
print(images.shape, [round(v, 4) for v in labels.sum(1).tolist()])
