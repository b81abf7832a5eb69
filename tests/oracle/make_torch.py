"""Compute cases and programs with PyTorch and keep the numbers: ``python -m tests.oracle.make_torch`` (torch 2.13).

Writes ``torch.npz`` beside this file. The tests read it; PyTorch is not needed to run them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.oracle import cases, cases_layers, pack, programs, programs_layers, signatures


def main() -> None:
    import torch

    kept = {}
    for name, expression in cases.CASES.items():
        for key, array in cases.run(name, expression, torch, torch.nn.functional).items():
            kept[f"case/{name}/{key}"] = array
    for name in programs.PROGRAMS:
        for key, array in programs.run(name, torch).items():
            kept[f"program/{name}/{key}"] = array
    path = Path(__file__).with_name("torch.npz")
    np.savez_compressed(path, **{k: np.array(v, order="C") for k, v in kept.items()})
    print(
        f"{len(cases.CASES)} cases, {len(programs.PROGRAMS)} programs, {len(kept)} arrays, PyTorch {torch.__version__}"
    )
    make_layers(torch)
    from tests.oracle import (
        cases_distributions,
        cases_fft,
        cases_linalg,
        cases_signal,
        cases_special,
        cases_tensor,
        deep,
        printing,
        promotion,
    )

    for module in (cases_linalg, cases_fft, cases_special, cases_distributions, cases_tensor, cases_signal):
        path = deep.path_of(module)
        print(f"{path.name}: {deep.keep(module, torch, path)} arrays, {path.stat().st_size:,} bytes")
    _gradients(torch)
    promotion.keep(torch)
    printing.keep(torch)


def _gradients(torch) -> None:
    """Transforms and gradients (cases_b3), with the classes of the errors."""
    import torch.utils.checkpoint

    from tests.oracle import cases_b3

    kept = {}
    for name in cases_b3.PROGRAMS:
        for key, array in cases_b3.run(name, torch).items():
            kept[f"program/{name}/{key}"] = np.array(array, order="C")
    for name in cases_b3.RAISES:
        error = cases_b3.error_of(name, torch)
        assert error is not None, f"{name} does not raise"
        kept[f"error/{name}"] = np.array(cases_b3.builtin_of(error))
    np.savez_compressed(Path(__file__).with_name("torch_b3.npz"), **kept)
    print(f"{len(cases_b3.PROGRAMS)} programs, {len(cases_b3.RAISES)} errors, {len(kept)} arrays")


def make_layers(torch) -> None:
    """The layers and functional forms: ``torch_layers.npz`` and ``torch_functions.npz``."""
    kept: dict = {}
    for name, expression in cases_layers.CASES.items():
        for key, array in cases_layers.run(name, expression, torch, torch.nn.functional).items():
            kept[f"function/{name}/{key}"] = array
    for number, expression in enumerate(cases_layers.BAD):
        kind = cases_layers.kind_of_failure(expression, torch)
        assert "no exception" not in kind, (expression, kind)
        kept[f"bad/{number}/kind"] = np.array([expression, kind])
    for path, line in signatures.public(torch).items():
        kept[f"signature/{path}"] = np.array(line)
    np.savez_compressed(Path(__file__).with_name("torch_functions.npz"), **pack(kept))
    kept = {}
    for name in programs_layers.LAYERS:
        for key, array in programs_layers.run(name, torch).items():
            kept[f"layer/{name}/{key}"] = array
    np.savez_compressed(Path(__file__).with_name("torch_layers.npz"), **pack(kept))
    print(f"{len(cases_layers.CASES)} functional cases, {len(programs_layers.LAYERS)} layers")


if __name__ == "__main__":
    main()
