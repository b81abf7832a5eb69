"""Colours that readers with any colour vision can tell apart, on a light and on a dark ground.

Series colours are the Okabe-Ito hues, darkened for white paper and lightened for a dark screen until each has a
contrast of at least 3:1 with its ground (WCAG 2.2, 1.4.11). Maps run evenly from dark to light, so they still order
the values when printed in grey.
"""

from __future__ import annotations

import numpy as np

LIGHT = {
    "ground": "#ffffff",
    "ink": "#1f2328",
    "soft": "#5c636b",
    "line": "#d5d9de",
    "faint": "#f3f5f7",
    "warn": "#b3261e",
}
DARK = {
    "ground": "#16181c",
    "ink": "#e8eaed",
    "soft": "#a4abb3",
    "line": "#3a3f46",
    "faint": "#202329",
    "warn": "#ff8a80",
}
SERIES_LIGHT = ("#0072b2", "#c24e00", "#00795a", "#9a4d86", "#6b5b00", "#5c636b")
SERIES_DARK = ("#56b4e9", "#f0944a", "#3cc9a0", "#e39cc6", "#e6d34a", "#b4bac1")

# Anchors, evenly spaced: values from nothing to much, and values either side of zero.
_SEQUENTIAL = ("#0b1840", "#1d3a78", "#215f8f", "#23869a", "#3caa91", "#7fc97c", "#d0e36b", "#fdf7a8")
_DIVERGING = ("#0b3c6f", "#2171b5", "#6baed6", "#c6dcee", "#f4f3f1", "#fbd3b4", "#f0904f", "#cc4c02", "#7a2b02")


def _table(anchors: tuple[str, ...], n: int) -> np.ndarray:
    points = np.array([[int(a[i : i + 2], 16) for i in (1, 3, 5)] for a in anchors], float)
    at = np.linspace(0, len(anchors) - 1, n)
    channels = [np.interp(at, np.arange(len(anchors)), points[:, c]) for c in range(3)]
    return np.stack(channels, 1).round().astype(np.uint8)


def sequential(n: int = 254) -> np.ndarray:
    """uint8 (n, 3) from dark blue through green to pale yellow."""
    return _table(_SEQUENTIAL, n)


def diverging(n: int = 254) -> np.ndarray:
    """uint8 (n, 3) from blue (negative) over near-white (zero) to orange-brown (positive)."""
    return _table(_DIVERGING, n)


def grey(n: int = 254) -> np.ndarray:
    """uint8 (n, 3) from black to white."""
    return np.repeat(np.linspace(0, 255, n).round().astype(np.uint8)[:, None], 3, 1)
