"""Every known difference from PyTorch 2.13: ``python -m mlkit.torch.differences`` prints them.

Behaviour is listed with a small program and what it prints in both; the tests run it here, and the script that keeps
PyTorch's numbers runs it there. Names are compared with PyTorch's own list each time.
"""

from __future__ import annotations

import contextlib
import io
import textwrap
from dataclasses import dataclass

from mlkit.core.absent import not_now
from mlkit.torch.namespace import exists, load, pytorch_names
from mlkit.torch.paths import NOT_HERE

__all__ = ["DIFFERENCES", "Difference", "main", "missing_names", "run"]


@dataclass(frozen=True)
class Difference:
    """One thing that is not as in PyTorch.

    Args:
        what: The difference in a sentence.
        program: Shows it; ``torch`` is imported already.
        there: What it prints under PyTorch.
        here: What it prints under mlkit.
        instead: What to do.
    """

    what: str
    program: str
    there: str
    here: str
    instead: str = ""


def _raises(program: str) -> str:
    """The program, printing the class of the builtin error it raises, or "fine"."""
    body = textwrap.indent(textwrap.dedent(program).strip(), "    ")
    kinds = "RuntimeError, TypeError, ValueError, AttributeError, ImportError"
    return (
        f"try:\n{body}\n    print('fine')\nexcept ({kinds}) as error:\n"
        f"    print([k.__name__ for k in ({kinds}) if isinstance(error, k)])\n"
    )


DIFFERENCES = (
    Difference(
        "Random numbers: the same seed gives other numbers (one stream, equal on every device).",
        "torch.manual_seed(0)\nprint([round(v, 4) for v in torch.rand(3).tolist()])",
        "[0.4963, 0.7682, 0.0885]",
        "[0.0347, 0.0115, 0.612]",
        "Compare trainings from a saved state_dict, or draw with NumPy.",
    ),
    Difference(
        "Classes have mlkit's names.",
        "print(type(torch.zeros(1)), torch.nn.Linear.__module__)",
        "<class 'torch.Tensor'> torch.nn.modules.linear",
        "<class 'mlkit.core.tensor.Tensor'> mlkit.nn.linear",
        "isinstance(x, torch.Tensor), x.type() and repr(model) are as in PyTorch.",
    ),
    Difference(
        "Some nodes of the graph are named after mlkit's operations.",
        "print(torch.ones(2, requires_grad=True).nansum().grad_fn.name())",
        "NansumBackward0",
        "SumBackward0",
    ),
    Difference(
        "Errors are subclasses of PyTorch's classes with longer texts.",
        "try:\n    torch.ones(2, 3) @ torch.ones(2, 3)\nexcept RuntimeError as e:\n    print(str(e).splitlines()[0])",
        "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
        "matmul: the last axis of input and the second-to-last axis of other must agree: 3 != 2.",
        "Catch the class; do not compare the text.",
    ),
    Difference(
        "The result of a convolution lies channels-last in memory; view() still works on it.",
        "y = torch.nn.Conv2d(2, 3, 3)(torch.zeros(1, 2, 5, 5))\nprint(y.is_contiguous(), y.view(1, -1).shape)",
        "True torch.Size([1, 27])",
        "False torch.Size([1, 27])",
        "contiguous() where a program reads strides.",
    ),
    Difference(
        "There are no sparse tensors.",
        _raises("torch.eye(2).to_sparse()"),
        "fine",
        "['RuntimeError', 'AttributeError']",
        "Use dense tensors; nn.Embedding(sparse=True) gives dense gradients.",
    ),
    Difference(
        "There are no quantised tensors.",
        _raises("torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)"),
        "fine",
        "['RuntimeError', 'AttributeError']",
    ),
    Difference(
        "Whole models cannot be saved, since files hold data and never programs.",
        _raises("import io\ntorch.save(torch.nn.Linear(2, 2), io.BytesIO())"),
        "fine",
        "['RuntimeError']",
        "Save model.state_dict() and load it into a model made from its class.",
    ),
    Difference(
        "Objects of your own classes are neither saved nor loaded, such as the arguments beside a state_dict.",
        _raises("import argparse, io\ntorch.save({'args': argparse.Namespace(lr=0.1)}, io.BytesIO())"),
        "fine",
        "['RuntimeError']",
        "Save vars(args): a dictionary of numbers and texts.",
    ),
    Difference(
        "torch.jit.script and trace give the function or module itself, which Python runs.",
        "print(torch.jit.script(torch.nn.ReLU()).__class__.__name__)",
        "RecursiveScriptModule",
        "ReLU",
        "Results are the same; torch.jit.save and load say that they are not there.",
    ),
    Difference(
        "Several processes cannot train together in this version.",
        "print(torch.distributed.is_available())",
        "True",
        "False",
        "DataParallel runs on one device; DistributedDataParallel says that it is not there.",
    ),
    Difference(
        "Switches of PyTorch's kernels can be set and change nothing.",
        "torch.backends.cudnn.benchmark = True\nprint(torch.backends.mkldnn.is_available())",
        "True",
        "False",
    ),
    Difference(
        "There is no profiler.",
        _raises("from torch.profiler import profile"),
        "fine",
        "['ImportError']",
        "mlkit.compiler.trace records operations and their seconds; or Python's cProfile.",
    ),
    Difference(
        "TorchScript's and ONNX's files are not written in this version.",
        _raises("import io\ntorch.jit.save(torch.jit.script(torch.nn.ReLU()), io.BytesIO())"),
        "fine",
        "['RuntimeError', 'AttributeError']",
        "Save the state_dict; PyTorch reads it.",
    ),
    Difference(
        "The version says whose names these are.",
        "print(torch.__version__.partition('+')[2] == 'mlkit', torch.__version__ >= '2.0')",
        "False True",
        "True True",
    ),
)


def run(program: str) -> str:
    """What a program prints when ``torch`` is mlkit; imports inside it are redirected too."""
    from mlkit.torch import hook

    was = hook.is_installed()
    hook.install()
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(program, "<difference>", "exec"), {"torch": load("torch"), "__name__": "__main__"})
    finally:
        if not was:
            hook.uninstall()
    return out.getvalue().strip()


def missing_names() -> dict[str, tuple[list[str], list[str]]]:
    """For each path, the names of PyTorch that are not here: (of a kind that is left out, the others).

    >>> missing_names()["torch.nn.init"]
    ([], [])
    """
    found = {}
    for path, names in pytorch_names().items():
        if path in NOT_HERE:
            continue
        home = load(path) if exists(path) else None
        gone = [name for name in sorted(names) if home is None or not hasattr(home, name)]
        found[path] = ([n for n in gone if not_now(n)], [n for n in gone if not not_now(n)])
    return found


def main() -> None:
    """Print the list."""
    print("Behaviour")
    for difference in DIFFERENCES:
        print(f"\n- {difference.what}")
        print(textwrap.indent(difference.program.strip(), "      "))
        print(f"    PyTorch: {difference.there}\n    mlkit:   {difference.here}")
        if difference.instead:
            print(f"    {difference.instead}")
    print("\nPaths that are not here\n")
    for path, reason in NOT_HERE.items():
        print(f"- {path}: {reason}")
    print("\nNames that are not here\n")
    for path, (kinds, others) in missing_names().items():
        if kinds or others:
            print(
                f"- {path}: {len(pytorch_names()[path]) - len(kinds) - len(others)} of {len(pytorch_names()[path])} are"
            )
        for title, names in (("of kinds left out", kinds), ("others", others)):
            if names:
                print(
                    textwrap.fill(f"{title}: {' '.join(names)}", 110, initial_indent="    ", subsequent_indent="      ")
                )


if __name__ == "__main__":
    main()
