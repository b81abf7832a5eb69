"""Convolution as matrix products over unfolded patches, in blocks that fit the cache.

Arrays have the shapes of PyTorch (N, C, *spatial), but the work is done with channels last, where a patch is a few
contiguous runs; results are channels-last memory seen through a (N, C, *spatial) view, so a chain of convolutions
never reorders its data.
"""

from __future__ import annotations

import itertools

import numpy as np

from mlkit.ops.conv import output_size


def padded_channels_last(xp, x, padding):
    """(N, C, *spatial) -> (N, *padded, C), contiguous."""
    last = xp.moveaxis(x, 1, -1)
    if all(p == (0, 0) for p in padding):
        return xp.ascontiguousarray(last)
    sizes = [n + a + b for n, (a, b) in zip(last.shape[1:-1], padding, strict=True)]
    out = xp.zeros((last.shape[0], *sizes, last.shape[-1]), x.dtype)
    inside = tuple(slice(a, a + n) for n, (a, _) in zip(last.shape[1:-1], padding, strict=True))
    out[(slice(None), *inside)] = last
    return out


def windows(xp, x, kernel, stride, dilation, sizes):
    """(N, *padded, C) -> view (N, *out, *kernel, C)."""
    n, c = x.strides[0], x.strides[-1]
    spatial = x.strides[1:-1]
    strides = (n, *(a * s for a, s in zip(spatial, stride, strict=True)))
    strides += (*(a * d for a, d in zip(spatial, dilation, strict=True)), c)
    shape = (x.shape[0], *sizes, *kernel, x.shape[-1])
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


def blocks(batch: int, bytes_each: int, limit: int):
    """Ranges of examples whose patches fit ``limit`` bytes, at least one example each."""
    step = max(1, min(batch, limit // max(bytes_each, 1)))
    return [(i, min(i + step, batch)) for i in range(0, batch, step)]


def groups_of(xp, channels: int, groups: int):
    each = channels // groups
    return [slice(i * each, (i + 1) * each) for i in range(groups)]


def _sizes(x_shape, kernel, stride, padding, dilation):
    spatial = zip(x_shape[2:], kernel, stride, padding, dilation, strict=True)
    return tuple(output_size(n, k, s, p, d) for n, k, s, p, d in spatial)


def forward(xp, x, weight, bias, stride, padding, dilation, groups, limit):
    kernel = weight.shape[2:]
    sizes = _sizes(x.shape, kernel, stride, padding, dilation)
    if min(sizes) < 1:
        raise ValueError("the kernel does not fit")  # the op's infer rule says it in full
    data = padded_channels_last(xp, x, padding)
    out = xp.empty((x.shape[0], *sizes, weight.shape[0]), x.dtype)
    if groups > 1 and weight.shape[1] == 1 and weight.shape[0] == groups:
        _depthwise(xp, data, weight, out, stride, dilation, sizes)
    else:
        for ins, outs in zip(groups_of(xp, x.shape[1], groups), groups_of(xp, weight.shape[0], groups), strict=True):
            part = weight[outs]
            matrix = xp.moveaxis(part, 1, -1).reshape(part.shape[0], -1).T  # (kernel * C, O)
            view = windows(xp, data[..., ins], kernel, stride, dilation, sizes)
            per_example = int(np.prod(sizes)) * matrix.shape[0] * x.itemsize
            for a, b in blocks(x.shape[0], per_example, limit):
                patches = view[a:b].reshape(-1, matrix.shape[0])
                if groups == 1:
                    xp.matmul(patches, matrix, out=out[a:b].reshape(-1, matrix.shape[1]))
                else:
                    out[a:b][..., outs] = (patches @ matrix).reshape(b - a, *sizes, -1)
    if bias is not None:
        out += bias
    return xp.moveaxis(out, -1, 1)


def _depthwise(xp, data, weight, out, stride, dilation, sizes):
    """One filter per channel: a sum over kernel places, without patches."""
    out[...] = 0
    for place in itertools.product(*(range(k) for k in weight.shape[2:])):
        cut = tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in zip(place, dilation, stride, sizes, strict=True)
        )
        out += data[(slice(None), *cut)] * weight[(slice(None), 0, *place)]


def weight_grad(xp, x, g, shape, stride, padding, dilation, groups, limit):
    kernel = shape[2:]
    sizes = g.shape[2:]
    data = padded_channels_last(xp, x, padding)
    grads = xp.moveaxis(g, 1, -1)
    out = xp.zeros((shape[0], *kernel, shape[1]), x.dtype)
    for ins, outs in zip(groups_of(xp, x.shape[1], groups), groups_of(xp, shape[0], groups), strict=True):
        view = windows(xp, data[..., ins], kernel, stride, dilation, sizes)
        columns = int(np.prod(kernel)) * shape[1]
        total = xp.zeros((shape[0] // groups, columns), x.dtype)
        per_example = int(np.prod(sizes)) * columns * x.itemsize
        for a, b in blocks(x.shape[0], per_example, limit):
            rows = grads[a:b][..., outs].reshape(-1, shape[0] // groups)
            total += rows.T @ view[a:b].reshape(-1, columns)
        out[outs] = total.reshape(-1, *kernel, shape[1])
    return xp.ascontiguousarray(xp.moveaxis(out, -1, 1))


def input_grad(xp, g, weight, shape, stride, padding, dilation, groups, limit):
    kernel = weight.shape[2:]
    sizes = g.shape[2:]
    spatial = [n + a + b for n, (a, b) in zip(shape[2:], padding, strict=True)]
    out = xp.zeros((shape[0], *spatial, shape[1]), g.dtype)
    grads = xp.moveaxis(g, 1, -1)
    places = list(itertools.product(*(range(k) for k in kernel)))
    for ins, outs in zip(groups_of(xp, shape[1], groups), groups_of(xp, weight.shape[0], groups), strict=True):
        part = weight[outs]
        matrix = xp.moveaxis(part, 1, -1).reshape(part.shape[0], -1)  # (O, kernel * C)
        per_example = int(np.prod(sizes)) * matrix.shape[1] * g.itemsize
        for a, b in blocks(shape[0], per_example, limit):
            rows = grads[a:b][..., outs].reshape(-1, part.shape[0])
            patches = (rows @ matrix).reshape(b - a, *sizes, len(places), -1)
            target = out[a:b][..., ins]
            for number, place in enumerate(places):
                cut = tuple(
                    slice(k * d, k * d + (n - 1) * s + 1, s)
                    for k, d, s, n in zip(place, dilation, stride, sizes, strict=True)
                )
                target[(slice(None), *cut)] += patches[..., number, :]
    inside = tuple(slice(a, a + n) for n, (a, _) in zip(shape[2:], padding, strict=True))
    return xp.moveaxis(out[(slice(None), *inside)], -1, 1)
