"""``torch.utils.collect_env``: what ``mlkit doctor`` says."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["get_pretty_env_info", "main"]


def get_pretty_env_info() -> str:
    """The text of ``mlkit doctor``."""
    return subprocess.run([sys.executable, "-m", "mlkit", "doctor"], capture_output=True, text=True).stdout


def main() -> None:
    """Print it."""
    print(get_pretty_env_info())
