"""The parity table: ``python -m tests.oracle.parity`` prints a row per layer against PyTorch's numbers.

Columns: forward (training and evaluation), gradient (of inputs and parameters), state_dict (keys and values after the
step), text (repr), from PyTorch (PyTorch's state_dict, through a safetensors file, loaded into a fresh layer gives
PyTorch's output), to PyTorch (the state_dict written here and read back has PyTorch's keys, shapes, dtypes and values).
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from tests.oracle import differences, expected, programs_layers

COLUMNS = ("forward", "gradient", "state_dict", "text", "from PyTorch", "to PyTorch")

#: PyTorch computes these with float32 constants
LOOSE = {"Hardsigmoid", "CELU_alpha"}


def _part(key: str) -> str:
    if key.startswith(("out", "eval")):
        return "forward"
    if key.startswith("grad"):
        return "gradient"
    return "text" if key == "repr" else "state_dict"


def row(name: str) -> dict[str, list[str]]:
    """What differs in each column; nothing, where all is well."""
    import mlkit

    wanted = expected(f"layer/{name}")
    found: dict[str, list[str]] = {column: [] for column in COLUMNS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = programs_layers.run(name, mlkit)
        for line in differences(got, wanted, name in LOOSE):
            key = line.split(":")[0]
            found[_part(key) if key in wanted or key in got else "state_dict"].append(line)
        found["from PyTorch"], found["to PyTorch"] = exchange(name, wanted)
    return found


def _through_a_file(state: dict) -> dict:
    """A state_dict written and read again."""
    from safetensors.numpy import load_file, save_file

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "state.safetensors")
        save_file({key: np.ascontiguousarray(array) for key, array in state.items()}, path)
        return {key: array.reshape(state[key].shape) for key, array in load_file(path).items()}


def exchange(name: str, wanted: dict) -> tuple[list[str], list[str]]:
    """PyTorch's state into a fresh layer, and that layer's state back."""
    import mlkit

    state = {key[len("before.") :]: array for key, array in wanted.items() if key.startswith("before.")}
    scope = programs_layers.tools(name, mlkit)
    layer, inputs = programs_layers.parts(name)
    exec(f"layer = {layer}.double()\nargs = arguments({inputs})", scope)
    module = scope["layer"]
    module.load_state_dict({key: mlkit.tensor(array) for key, array in _through_a_file(state).items()})
    outputs = scope["tensors"](module(*scope["args"]))
    got = {f"out{i}": t.detach().numpy(force=True) for i, t in enumerate(outputs)}
    first = differences(got, {key: wanted[key] for key in wanted if key.startswith("out")}, name in LOOSE)
    back = _through_a_file({key: t.detach().numpy(force=True) for key, t in module.state_dict().items()})
    second = differences(back, {k[len("state.") :]: v for k, v in wanted.items() if k.startswith("state.")})
    return first, second


def main() -> None:
    names = list(programs_layers.LAYERS)
    width = max(map(len, names))
    print("layer".ljust(width), *(column.ljust(12) for column in COLUMNS))
    good = 0
    for name in names:
        found = row(name)
        good += not any(found.values())
        print(name.ljust(width), *(("differs" if found[column] else "yes").ljust(12) for column in COLUMNS))
    print(f"\n{good} of {len(names)} rows agree in every column")
    for name, why in programs_layers.LEFT_OUT.items():
        print(f"left out: {name} ({why})")


if __name__ == "__main__":
    main()
