"""Recording looks at every living tensor: what the test run itself keeps alive is put out of its sight."""

import gc

import pytest

from mlkit.core import value


@pytest.fixture(scope="session", autouse=True)
def _nothing_but_ours():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_hooks_of_other_tests():
    """With a hook alive anywhere compiled functions run eagerly: tensors of earlier tests may wait for the collector."""
    if value.tensor_hooks or value.node_hooks or value.node_prehooks:
        gc.collect()
