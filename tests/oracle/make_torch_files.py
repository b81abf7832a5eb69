"""Write ``files/`` with PyTorch, and check that PyTorch reads what mlkit writes.

``python -m tests.oracle.make_torch_files`` (torch 2.13; mlkit needs ml_dtypes beside it). The tests read the files;
PyTorch is not needed to run them.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from tests.oracle import saved

FILES = Path(__file__).with_name("files")


def write() -> None:
    import torch
    from torch import _weights_only_unpickler as reader

    FILES.mkdir(exist_ok=True)
    torch.save(saved.contents(torch), FILES / "contents.pt")
    old = saved.contents(torch)
    del old["meta"]
    for name in ("uint16", "uint32", "uint64"):
        del old["dtypes"][name]
    torch.save(old, FILES / "contents_legacy.pt", _use_new_zipfile_serialization=False)
    for name, make in saved.OPTIMIZERS.items():
        torch.manual_seed(0)
        model = saved.network(torch)
        optimizer = make(torch, model.parameters())
        x = saved.picture(torch)
        losses = [saved.step(torch, model, optimizer, x) for _ in range(2)]
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
        file = io.BytesIO()
        torch.save(state, file)
        state["next losses"] = [saved.step(torch, model, optimizer, x) for _ in range(3)]
        state["model"], state["optimizer"] = (
            torch.load(io.BytesIO(file.getvalue()))[k] for k in ("model", "optimizer")
        )
        torch.save(state, FILES / f"{name}.pt")
    text = Path(reader.__file__).read_text()
    opcodes = [
        name
        for name in vars(reader)
        if name.isupper() and isinstance(vars(reader)[name], bytes) and f" {name}[0]" in text
    ]
    allowed = {"opcodes": sorted(opcodes), "globals": sorted(reader._get_allowed_globals())}
    (FILES / "weights_only.json").write_text(json.dumps(allowed, indent=0) + "\n")


def check() -> None:
    """mlkit's files in PyTorch: the same things, shared memory shared, training that goes on alike."""
    import torch

    import mlkit

    file = io.BytesIO()
    mlkit.save(saved.contents(mlkit), file)
    found = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    saved.same(torch, found, saved.contents(torch))
    saved.sharing(found)
    for name, make in saved.OPTIMIZERS.items():
        mlkit.manual_seed(0)
        model = saved.network(mlkit)
        optimizer = make(mlkit, model.parameters())
        for _ in range(2):
            saved.step(mlkit, model, optimizer, saved.picture(mlkit))
        file = io.BytesIO()
        mlkit.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        state = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
        other = saved.network(torch)
        other.load_state_dict(state["model"])
        resumed = make(torch, other.parameters())
        resumed.load_state_dict(state["optimizer"])
        for _ in range(3):
            ours = saved.step(mlkit, model, optimizer, saved.picture(mlkit))
            theirs = saved.step(torch, other, resumed, saved.picture(torch))
            assert abs(ours - theirs) < 1e-5 * abs(theirs), (name, ours, theirs)
    print("PyTorch", torch.__version__, "reads what mlkit writes")


if __name__ == "__main__":
    write()
    check()
    print(sum(f.stat().st_size for f in FILES.iterdir()), "bytes in", FILES)
