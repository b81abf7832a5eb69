"""For all tests."""

from __future__ import annotations

import random
import signal
import sys
import threading

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("mlkit", deadline=None)  # how long an example takes is no reason to fail
settings.load_profile("mlkit")

# A runner that starts the tests in the background leaves Ctrl-C ignored, and every process they start inherits that;
# the tests of interrupts need it as a person at a terminal has it.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Every test draws the same numbers, whatever ran before it and on whichever worker."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for code that draws from the old generator
    if "mlkit" in sys.modules:
        sys.modules["mlkit"].manual_seed(0)
