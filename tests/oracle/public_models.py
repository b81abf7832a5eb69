"""Runs the programs of ``public/`` under either library; ``python -m tests.oracle.public_models`` keeps PyTorch's numbers.

A file there is written for PyTorch. Under mlkit its text runs with the imports changed and nothing else. Kept are the
losses of the steps, two numbers of every gradient (its norm and a weighted sum) after the first step and of every entry
of the state_dict at the end, the text of the model, and the names, shapes and dtypes of its state.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KEPT = HERE / "torch_public.npz"
STEPS = 3


def source(path: Path, library: str) -> str:
    """The program's text, its imports from ``torch`` replaced by the library's."""
    text = path.read_text(encoding="utf-8")
    if library != "torch":
        text = re.sub(r"^(\s*)import torch$", rf"\1import {library} as torch", text, flags=re.M)
        text = re.sub(r"^(\s*)(import|from) torch\b", rf"\1\2 {library}", text, flags=re.M)
    return text


def programs() -> dict[str, Path]:
    """Every function of the files that takes a ``run``, and its file."""
    found = {}
    for path in sorted((HERE / "public").glob("[a-z]*.py")):
        found.update(dict.fromkeys(re.findall(r"^def (\w+)\(run\)", path.read_text(encoding="utf-8"), re.M), path))
    return found


def plain(text: str) -> str:
    """A model's text without what says whose it is: the library's name, its names of tensor types, indentation."""
    for kind, dtype in (("Float", "float32"), ("Double", "float64")):
        text = text.replace(f"{kind}Tensor", dtype)
    return re.sub(r"(torch|mlkit)\.|^ +", "", text, flags=re.M)


class Run:
    """What a program is given: equal numbers in both libraries, and somewhere to leave results."""

    def __init__(self, name: str, library):
        self.library = library
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.found: dict[str, np.ndarray] = {}
        self.loose = False

    def numbers(self, *shape):
        return self.library.tensor(self.rng.normal(size=shape)).to(self.library.get_default_dtype())

    def integers(self, high: int, *shape):
        return self.library.tensor(self.rng.integers(0, high, size=shape))

    def fill(self, model, buffers: bool = True):
        """Every parameter from equal numbers, sized so that deep networks stay near 1; returns the model."""
        with self.library.no_grad():
            for p in model.parameters():
                scale = (p.numel() / p.shape[0]) ** -0.5 if p.ndim > 1 else 0.1
                offset = 1.0 if p.ndim == 1 and bool((p == 1).all()) else 0.0
                p.copy_(self.library.tensor(self.rng.normal(size=tuple(p.shape)) * scale + offset))
            for name, b in model.named_buffers():
                if buffers and name.endswith(("_u", "_v")):
                    b.copy_(self.library.tensor(self.rng.normal(size=tuple(b.shape)) / b.numel() ** 0.5))
        return model

    def keep(self, key: str, value) -> None:
        self.found[key] = np.array(value.detach().numpy(force=True))

    def text(self, key: str, value) -> None:
        self.found[key] = np.array(json.dumps(value))

    def _two_numbers(self, key: str, tensors: dict) -> None:
        rows = []
        for t in tensors.values():
            a = t.detach().numpy(force=True)
            a = (a.view(a.real.dtype) if a.dtype.kind == "c" else a).astype(np.float64).reshape(-1)
            rows.append([np.sqrt((a * a).sum()), (a * np.cos(np.arange(a.size))).sum()])
        self.found[key] = np.array(rows).reshape(-1, 2)

    def state(self, model, prefix: str = "") -> None:
        """The model's text, the names, shapes and dtypes of its state, and two numbers of each entry."""
        state = model.state_dict()
        about = [[k, list(t.shape), str(t.dtype).rpartition(".")[2]] for k, t in state.items()]
        self.text(prefix + "keys", about)
        self.text(prefix + "parameters", [[n, p.requires_grad] for n, p in model.named_parameters()])
        self.text(prefix + "repr", plain(repr(model)))
        self._two_numbers(prefix + "state", state)

    def train(self, model, loss, optimizer, clip: float | None = None, schedule=None, loose: bool = False) -> None:
        """A few ordinary steps."""
        self.loose = loose
        model.train()
        for step in range(STEPS):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            self.keep(f"loss{step}", value)
            if step == 0:
                grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
                self.text("with gradient", list(grads))
                self._two_numbers("gradient", grads)
            if clip is not None:
                norm = self.library.nn.utils.clip_grad_norm_(model.parameters(), clip)
                self.keep(f"norm{step}", norm)
            optimizer.step()
            if schedule is not None:
                schedule.step()
        self.state(model)


def run(name: str, library, double: bool = True) -> dict[str, np.ndarray]:
    """What the program leaves, in float64 (or as users run it, in float32)."""
    path = programs()[name]
    scope: dict = {"__name__": f"public_{path.stem}"}
    default = library.get_default_dtype()
    library.set_default_dtype(library.float64 if double else library.float32)
    import sys
    import types

    module = types.ModuleType(scope["__name__"])
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source(path, library.__name__), str(path), "exec"), module.__dict__)
        given = Run(name, library)
        getattr(module, name)(given)
    finally:
        library.set_default_dtype(default)
        del sys.modules[module.__name__]
    return given.found


def main() -> None:
    import torch

    from tests.oracle import pack

    torch.set_num_threads(1)
    kept = {}
    for name in programs():
        for double in (True, False):
            found = run(name, torch, double)
            if not double:  # the text and the dtypes; the numbers are float64's
                found = {k: v for k, v in found.items() if v.dtype.kind == "U" or k.startswith("loss")}
            kept.update({f"{'double' if double else 'single'}/{name}/{k}": v for k, v in found.items()})
        print(name, float(kept.get(f"double/{name}/loss0", np.nan)), float(kept.get(f"double/{name}/loss2", np.nan)))
    np.savez_compressed(KEPT, **pack(kept))
    print(f"{len(programs())} programs, {len(kept)} arrays, {KEPT.stat().st_size:,} bytes, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
