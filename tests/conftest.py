"""For all tests."""

from __future__ import annotations

import signal
import threading

from hypothesis import settings

settings.register_profile("mlkit", deadline=None)  # how long an example takes is no reason to fail
settings.load_profile("mlkit")

# A runner that starts the tests in the background leaves Ctrl-C ignored, and every process they start inherits that;
# the tests of interrupts need it as a person at a terminal has it.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
