"""Memory that is shared, processes that die, and batches of every size."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from mlkit.core.errors import DataError, MlkitError
from mlkit.data import ConcatDataset, DataLoader, TensorDataset, transport
from mlkit.data.pool import WorkerDied, WorkerTimeout

from .samples import (
    Big,
    Crashing,
    Dying,
    EveryoneReadsAll,
    Slow,
    SlowStart,
    Squares,
    Stream,
    StreamOfKnownLength,
    Unsendable,
    WritesIntoItself,
    as_they_are,
)
from .test_workers import no_process_is_left, processes_of_session, script  # noqa: F401

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


def open_files():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def shared():
    """Shared memory with a name: `multiprocessing`'s, or ours. (Other programs' semaphores come and go there.)"""
    names = os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else []
    return sorted(name for name in names if name.startswith(("psm_", "mlkit")))


@needs_proc
def test_large_arrays_are_shared_and_freed():
    list(DataLoader(Squares(2), num_workers=1))  # what the first workers open for good
    before, files = shared(), open_files()
    seen = []
    for images, rest in DataLoader(Big(12), 3, num_workers=2):
        assert images.shape == (3, 1 << 20) and rest["name"][0] == str(rest["small"][0, 0].item())
        assert isinstance(images.numpy().base.base, object) and images.numpy().flags.writeable
        images += 1
        seen += images[:, -1].tolist()
        assert shared() == before  # nothing of it ever has a name
    assert seen == list(range(1, 13))
    del images, rest
    assert open_files() <= files  # others may have closed theirs meanwhile


@needs_proc
def test_keeping_all_batches_does_not_use_up_the_files():
    loader = DataLoader(Big(2 * transport.OPEN), None, num_workers=1)
    kept = [image for image, _ in (loader if transport.OPEN < 64 else _few(loader))]
    assert [int(image[0]) for image in kept] == list(range(len(kept)))


def _few(loader):
    """With the limit lowered, so that the test is small."""
    limit, transport.OPEN = transport.OPEN, 5
    try:
        for number, sample in enumerate(loader):
            if number == 40:
                return
            assert len(transport._open) <= 5
            yield sample
    finally:
        transport.OPEN = limit


def test_a_huge_batch():
    x = np.arange(12_000_000, dtype=np.int64).reshape(4, -1)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=4, num_workers=1)))
    assert batch.shape == x.shape and (batch.numpy() == x).all()


@needs_proc
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_datasets_large_arrays_are_shared_by_its_workers(method):
    dataset = WritesIntoItself(np.zeros(4 << 20, np.uint8))
    list(DataLoader(Squares(2), num_workers=1))
    files = open_files()
    loader = DataLoader(dataset, 1, num_workers=2, multiprocessing_context=method)
    found = [batch.tolist() for batch in loader]
    # each worker sees what itself has written, and nobody else does
    assert found == [[[1, 1]], [[1, 1]], [[2, 1]], [[2, 1]]]
    assert not dataset.pixels.any() and open_files() <= files


def test_no_room_for_a_batch_is_told(monkeypatch):
    monkeypatch.setattr(transport, "available_memory", lambda: 1 << 20)
    with pytest.raises(DataError, match="no room for a batch of 2 MB") as caught:
        transport.Segment(2_000_000)
    assert "smaller batches" in str(caught.value)


def test_samples_that_have_no_batch():
    samples = next(iter(DataLoader(Big(4), 2, num_workers=1, collate_fn=as_they_are)))
    assert [int(image[0]) for image, _ in samples] == [0, 1]
    one, rest = next(iter(DataLoader(Big(4), None, num_workers=1)))
    assert one.shape == (1 << 20,) and rest["name"] == "0"


def test_a_killed_worker_is_named_with_what_it_did():
    with pytest.raises(WorkerDied) as caught:
        list(DataLoader(Dying(), batch_size=2, num_workers=2))
    text = str(caught.value)
    assert "worker process 1 (pid " in text and "killed by SIGKILL" in text
    assert "loading samples [10, 11]" in text and "out of memory" in text
    with pytest.raises(WorkerDied, match="killed by SIGSEGV") as caught:
        list(DataLoader(Crashing(), batch_size=2, num_workers=2))
    assert "num_workers=0 to see where" in str(caught.value)


@needs_proc
@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_killed_from_outside_is_noticed_and_leaves_nothing(persistent):
    list(DataLoader(Squares(2), num_workers=1))
    before, files = shared(), open_files()
    assert "killed by SIGKILL" in _killed_in_the_middle(persistent)
    assert shared() == before and open_files() <= files


def _killed_in_the_middle(persistent):
    loader = DataLoader(Big(1000), 2, num_workers=2, persistent_workers=persistent)
    try:
        for number, _ in enumerate(loader):
            if number == 3:
                victim = next(p for p in multiprocessing.active_children() if p.name == "mlkit-data-1")
                os.kill(victim.pid, signal.SIGKILL)
    except WorkerDied as error:
        said = str(error)
    if persistent:  # the next iteration has new workers
        assert len(next(iter(loader))[0]) == 2
        loader._pool.close()
    return said


@needs_proc
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_however_it_ends_no_process_and_no_memory_is_left(tmp_path, method, how):
    before = shared()
    path = tmp_path / "train.py"
    path.write_text(script(
        f"""
        from samples import Big
        train = DataLoader(Big(10**6), 4, num_workers=2, multiprocessing_context={method!r}, persistent_workers=True)
        valid = DataLoader(Big(10**6), 4, num_workers=1, multiprocessing_context={method!r}, persistent_workers=True)
        for number, batch in enumerate(zip(train, valid)):
            if number == 3:
                print("started", flush=True)
        """
    ))  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "started\n", process.communicate()
    (os.killpg if how == signal.SIGINT else os.kill)(process.pid, how)
    _, errors = process.communicate(timeout=60)  # one interrupt is enough: no callback of ours can swallow it
    assert process.returncode != 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # other programs' memory comes and goes, ours must go
        if not processes_of_session(process.pid) and set(shared()) <= set(before):
            break
        time.sleep(0.05)
    assert processes_of_session(process.pid) == [] and set(shared()) <= set(before)
    if how == signal.SIGINT:  # told by the main process alone, and once
        assert "KeyboardInterrupt" in errors and "mlkit-data" not in errors
        assert errors.count("Traceback") == 1 and "Exception ignored" not in errors


def test_a_timeout_says_who_is_late():
    with pytest.raises(WorkerTimeout, match="timeout=0.5 s") as caught:
        list(DataLoader(Slow(), 2, num_workers=2, timeout=0.5))
    assert "worker 0: loading samples [0, 1]" in str(caught.value) and isinstance(caught.value, MlkitError)


def test_a_batch_that_cannot_be_sent_is_told():
    with pytest.raises(Exception, match="pickle|local object") as caught:
        list(DataLoader(Unsendable(4), 2, num_workers=1, collate_fn=as_they_are))
    assert "while it was sent" in str(caught.value.__cause__)


@pytest.mark.parametrize("workers", [0, 2])
def test_datasets_without_samples(workers):
    assert list(DataLoader(Squares(0), 4, num_workers=workers)) == []
    assert list(DataLoader(Squares(0), 4, shuffle=True, num_workers=workers)) == []
    assert list(DataLoader(Squares(3), 4, drop_last=True, num_workers=workers)) == []
    assert list(DataLoader(Stream(0), 4, num_workers=workers)) == []
    assert list(DataLoader(Squares(5), batch_sampler=[], num_workers=workers)) == []
    assert [len(y) for _, y in DataLoader(Squares(1), 4, num_workers=workers)] == [1]


def test_streams_of_known_length():
    loader = DataLoader(StreamOfKnownLength(10), 3, num_workers=2)
    assert len(loader) == 4 and sorted(v for batch in loader for v in batch.tolist()) == list(range(10))
    with pytest.warns(UserWarning, match="get_worker_info"):
        found = [v for batch in DataLoader(EveryoneReadsAll(6), 3, num_workers=2) for v in batch.tolist()]
    assert sorted(found) == sorted([*range(6), *range(6)])


def test_without_order_a_slow_batch_holds_nobody_up(tmp_path):
    loader = DataLoader(SlowStart(16, tmp_path / "one"), 2, num_workers=2, in_order=False)
    found = [batch.tolist() for batch in loader]
    assert found[0] != [0, 1] and sorted(found) == [[i, i + 1] for i in range(0, 16, 2)]
    assert [batch.tolist() for batch in DataLoader(SlowStart(16, tmp_path / "two"), 2, num_workers=2)] == sorted(found)


def test_two_iterations_at_once_over_persistent_workers():
    loader = DataLoader(Squares(8), 2, num_workers=2, persistent_workers=True)
    pairs = [(a.tolist(), b.tolist()) for (_, a), (_, b) in zip(loader, loader)]
    assert pairs == [([i**2, (i + 1) ** 2],) * 2 for i in range(0, 8, 2)]
    assert len(list(loader)) == 4
    loader._pool.close()


def test_a_notebooks_nested_datasets(tmp_path):
    code = """
        import numpy as np, mlkit
        from mlkit.data import ConcatDataset, DataLoader, Dataset, Subset, transforms
        class Base(Dataset):
            def __len__(self): return 6
            def __getitem__(self, index): return self.change(self.pixels(index)), index
        class Images(Base):
            class Maker:
                def __init__(self, size): self.size = size
                def make(self, index): return np.full((self.size, self.size, 3), index, np.uint8)
            def __init__(self): self.maker = self.Maker(4); self.change = transforms.Compose([transforms.ToTensor(), lambda x: x * scale])
            def pixels(self, index): return self.maker.make(index)
        scale = 255
        whole = ConcatDataset([Images(), Subset(Images(), [5, 4])])
        for context in ("spawn", "forkserver"):
            loader = DataLoader(whole, 8, num_workers=2, multiprocessing_context=context)
            images, labels = next(iter(loader))
            print([round(v) for v in images[:, 0, 0, 0].tolist()], labels.tolist())
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout == "[0, 1, 2, 3, 4, 5, 5, 4] [0, 1, 2, 3, 4, 5, 5, 4]\n" * 2, result.stderr


def test_joined_datasets_from_workers():
    both = ConcatDataset([Squares(3), Squares(2)])
    assert [y for _, ys in DataLoader(both, 2, num_workers=2) for y in ys.tolist()] == [0, 1, 4, 0, 1]
