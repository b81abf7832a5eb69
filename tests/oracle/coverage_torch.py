"""What of PyTorch's ``torch.*`` and ``Tensor.*`` exists here.

``python -m tests.oracle.coverage_torch --write`` (with PyTorch) keeps the public names in ``torch_names.json``;
``python -m tests.oracle.coverage_torch`` (with mlkit alone) compares and prints the table and what is missing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

NAMES = Path(__file__).with_name("torch_names.json")


def public_names() -> dict[str, list[str]]:
    """PyTorch's public callables and constants of ``torch``, and the attributes of ``Tensor``."""
    import inspect

    import torch

    functions = []
    for name in dir(torch):
        if name.startswith("_") or inspect.ismodule(getattr(torch, name, None)):
            continue
        value = getattr(torch, name)
        if callable(value) or isinstance(value, (torch.dtype, torch.layout, torch.memory_format, float)):
            functions.append(name)
    return {"torch": functions, "Tensor": [n for n in dir(torch.Tensor) if not n.startswith("_")]}


def kept_names() -> dict[str, list[str]]:
    return json.loads(NAMES.read_text())


def compare() -> dict[str, dict[str, list[str]]]:
    """For each namespace the names by class: here, not now (asking says so), missing."""
    import mlkit
    from mlkit.core.absent import not_now

    out = {}
    for space, names in kept_names().items():
        home = mlkit if space == "torch" else mlkit.Tensor
        found: dict[str, list[str]] = {"here": [], "not now": [], "missing": []}
        for name in names:
            kind = "here" if hasattr(home, name) else "not now" if not_now(name) else "missing"
            found[kind].append(name)
        out[space] = found
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep PyTorch's names (needs PyTorch)")
    if parser.parse_args().write:
        NAMES.write_text(json.dumps(public_names(), indent=0) + "\n")
        return
    for space, found in compare().items():
        print(f"{space}: " + ", ".join(f"{len(names)} {kind}" for kind, names in found.items()))
        for kind in ("missing", "not now"):
            print(f"  {kind}: {' '.join(found[kind])}")


if __name__ == "__main__":
    main()
