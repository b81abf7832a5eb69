"""The programs of this folder are no tests; most are run in forks of one process."""

import os

import pytest

from tests.torch.forks import Forks

collect_ignore = ["programs", "make_expected.py", "forks.py"]


@pytest.fixture(scope="session")
def forks():
    """None where a process cannot be forked."""
    if not hasattr(os, "fork"):
        yield None
        return
    forks = Forks()
    yield forks
    forks.close()
