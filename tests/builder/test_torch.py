"""Written classes run unchanged under PyTorch; what it gave stands in torch_results.json (make_torch_results.py)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import mlkit
from mlkit.builder.code import write_code
from mlkit.builder.module import build
from mlkit.builder.parse import read_code

CASES = json.loads((Path(__file__).parent / "torch_results.json").read_text())


def wave(i, shape):
    return mlkit.tensor([0.3 + 0.2 * math.sin(1.0 + 3 * i + 0.7 * j) for j in range(math.prod(shape))]).reshape(shape)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_pytorch_gives_the_same(case):
    document = read_code(case["code"], case["name"])
    assert write_code(document) == case["code"]  # the one text: what PyTorch ran where there was no mlkit
    module = build(document).eval()
    assert list(module.state_dict()) == case["keys"]
    with mlkit.no_grad():
        for i, p in enumerate(module.state_dict().values()):
            if p.dtype == mlkit.float32:
                p.copy_(wave(i, p.shape))
    inputs = [wave(7 + i, shape) for i, shape in enumerate(case["shapes"])]
    found = module(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    assert [list(t.shape) for t in found] == case["sizes"]
    for t, expected in zip(found, case["values"], strict=True):
        np.testing.assert_allclose(t.detach().numpy().reshape(-1)[:16], expected, rtol=2e-4, atol=1e-5)
