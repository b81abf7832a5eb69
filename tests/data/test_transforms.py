"""Image transforms: torchvision's numbers, the distributions they promise, and what they say about bad arguments."""

from pathlib import Path

import numpy as np
import pytest

import mlkit
from mlkit.core.errors import ArgumentError, DataError, MlkitError
from mlkit.data import DataLoader, Dataset, transforms
from mlkit.data.transforms import functional as F

from . import transform_cases

Image = pytest.importorskip("PIL.Image")

KEPT = np.load(Path(__file__).with_name("torchvision.npz"))
ROUNDED = 1
"""Of 255: both round sums of float32 that are added up in another order."""


@pytest.mark.parametrize("kind", ["pil", "uint8", "float32"])
def test_torchvisions_numbers(kind):
    image = transform_cases.inputs(mlkit)[kind]
    before = np.array(np.asarray(image))
    for name, expression in transform_cases.CASES[kind].items():
        found = np.asarray(eval(expression, {"F": F, "x": image, "mode": transforms.InterpolationMode}))
        expected = KEPT[f"{kind}/{name}"]
        assert found.shape == expected.shape and found.dtype == expected.dtype, name
        difference = np.abs(found.astype(np.float64) - expected)
        if kind == "float32":
            assert difference.max() < 1e-4, name
        else:
            # a corner of a warped image lies on a pixel's edge: a few may fall to the other side
            assert (difference > ROUNDED).mean() < (0.003 if name == "perspective" else 1e-9), name
            assert (difference > 0).mean() < 0.003, name
        assert (np.asarray(image) == before).all(), f"{name} changed its input"


@pytest.mark.parametrize("name", [name for name in transform_cases.CASES["uint8"] if name not in ("erase",)])
def test_arrays_are_as_tensors(name):
    pixels = transform_cases.picture()
    tensor = transform_cases.inputs(mlkit)["uint8"]
    names = {"F": F, "mode": transforms.InterpolationMode}
    from_array = eval(transform_cases.CASES["uint8"][name], {**names, "x": pixels})
    from_tensor = eval(transform_cases.CASES["uint8"][name], {**names, "x": tensor}).numpy()
    assert isinstance(from_array, np.ndarray)
    planes = from_array[None] if from_array.ndim == 2 else from_array.transpose(2, 0, 1)
    assert (planes == from_tensor).all()


def test_a_batch_is_as_its_images():
    image = transform_cases.inputs(mlkit)["uint8"]
    both = mlkit.stack([image, F.hflip(image)])
    for change in (
        lambda x: F.resize(x, 9),
        lambda x: F.rotate(x, 20.0),
        lambda x: F.adjust_contrast(x, 1.4),
        F.equalize,
        F.autocontrast,
        lambda x: F.gaussian_blur(x, 3),
    ):
        assert (change(both)[0] == change(image)).all() and (change(both)[1] == change(F.hflip(image))).all()


def test_conversions_there_and_back():
    pixels = transform_cases.picture()
    image = Image.fromarray(pixels)
    tensor = transforms.ToTensor()(image)
    assert tensor.dtype == mlkit.float32 and tuple(tensor.shape) == (3, 21, 27)
    assert (tensor.numpy() == (pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))).all()
    assert (np.asarray(transforms.ToPILImage()(transforms.PILToTensor()(image))) == pixels).all()
    assert (transforms.ToTensor()(pixels) == tensor).all()
    for mode in ("1", "L", "LA", "RGBA", "I;16", "F", "I"):
        converted = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
        assert transforms.ToTensor()(converted).shape[0] == {"LA": 2, "RGBA": 4}.get(mode, 1)
    half = transforms.ConvertImageDtype(mlkit.uint8)(tensor)
    assert (half.numpy() == pixels.transpose(2, 0, 1)).all()
    assert F.convert_image_dtype(half, mlkit.float32).numpy().max() == pixels.max() / np.float32(255)
    assert F.convert_image_dtype(half, mlkit.int16).numpy().max() == int(pixels.max()) * 128
    with pytest.raises(ArgumentError, match="leave ToTensor"):
        transforms.ToTensor()(tensor)


def draws(transform, image, count=400):
    mlkit.manual_seed(0)
    return [np.asarray(transform(image)) for _ in range(count)]


def test_what_happens_at_random_happens_as_often_as_asked():
    pixels = transform_cases.picture()
    for p in (0.0, 0.25, 1.0):
        for transform, changed in (
            (transforms.RandomHorizontalFlip(p), F.hflip(pixels)),
            (transforms.RandomVerticalFlip(p), F.vflip(pixels)),
            (transforms.RandomInvert(p), F.invert(pixels)),
            (transforms.RandomGrayscale(p), F.rgb_to_grayscale(pixels, 3)),
            (transforms.RandomApply([transforms.Lambda(F.invert)], p), F.invert(pixels)),
        ):
            found = draws(transform, pixels, 200)
            share = np.mean([(one == changed).all() for one in found])
            assert all((one == changed).all() or (one == pixels).all() for one in found)
            assert abs(share - p) < 0.12, transform
    chosen = draws(transforms.RandomChoice([lambda x: 0, lambda x: 1], p=[1, 3]), pixels)
    assert abs(np.mean(chosen) - 0.75) < 0.08
    orders = draws(transforms.RandomOrder([lambda x: x + "a", lambda x: x + "b"]), "")
    assert {str(one) for one in orders} == {"ab", "ba"}


def test_crops_cover_the_image_evenly():
    rows, columns = np.mgrid[0:10, 0:12]
    place = (rows * 12 + columns).astype(np.uint8)
    corners = [one[0, 0] for one in draws(transforms.RandomCrop((7, 8)), place, 600)]
    counts = np.bincount(corners, minlength=120)
    assert set(np.flatnonzero(counts)) == {r * 12 + c for r in range(4) for c in range(5)}
    assert counts[counts > 0].min() > 10
    sizes = set()
    for _ in range(300):
        top, left, height, width = transforms.RandomResizedCrop.get_params(place, (0.2, 0.9), (0.5, 2.0))
        assert 0 <= top <= 10 - height and 0 <= left <= 12 - width
        sizes.add((height, width))
    assert len(sizes) > 20
    wide = np.zeros((3, 200), np.uint8)  # where no part of this shape fits: the middle
    assert transforms.RandomResizedCrop.get_params(wide, (0.9, 1.0), (0.75, 1.3)) == (0, 98, 3, 4)


def test_random_numbers_stay_in_their_ranges():
    image = transform_cases.inputs(mlkit)["uint8"]
    angles = [transforms.RandomRotation.get_params((-10, 30)) for _ in range(200)]
    assert -10 <= min(angles) < -5 and 25 < max(angles) <= 30
    for _ in range(50):
        angle, (x, y), scale, (sx, sy) = transforms.RandomAffine.get_params(
            (0, 5), (0.5, 0.1), (1, 2), (1, 2, 3, 4), [20, 10]
        )
        assert 0 <= angle <= 5 and abs(x) <= 10 and abs(y) <= 1 and 1 <= scale <= 2 and 1 <= sx <= 2 and 3 <= sy <= 4
    erased = transforms.RandomErasing(p=1.0, scale=(0.1, 0.2), value=7)
    for one in draws(erased, image, 50):
        share = (one == 7).all(0).mean()
        assert 0.05 < share < 0.3
    noise = transforms.RandomErasing(p=1.0, value="random")(image.float() / 255)
    assert (noise != image.float() / 255).any()
    assert (transforms.RandomErasing(p=1.0, inplace=False)(image) != image).any()


@pytest.mark.parametrize("kind", ["pil", "uint8"])
def test_automatic_augmentation_gives_images_of_the_same_kind(kind):
    image = transform_cases.inputs(mlkit)[kind]
    before = np.array(np.asarray(image))
    for transform in (
        *(transforms.AutoAugment(policy) for policy in transforms.AutoAugmentPolicy),
        transforms.RandAugment(3, 12),
        transforms.TrivialAugmentWide(),
        transforms.AugMix(),
        transforms.AugMix(10, 1, 2, 0.3, all_ops=False, interpolation="nearest", fill=3),
    ):
        found = [transform(image) for _ in range(60)]
        assert {type(one) for one in found} == {type(image)}
        assert {np.asarray(one).shape for one in found} == {before.shape}
        assert len({np.asarray(one).tobytes() for one in found}) > 10
        assert (np.asarray(image) == before).all()


def test_augmix_mixes_the_image_with_changed_versions_of_itself(monkeypatch):
    image = mlkit.full((3, 16, 16), 200, dtype=mlkit.uint8)
    asked = []

    def black(self, img, name, magnitude):
        asked.append(name)
        return img * 0

    with monkeypatch.context() as patch:
        patch.setattr(transforms.AugMix, "_do", lambda self, img, name, magnitude: img)
        assert (transforms.AugMix()(image) == image).all()  # the shares sum to 1
        patch.setattr(transforms.AugMix, "_do", black)
        found = [transforms.AugMix(mixture_width=2, chain_depth=3, all_ops=False)(image) for _ in range(200)]
    assert len(asked) == 200 * 2 * 3 and set(asked) == {
        "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Posterize", "Solarize", "AutoContrast", "Equalize"
    }  # fmt: skip
    own = np.array([one.numpy().max() / 200 for one in found])  # the image's own share, even from 0 to 1
    assert all((one == one.max()).all() for one in found) and abs(own.mean() - 0.5) < 0.1 and own.std() > 0.2


def test_mixing_keeps_the_sum_of_labels_and_of_pixels():
    mlkit.manual_seed(1)
    images, labels = mlkit.rand(6, 3, 8, 8), mlkit.tensor([0, 1, 2, 0, 1, 2])
    other = mlkit.tensor(np.roll(images.numpy(), 1, axis=0))
    mixed, shares = transforms.MixUp(num_classes=3)(images, labels)
    assert tuple(shares.shape) == (6, 3) and np.allclose(shares.numpy().sum(1), 1)
    share = shares[0, 0].item()  # sample 0 (class 0) is mixed with sample 5 (class 2)
    assert np.allclose(mixed.numpy(), share * images.numpy() + (1 - share) * other.numpy(), atol=1e-6)
    for _ in range(10):
        mixed, shares = transforms.CutMix(num_classes=3)((images, labels))
        own = (mixed == images).numpy().all(1)
        assert ((mixed == other).numpy().all(1) | own).all()
        assert np.isclose(own[0].mean(), shares[0, 0].item())
    batch = transforms.MixUp(num_classes=3)({"image": images, "label": labels, "name": list("abcdef")})
    assert batch["name"] == list("abcdef") and tuple(batch["label"].shape) == (6, 3)


def test_a_bell_curve_and_a_resize_agree_with_a_float64_reference():
    x = np.random.default_rng(0).random((1, 12, 15))
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / 1.1) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(x[0], 2, mode="reflect")
    expected = sum(kernel[i] * kernel[j] * padded[i : i + 12, j : j + 15] for i in range(5) for j in range(5))
    found = F.gaussian_blur(mlkit.tensor(x), 5, 1.1)
    assert found.dtype == mlkit.float64 and np.allclose(found.numpy()[0], expected, atol=1e-12)
    # halving with antialias: the triangle over two pixels each side
    line = mlkit.tensor(np.arange(8.0).reshape(1, 1, 8))
    inner = F.resize(line, [1, 4]).numpy()[0, 0, 1:3]
    assert np.allclose(inner, [2.5, 4.5])


SEEDED = transforms.Compose(
    [
        transforms.RandomResizedCrop(12),
        transforms.RandomHorizontalFlip(),
        transforms.RandomRotation(20),
        transforms.ColorJitter(0.4, 0.4, 0.4, 0.1),
        transforms.RandAugment(),
        transforms.AugMix(),
        transforms.ToTensor(),
        transforms.RandomErasing(value="random"),
    ]
)


class Pictures(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        return SEEDED(transform_cases.picture()), index


def batches(workers, batch_size=4, **options):
    generator = mlkit.Generator().manual_seed(11)
    loader = DataLoader(Pictures(), batch_size, True, num_workers=workers, generator=generator, **options)
    return [[part.numpy().copy() for part in batch] for _ in range(2) for batch in loader]


def test_the_same_at_any_number_of_workers_and_other_in_each_epoch():
    expected = batches(0)
    for workers in (1, 2, 3):
        for one, other in zip(expected, batches(workers), strict=True):
            assert (one[0] == other[0]).all() and (one[1] == other[1]).all()
    first, second = (dict(zip(np.concatenate([b[1] for b in part]), np.concatenate([b[0] for b in part])))
                     for part in (expected[:3], expected[3:]))  # fmt: skip
    assert all((first[i] != second[i]).any() for i in range(10))


def test_the_size_of_batches_does_not_change_a_sample():
    one, other = (np.concatenate([b[0] for b in batches(0, size)[: -(-10 // size)]]) for size in (4, 3))
    assert (one == other).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: transforms.Compose(transforms.ToTensor()), "takes a list"),
        (lambda: transforms.Compose([transforms.ToTensor]), r"Write ToTensor\(...\)"),
        (lambda: transforms.Resize("large"), "size must be"),
        (lambda: transforms.Resize((3, 4), max_size=9), "max_size goes with one number"),
        (lambda: transforms.Resize(9, interpolation="smooth"), "nearest"),
        (lambda: transforms.RandomCrop(0), "at least 1"),
        (lambda: transforms.RandomHorizontalFlip(1.5), "p must be from 0 to 1"),
        (lambda: transforms.RandomRotation(-3), "must not be negative"),
        (lambda: transforms.RandomAffine(0, translate=(2, 0)), "0 to 1"),
        (lambda: transforms.RandomResizedCrop(3, scale=(1, 0.5)), "least, most"),
        (lambda: transforms.ColorJitter(hue=0.7), "within -0.5 to 0.5"),
        (lambda: transforms.GaussianBlur(4), "odd"),
        (lambda: transforms.Pad((1, 2, 3)), "left, top, right, bottom"),
        (lambda: transforms.Pad(1, padding_mode="mirror"), "reflect"),
        (lambda: transforms.RandAugment(magnitude=31), "0 to 30"),
        (lambda: transforms.AutoAugment("mnist"), "imagenet"),
        (lambda: transforms.MixUp(alpha=0), "above 0"),
        (lambda: transforms.RandomErasing(value="noise"), "random"),
        (lambda: transforms.RandomChoice([abs], p=[1, 2]), "for each of 1"),
    ],
)
def test_bad_arguments_are_told_at_once(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        make()
    assert isinstance(caught.value, MlkitError)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transforms.Normalize([0.5], [0.5])(np.zeros((3, 4, 4))), "Put ToTensor"),
        (lambda: transforms.Normalize([0.5], [0.5])(mlkit.zeros(3, 4, 4, dtype=mlkit.uint8)), "tensor of floats"),
        (lambda: transforms.Normalize([0.5, 0.5], [1, 1])(mlkit.zeros(3, 4, 4)), "mean has 2 values"),
        (lambda: transforms.Normalize([0.5], [0])(mlkit.zeros(3, 4, 4)), "must not be 0"),
        (lambda: transforms.RandomCrop(9)(np.zeros((4, 4))), "pad_if_needed"),
        (lambda: transforms.RandAugment()(mlkit.zeros(3, 4, 4)), "before ToTensor"),
        (lambda: transforms.RandomErasing(p=1)(Image.new("L", (4, 4))), "Put ToTensor"),
        (lambda: transforms.Resize(4)("cat.png"), "got a builtins.str"),
        (lambda: transforms.Grayscale()(mlkit.zeros(5, 4, 4)), "1 or 3"),
        (lambda: transforms.MixUp(num_classes=3)(mlkit.zeros(4, 4), mlkit.tensor([0])), "after the DataLoader"),
        (lambda: transforms.MixUp()(mlkit.zeros(1, 1, 4, 4), mlkit.tensor([0])), "num_classes=10"),
        (lambda: F.rotate(mlkit.zeros(3, 4, 4), 3.0, "bicubic"), "nearest"),
        (lambda: transforms.FiveCrop(9)(np.zeros((4, 4))), "larger than the image"),
    ],
)
def test_images_that_do_not_fit_are_told(call, message):
    with pytest.raises(MlkitError, match=message):
        call()


def test_a_failure_inside_compose_names_the_transform():
    with pytest.raises(DataError) as caught:
        transforms.Compose([transforms.CenterCrop(4), transforms.RandomCrop(9)])(np.zeros((8, 8), np.uint8))
    assert caught.value.__notes__[0].startswith("(in transform 1 of Compose: RandomCrop(size=(9, 9)")


def test_reprs_are_readable():
    text = repr(
        transforms.Compose([transforms.Resize((4, 5)), transforms.RandomApply([transforms.Grayscale()], p=0.2)])
    )
    assert text == (
        "Compose(\n    Resize(size=(4, 5), interpolation=bilinear, max_size=None, antialias=True)\n"
        "    RandomApply(p=0.2\n        Grayscale(num_output_channels=1)\n    )\n)"
    )
    assert repr(transforms.Normalize((0.1,), (0.2,))) == "Normalize(mean=(0.1,), std=(0.2,))"


def test_a_picture_turned_by_a_right_angle_keeps_all_its_pixels_and_no_more():
    for rows, columns in ((30, 44), (7, 3), (33, 21)):
        image = mlkit.arange(rows * columns).reshape(1, rows, columns).to(mlkit.float32)
        for angle, turns in ((90, 1), (180, 2), (270, 3), (-90, 3)):
            np.testing.assert_array_equal(
                F.rotate(image, angle, expand=True).numpy(), np.rot90(image.numpy(), turns, (1, 2))
            )


def test_the_second_version_of_the_transforms():
    from mlkit.torch.parts import torchvision_v2 as v2

    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    image = v2.to_image(pixels)
    mlkit.manual_seed(0)
    for transform, shape in (
        (v2.RandomResize(5, 9), None),
        (v2.RandomShortestSize([6], max_size=8), (3, 4, 8)),
        (v2.ScaleJitter((24, 24), (1.0, 1.0)), (3, 14, 24)),
        (v2.RandomPhotometricDistort(p=1.0), (3, 12, 20)),
        (v2.RandomChannelPermutation(), (3, 12, 20)),
        (v2.JPEG((60, 90)), (3, 12, 20)),
        (v2.RGB(), (3, 12, 20)),
    ):
        out = transform(image)
        assert out.dtype == mlkit.uint8 and (shape is None or tuple(out.shape) == shape), transform
        assert shape is not None or (5 <= out.shape[1] < 9)
        assert transform(F.to_pil_image(image)).mode == "RGB"
    noisy = v2.GaussianNoise(sigma=0.05, clip=False)(mlkit.full((1, 50, 50), 0.5))
    assert 0.04 < noisy.std().item() < 0.06 and abs(noisy.mean().item() - 0.5) < 0.01
    smooth = mlkit.arange(0, 240).to(mlkit.uint8).reshape(1, 12, 20).expand(3, 12, 20)
    assert 0 < abs(v2.jpeg(smooth, 60).float() - smooth.float()).mean().item() < 8 and v2.Identity()(image) is image
    with pytest.raises(TypeError, match="ToDtype"):
        v2.GaussianNoise()(image)
    for make in (lambda: v2.JPEG(0), lambda: v2.RandomResize(5, 5), lambda: v2.RandomPhotometricDistort(p=2)):
        with pytest.raises(ValueError):
            make()
