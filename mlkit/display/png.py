"""A PNG writer: enough of the format (RFC 2083) for heat maps and image strips, so that a picture needs zlib alone."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def encode(pixels: np.ndarray, palette: np.ndarray | None = None, transparent: int | None = None) -> bytes:
    """The bytes of a PNG file.

    ``pixels``: uint8 (height, width) of grey or palette indices, or (height, width, 3 or 4) of RGB or RGBA.
    ``palette``: uint8 (n <= 256, 3); then ``pixels`` are indices into it. ``transparent``: the index drawn as nothing.

    >>> encode(np.zeros((2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"png.encode: expected uint8 (height, width[, 3 or 4]), got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    colour_type = {2: 0, 3: {3: 2, 4: 6}.get(pixels.shape[-1])}[pixels.ndim] if palette is None else 3
    if colour_type is None or (palette is not None and pixels.ndim != 2):
        raise ValueError(f"png.encode: {pixels.shape} is not grey, RGB, RGBA or palette indices")
    rows = np.ascontiguousarray(pixels).reshape(height, -1).astype(np.int16)
    if palette is None and height > 1:
        # Filter 2 ("up") on every row: photographs shrink by a third. Indices of a palette are better left alone.
        filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
        filtered[:, 0], filtered[0, 0] = 2, 0
        filtered[0, 1:], filtered[1:, 1:] = rows[0], (rows[1:] - rows[:-1]) & 255
    else:
        filtered = np.zeros((height, rows.shape[1] + 1), np.uint8)
        filtered[:, 1:] = rows
    parts = [_SIGNATURE, _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))]
    if palette is not None:
        parts.append(_chunk(b"PLTE", np.ascontiguousarray(palette, dtype=np.uint8).tobytes()))
        if transparent is not None:
            parts.append(_chunk(b"tRNS", b"\xff" * transparent + b"\x00"))
    parts += [_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)), _chunk(b"IEND", b"")]
    return b"".join(parts)


def data_uri(png: bytes) -> str:
    """``data:image/png;base64,...``"""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
