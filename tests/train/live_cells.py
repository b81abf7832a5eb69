"""Cells of a notebook, run by IPython: prints the states of the runs they leave. See test_live.py."""

import sys

from IPython.core.interactiveshell import InteractiveShell

from mlkit import observe

shell = InteractiveShell.instance()
BEGIN = """
import mlkit
from mlkit import nn
from mlkit.data import DataLoader, TensorDataset
mlkit.manual_seed(0)
x = mlkit.randn(64, 2)
data = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=16)
model = nn.Linear(2, 2)
optimizer = mlkit.optim.SGD(model.parameters(), lr=0.1)
def train(epochs, stop=99):
    for epoch in range(epochs):
        for x, y in mlkit.live(data, epochs=epochs, run_dir=folder, progress=False):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        if epoch == stop:
            raise ValueError("in the cell")
"""
shell.user_ns["folder"] = sys.argv[1]
for cell in (BEGIN, "train(2)", "train(2)", "train(3, stop=0)", "mlkit.live.log({'valid/loss': 0.5})"):
    shell.run_cell(cell, store_history=True)
for run in reversed(observe.list_runs(sys.argv[1])):
    print(run.state, run.step, "valid/loss" in run.last)
