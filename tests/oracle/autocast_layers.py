"""The dtypes that every layer gives under ``autocast("cpu", dtype=bfloat16)``: of its outputs and of all gradients.

``python -m tests.oracle.autocast_layers`` keeps PyTorch's in ``torch_autocast.json``.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from tests.oracle import programs_layers

KEPT = Path(__file__).with_name("torch_autocast.json")

_PROGRAM = """
layer = {layer}
args = [a.float() if hasattr(a, "is_floating_point") and a.is_floating_point() else a for a in arguments({inputs})]
wanted = [a for a in args[:{count}] if hasattr(a, "requires_grad") and a.is_floating_point()]
if "Lazy" in type(layer).__name__:
    layer(*args)
for a in wanted:
    a.requires_grad_()
with T.autocast("cpu", dtype=T.bfloat16):
    outputs = tensors(layer(*args))
smooth = [y for y in outputs if y.requires_grad]
if smooth:
    sum(y.float().sum() for y in smooth).backward()
"""


def _short(t) -> str:
    return "none" if t is None else str(t.dtype).rpartition(".")[2]


def _single(make):
    return lambda *shape: make(*shape).float()


def dtypes_of(name: str, library) -> dict:
    """Dtypes by name; or the kind of error."""
    scope = programs_layers.tools(name, library)
    for kind in ("numbers", "uniforms", "wide"):
        scope[kind] = _single(scope[kind])
    layer, inputs = programs_layers.parts(name)
    row = programs_layers.LAYERS[name]
    program = _PROGRAM.format(layer=layer, inputs=inputs, count=row[2] if len(row) > 2 else 1)
    program = program.replace("T.float64", "T.float32").replace(".double()", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(program, scope)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            return {
                "error": next(
                    k.__name__ for k in (RuntimeError, TypeError, ValueError, IndexError) if isinstance(error, k)
                )
            }
    return {
        "outputs": [_short(t) for t in scope["outputs"]],
        "inputs": [_short(a.grad) for a in scope["wanted"]],
        "parameters": {n: _short(p.grad) for n, p in scope["layer"].named_parameters()},
    }


def main() -> None:
    import torch

    kept = {name: dtypes_of(name, torch) for name in programs_layers.LAYERS}
    KEPT.write_text(json.dumps(kept, indent=0) + "\n")
    print(f"{len(kept)} layers, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
