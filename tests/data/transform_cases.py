"""Image operations written once and run with torchvision (to keep its numbers) and with mlkit."""

import numpy as np

#: name: expression in F (transforms.functional), x (the image), mode (InterpolationMode)
ANY = {  # for Pillow images, uint8 tensors and float tensors
    "hflip": "F.hflip(x)",
    "vflip": "F.vflip(x)",
    "crop": "F.crop(x, 3, 4, 10, 12)",
    "crop_outside": "F.crop(x, -2, 20, 10, 12)",
    "center_crop": "F.center_crop(x, [11, 8])",
    "center_crop_larger": "F.center_crop(x, [30, 31])",
    "five_crop": "F.five_crop(x, [9, 10])[3]",
    "ten_crop": "F.ten_crop(x, [9, 10], vertical_flip=True)[7]",
    "pad": "F.pad(x, [1, 2, 3, 4], fill=0)",
    "pad_edge": "F.pad(x, [3, 2], padding_mode='edge')",
    "pad_reflect": "F.pad(x, 3, padding_mode='reflect')",
    "pad_symmetric": "F.pad(x, [3, 1], padding_mode='symmetric')",
    "resize_down": "F.resize(x, [13, 11])",
    "resize_up": "F.resize(x, [40, 33])",
    "resize_short": "F.resize(x, 12)",
    "resize_max": "F.resize(x, 16, max_size=17)",
    "resize_bicubic": "F.resize(x, [13, 31], mode.BICUBIC)",
    "resize_nearest_exact": "F.resize(x, [17, 40], mode.NEAREST_EXACT)",
    "resized_crop": "F.resized_crop(x, 2, 3, 15, 14, [9, 8])",
    "affine": "F.affine(x, 20.0, [2, -3], 1.2, [5.0, -3.0])",
    "affine_bilinear": "F.affine(x, -33.0, [1, 2], 0.8, [10.0, 0.0], mode.BILINEAR, fill=[10.0, 20.0, 30.0])",
    "affine_center": "F.affine(x, 45.0, [0, 0], 1.0, [0.0, 0.0], mode.BILINEAR, center=[3, 5])",
    "rotate": "F.rotate(x, 30.0)",
    "rotate_bilinear": "F.rotate(x, 77.0, mode.BILINEAR)",
    "rotate_right": "F.rotate(x, 90.0)",
    "rotate_center": "F.rotate(x, 15.0, mode.BILINEAR, center=[2, 4])",
    "perspective": "F.perspective(x, [[0, 0], [26, 0], [26, 20], [0, 20]], [[2, 1], [24, 3], [25, 19], [1, 17]])",
    "brightness": "F.adjust_brightness(x, 1.3)",
    "brightness_down": "F.adjust_brightness(x, 0.4)",
    "contrast": "F.adjust_contrast(x, 1.5)",
    "contrast_none": "F.adjust_contrast(x, 0.0)",
    "saturation": "F.adjust_saturation(x, 1.7)",
    "saturation_down": "F.adjust_saturation(x, 0.2)",
    "hue": "F.adjust_hue(x, 0.2)",
    "hue_back": "F.adjust_hue(x, -0.35)",
    "gamma": "F.adjust_gamma(x, 1.7, 0.9)",
    "sharpness": "F.adjust_sharpness(x, 2.0)",
    "soft": "F.adjust_sharpness(x, 0.3)",
    "gray": "F.rgb_to_grayscale(x)",
    "gray3": "F.rgb_to_grayscale(x, 3)",
    "invert": "F.invert(x)",
    "autocontrast": "F.autocontrast(x)",
    "blur": "F.gaussian_blur(x, [3, 5], [0.8, 1.3])",
    "blur_default": "F.gaussian_blur(x, 5)",
}
BYTES = {  # for Pillow images and uint8 tensors
    "posterize": "F.posterize(x, 3)",
    "solarize": "F.solarize(x, 100)",
    "equalize": "F.equalize(x)",
}
TENSORS = {  # for uint8 and float tensors
    "resize_nearest": "F.resize(x, [9, 40], mode.NEAREST)",
    "resize_plain": "F.resize(x, [9, 40], antialias=False)",
    "resize_plain_bicubic": "F.resize(x, [9, 40], mode.BICUBIC, antialias=False)",
    "rotate_expand": "F.rotate(x, 30.0, expand=True)",
    "rotate_expand_fill": "F.rotate(x, -50.0, mode.BILINEAR, expand=True, fill=[7.0])",
    "erase": "F.erase(x, 2, 3, 5, 6, F.crop(x, 10, 10, 5, 6))",
}
FLOATS = {
    "normalize": "F.normalize(x, [0.4, 0.5, 0.6], [0.2, 0.3, 0.25])",
    "solarize": "F.solarize(x, 0.4)",
}
PILLOW = {
    "rotate_expand": "F.rotate(x, 30.0, expand=True)",
    "to_tensor": "F.to_tensor(x)",
    "pil_to_tensor": "F.pil_to_tensor(x)",
}

CASES = {
    "pil": ANY | BYTES | PILLOW,
    "uint8": ANY | BYTES | TENSORS,
    "float32": ANY | TENSORS | FLOATS,
}


def picture():
    """uint8 [21, 27, 3]: a smooth gradient, an edge, and noise."""
    rows, columns = np.mgrid[0:21, 0:27]
    smooth = np.stack([rows * 9, columns * 7, (rows + columns) * 4], axis=2)
    noise = np.random.default_rng(5).integers(0, 60, (21, 27, 3))
    return np.clip(smooth + noise - 30 * (rows > 12)[:, :, None], 0, 255).astype(np.uint8)


def inputs(library):
    """The picture as each kind of image; `library` is torch or mlkit."""
    from PIL import Image

    pixels = picture()
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return {
        "pil": Image.fromarray(pixels),
        "uint8": library.from_numpy(planes),
        "float32": library.from_numpy((planes / 255).astype(np.float32)),
    }


def run(library, functional, mode):
    """{kind/name: array} of all cases."""
    found = {}
    for kind, image in inputs(library).items():
        for name, expression in CASES[kind].items():
            result = eval(expression, {"F": functional, "x": image, "mode": mode})
            found[f"{kind}/{name}"] = np.asarray(result)
    return found
