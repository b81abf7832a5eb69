"""``torch.__config__``: what numbers are computed with."""

from __future__ import annotations

__all__ = ["parallel_info", "show"]


def show() -> str:
    """The libraries, in lines."""
    import platform

    import numpy

    import mlkit

    return f"mlkit {mlkit.__version__}\n  - Python {platform.python_version()}\n  - NumPy {numpy.__version__}\n"


def parallel_info() -> str:
    """How many threads there are, in lines."""
    import os

    import mlkit

    return f"threads: {mlkit.get_num_threads()}\nprocessors: {os.cpu_count()}\n"
