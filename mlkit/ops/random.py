"""Random ops: pure functions of a key (seed, offset) into one counter-based stream, equal on every backend.

The stream is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The caller takes a
key from a Generator; the same key gives the same numbers again, so dropout can be recomputed instead of kept.
"""

import numpy as np

from mlkit.core.value import MetaArray
from mlkit.ops.registry import REQUIRED, Op, op


def blocks(numel: int) -> int:
    """How many counter steps (four 64-bit words each) an op may use: at most one word per element."""
    return numel // 4 + 2


class Draw(Op):
    """Makes numbers from a key alone; ``device``: where, the CPU when it is None."""

    promotion = None
    differentiable = False
    random = True

    def infer(self, *, shape, dtype, key, **rest):
        return MetaArray(shape, dtype.numpy)


@op(onnx="RandomUniform")
class uniform(Draw):
    """Numbers uniform on [low, high)."""

    def forward(m, *, shape=REQUIRED, dtype=REQUIRED, key=REQUIRED, low=0.0, high=1.0, device=None):
        unit = m.uniform_(shape, dtype.numpy, key)
        return unit if (low, high) == (0.0, 1.0) else unit * (high - low) + low


@op(onnx="RandomNormal")
class normal(Draw):
    """Numbers from the normal distribution (Box & Muller 1958)."""

    def forward(m, *, shape=REQUIRED, dtype=REQUIRED, key=REQUIRED, mean=0.0, std=1.0, device=None):
        z = m.normal_(shape, dtype.numpy, key)
        return z if (mean, std) == (0.0, 1.0) else z * std + mean


@op()
class random_integers(Draw):
    """Integers uniform on [low, high)."""

    def forward(m, *, shape=REQUIRED, dtype=REQUIRED, key=REQUIRED, low=0, high=REQUIRED, device=None):
        return m.integers_(shape, key, low, high).astype(dtype.numpy)


@op()
class random_permutation(Draw):
    """0 .. n-1 in random order."""

    def forward(m, *, shape=REQUIRED, dtype=REQUIRED, key=REQUIRED, device=None):
        return m.xp.argsort(m.random_words_(shape[0], key), kind="stable").astype(dtype.numpy)


@op()
class poisson(Op):
    """Counts from Poisson distributions with the rates in input."""

    promotion = None
    differentiable = False
    random = True

    def infer(input, *, key):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, *, key=REQUIRED):
        return m.numpy_random_("poisson", input, key=key)


@op()
class binomial(Op):
    """How many of ``count`` trials succeed, each with probability ``prob``."""

    promotion = None
    differentiable = False
    random = True

    def infer(count, prob, *, key):
        return MetaArray(count.shape, count.dtype)

    def forward(m, count, prob, *, key=REQUIRED):
        return m.numpy_random_("binomial", count.astype(np.int64), prob, key=key).astype(count.dtype)


@op(onnx="Dropout", samples=[((3, 4), {"p": 0.4, "key": (7, 0)})])
class dropout(Op):
    """input with each value zeroed with probability p, the others scaled by 1 / (1 - p).

    Srivastava et al. 2014. The mask follows from ``key``, so backward draws it again instead of keeping it.
    ``mask_shape`` smaller than the input's (ones for shared dims) drops whole channels or rows.
    """

    promotion = None
    linear = True
    random = True

    def infer(input, *, p, key, mask_shape):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, *, p=0.5, key=REQUIRED, mask_shape=None):
        if p == 1:
            return m.xp.zeros_like(input)
        kept = m.uniform_(input.shape if mask_shape is None else mask_shape, np.dtype(np.float32), key) >= p
        return input * (kept * m.xp.asarray(1 / (1 - p), dtype=input.dtype))

    def vjp(m, g, p, key, mask_shape):
        return m.dropout(g, p=p, key=key, mask_shape=mask_shape)
