import random
import sys
from pathlib import Path

import pytest

import mlkit

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def inputs():
    """Numbers for every Input block of a document, a batch of three."""

    def make(document):
        found = []
        for block in document.main.of_type("Input"):
            size = [3 if n == "batch" else n for n in block.properties["shape"]]
            rng = random.Random(block.name)
            count = 1
            for n in size:
                count *= n
            found.append(mlkit.tensor([rng.uniform(-1, 1) for _ in range(count)]).reshape(*size))
        return found

    return make
