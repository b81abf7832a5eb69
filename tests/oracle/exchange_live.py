"""Files between the libraries, both running: ``python -m tests.oracle.exchange_live`` (needs PyTorch and NumPy here).

mlkit and PyTorch cannot disagree about a stored number that one of them made, so for every row of the parity table:

- mlkit writes its state_dict as ``.pt`` and as ``.safetensors``; PyTorch loads each with strict=True (``.pt`` with
  weights_only=True) into its own layer, and both layers' outputs and gradients are compared;
- PyTorch writes, mlkit loads, and the same is compared.

The result, a row per layer, is kept in ``exchange.json``; the tests hold that every row of the table is in it.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np

from tests.oracle import differences, programs_layers
from tests.oracle.parity import LOOSE

KEPT = Path(__file__).with_name("exchange.json")


def _made(name: str, library):
    """The layer and its inputs."""
    scope = programs_layers.tools(name, library)
    layer, inputs = programs_layers.parts(name)
    exec(f"layer = {layer}.double()\nargs = arguments({inputs})", scope)
    if "Lazy" in type(scope["layer"]).__name__:
        scope["layer"](*scope["args"])
    return scope


def _results(name: str, library, state: dict) -> dict[str, np.ndarray]:
    """Outputs and gradients of a fresh layer that has loaded ``state``."""
    scope = _made(name, library)
    layer = scope["layer"]
    layer.load_state_dict(state, strict=True)
    outputs = scope["tensors"](layer(*scope["args"]))
    found = {f"out{i}": y for i, y in enumerate(outputs)}
    smooth = [y for y in outputs if y.requires_grad]
    if smooth:
        sum((y * y).sum() for y in smooth).backward()
    found |= {f"grad.{n}": p.grad for n, p in layer.named_parameters() if p.grad is not None}
    found |= {f"state.{n}": t for n, t in layer.state_dict().items()}
    return {k: np.array(t.detach().numpy(force=True)) for k, t in found.items()}


def _write_and_read(state: dict, folder: Path, writer, reader) -> list[dict]:
    """The state through both kinds of file."""
    found = []
    for kind in ("pt", "safetensors"):
        path = folder / f"state.{kind}"
        if kind == "pt":
            writer.save(state, path)
            found.append(reader.load(path, weights_only=True))
        else:
            _safetensors(writer).save_file({k: t.contiguous() for k, t in state.items()}, path)
            found.append(_safetensors(reader).load_file(path))
    return found


def _safetensors(library):
    if library.__name__ == "torch":
        import safetensors.torch

        return safetensors.torch
    import mlkit.io.safetensors

    return mlkit.io.safetensors


def row(name: str, torch, mlkit) -> list[str]:
    """What differs; nothing, where all is well."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for writer, reader in ((mlkit, torch), (torch, mlkit)):
            scope = _made(name, writer)
            scope["fill"](scope["layer"])
            state = scope["state"](scope["layer"])
            wanted = _results(name, writer, state)
            for kind, read in zip(
                ("pt", "safetensors"), _write_and_read(state, Path(folder), writer, reader), strict=True
            ):
                lines = differences(_results(name, reader, read), wanted, name in LOOSE)
                problems += [f"{writer.__name__} to {reader.__name__}, {kind}: {line}" for line in lines]
    return problems


def main() -> None:
    import torch

    import mlkit

    table = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in programs_layers.LAYERS:
            try:
                table[name] = row(name, torch, mlkit)
            except Exception as error:  # a row that fails is a row of the table
                table[name] = [f"{type(error).__name__}: {str(error)[:200]}"]
            if table[name]:
                print(name, table[name])
    KEPT.write_text(json.dumps({"torch": torch.__version__, "rows": table}, indent=0) + "\n")
    print(f"{sum(not v for v in table.values())} of {len(table)} rows agree both ways through both kinds of file")


if __name__ == "__main__":
    main()
