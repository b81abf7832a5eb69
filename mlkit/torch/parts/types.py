"""``torch.types`` and ``torch.nn.common_types``: names for annotations."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import Any

from mlkit.core.device import device
from mlkit.core.dtype import dtype
from mlkit.core.size import Size
from mlkit.core.tensor import Tensor

__all__ = ["Device", "FileLike", "Number", "Storage"]

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike | Any
Storage = Any
_int, _float, _bool = builtins.int, builtins.float, builtins.bool
_dtype, _device, _size = dtype, device, Size | Sequence[int]
_TensorOrTensors = Tensor | Sequence[Tensor]

_size_any_t = _size_1_t = _size_2_t = _size_3_t = int | tuple[int, ...]
_size_2_opt_t = _size_3_opt_t = _size_any_opt_t = int | None | tuple[int | None, ...]
_ratio_2_t = _ratio_3_t = _ratio_any_t = float | tuple[float, ...]
