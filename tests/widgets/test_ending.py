"""A kernel that ends while a widget of it is alive: the page hears the end, and no thread of ours speaks after it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

manager = pytest.importorskip("jupyter_client.manager")

# What is sent after ipykernel's own thread has ended, or only in part, is written down; that thread is said to end a second and a half before
# the socket is closed, which is what a busy machine makes of it.
SPY = """
def spy(late):  # a function's own names: the notebook's are gone by then
    import threading, time
    from ipykernel.kernelbase import Kernel
    iopub = Kernel.instance().iopub_thread
    send, stop = iopub._really_send, iopub.stop
    def written(*args, **kwargs):
        if not iopub.thread.is_alive():
            with open(late, "a") as file:
                print(threading.current_thread().name, file=file)
        try:
            return send(*args, **kwargs)
        except Exception as error:
            with open(late, "a") as file:
                print("mlkit-half-a-message", error, file=file)
            raise
    def slow():
        stop()
        open(late, "a").close()
        time.sleep(1.5)
    iopub._really_send, iopub.stop = written, slow
spy({late!r})
"""
TRAIN = """
from mlkit import nn, optim
from mlkit.data import DataLoader, digits
from mlkit.train import Trainer
from mlkit.widgets import Watch
net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
trainer = Trainer(net, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(net.parameters(), lr=0.01), progress=False)
run = trainer.start(DataLoader(digits(train=True), batch_size=64), epochs=100_000)
watch = Watch(run)
watch._answered = True  # as if a page had asked
display(watch)
def flood(watch):
    import time
    while True:
        watch._tell({"kind": "nothing", "text": 100_000 * "x"})
        time.sleep(0.005)
import threading
threading.Thread(target=flood, args=(watch,), daemon=True).start()
"""


def test_after_the_kernels_end_no_thread_of_ours_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    view = root / "widgets/mlkit_widgets/training_curves/view.js"
    if not view.is_file():
        pytest.skip(f"{view} has not been built: make widgets")
    late = tmp_path / "late.txt"
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)
    kernel = manager.KernelManager()
    paths = [str(root), str(root / "widgets"), *filter(None, [os.environ.get("PYTHONPATH")])]
    kernel.start_kernel(env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
    try:
        client = kernel.blocking_client()
        client.start_channels()
        client.wait_for_ready(60)
        for code in (SPY.format(late=str(late)), TRAIN):
            answer = client.execute(code, reply=True, timeout=120)["content"]
            assert answer["status"] == "ok", "\n".join(answer.get("traceback", []))
        states: list[Any] = []
        client.shutdown()
        deadline = time.monotonic() + 60
        while kernel.is_alive() and time.monotonic() < deadline:
            try:
                message = client.get_iopub_msg(timeout=0.2)
            except Exception as error:
                assert type(error).__name__ == "Empty", error
                continue
            if message["msg_type"] == "comm_msg":
                content = message["content"]["data"].get("content") or {}
                states += [run["status"]["state"] for run in content.get("runs", [])]
        client.stop_channels()
        assert states[-1] == "stopped", "the page must not show a running training for ever"
        assert late.read_text("utf-8") == ""
    finally:
        kernel.shutdown_kernel(now=True)
