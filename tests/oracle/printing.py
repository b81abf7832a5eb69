"""How PyTorch prints: expressions over ``T``, and the script that keeps its text (``keep``)."""

from __future__ import annotations

import json
from pathlib import Path

PATH = Path(__file__).with_name("torch_printing.json")
CASES = [
    "T.tensor([1.0,2.5,-3.0])",
    "T.tensor([1e-5,1.0])",
    "T.tensor([1e10,1.0])",
    "T.tensor([1000000.0,1.0])",
    "T.tensor([float('nan'),1.0,float('inf')])",
    "T.tensor([[1,20],[300,4]])",
    "T.tensor([True,False])",
    "T.tensor([])",
    "T.zeros(0,3)",
    "T.zeros(2,0,dtype=T.int32)",
    "T.tensor(3.5)",
    "T.tensor(7)",
    "T.tensor([1+2j,3.5-1j])",
    "T.tensor([1.0],dtype=T.float64)",
    "T.tensor([1,2],dtype=T.int32)",
    "T.arange(2000)",
    "T.arange(3000.).reshape(50,60)",
    "T.ones(2,3,requires_grad=True)",
    "(T.ones(2,requires_grad=True)*2)",
    "T.arange(30.)",
    "T.arange(24.).reshape(2,3,4)*0.37",
    "T.tensor([1e-8,1e-3])",
    "T.tensor([0.0001,0.0002])",
    "T.tensor([12345.678,0.5])",
    "T.tensor([float('inf')])",
    "T.tensor([float('nan')])",
    "T.tensor([1e8,2e8])",
    "T.tensor([-1.5,100.25])",
    "T.zeros(3,3,3,3)[0]",
    "T.tensor([0.,-0.])",
    "T.tensor(1.0,dtype=T.float16)",
    "T.tensor([1,2],dtype=T.uint8)",
    "T.zeros(2,device='meta')",
    "T.tensor([1e-5+1j])",
    "T.float32",
    "T.Size([1,2])",
    "T.device('cpu')",
    "T.iinfo(T.int8)",
    "T.strided",
    "T.ones(1100,2)",
    "T.tensor([[1.5]]*3)",
    "T.arange(40)",
    "T.ones(2).requires_grad_().exp().grad_fn.name()",
    "T.max(T.ones(2,2),1)",
    "T.tensor(float('nan'))",
    "T.tensor([1e20,1e-20])",
    "T.tensor(1e-5)",
    "T.tensor(123456789.0)",
    "T.tensor([1,-1])",
    "T.arange(1001)",
    "T.tensor([99999.,1.5])",
    "T.rand(0)",
    "T.ones(2,dtype=T.bfloat16)",
    "T.tensor([0.1]*7)",
]


def text(library, name: str, case: str) -> str:
    """What a case prints, with the library's name taken out."""
    return repr(eval(case, {"T": library, "float": float})).replace(f"{name}.", "")


def keep(library) -> None:
    PATH.write_text(json.dumps({c: text(library, "torch", c) for c in CASES}, indent=0) + "\n")


def kept() -> dict[str, str]:
    return json.loads(PATH.read_text())
