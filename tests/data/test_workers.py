"""Worker processes: the same batches, and every way in which they can end badly."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from mlkit.core.errors import DataError
from mlkit.core.rng import Generator
from mlkit.data import DataLoader, TensorDataset, parcel

from .samples import (
    Dying,
    Failing,
    FailingOddly,
    Random,
    Slow,
    Squares,
    Stream,
    Unloadable,
    WhoAmI,
    as_sum,
    fail_to_start,
)


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    left = [child for child in multiprocessing.active_children() if child.name.startswith("mlkit-data")]
    assert left == []


def lists(loader):
    return [[part.tolist() for part in batch] for batch in loader]


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_the_same_batches_in_the_same_order(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    expected = lists(DataLoader(Squares(23), 4, True, generator=Generator().manual_seed(3)))
    loader = DataLoader(
        Squares(23), 4, True, num_workers=2, generator=Generator().manual_seed(3), multiprocessing_context=method
    )
    assert lists(loader) == expected
    assert len(expected) == len(loader)


def test_large_batches_in_both_directions_do_not_block():
    x = np.arange(60_000)
    loader = DataLoader(TensorDataset(x), batch_size=20_000, num_workers=1, prefetch_factor=3)
    assert np.concatenate([batch[0] for batch in loader]).tolist() == x.tolist()


def test_workers_know_who_they_are_and_seeds_differ_between_them_and_epochs():
    loader = DataLoader(WhoAmI(8), batch_size=2, num_workers=2)
    found = [[part.tolist() for part in batch] for batch in loader]
    assert [ids for ids, _, _ in found] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert all(counts == [2, 2] for _, counts, _ in found)
    assert os.getpid() not in {pid for _, _, pids in found for pid in pids}

    loader = DataLoader(Random(8), batch_size=2, num_workers=2, generator=Generator().manual_seed(5))
    first = [batch.tolist() for batch in loader]
    second = [batch.tolist() for batch in loader]
    numbers = [number for batch in first + second for number in batch]
    assert len(set(numbers)) == len(numbers)
    again = DataLoader(Random(8), batch_size=2, num_workers=2, generator=Generator().manual_seed(5))
    assert [batch.tolist() for batch in again] == first


def test_streams_are_shared_out():
    batches = [batch.tolist() for batch in DataLoader(Stream(11), batch_size=2, num_workers=2)]
    assert sorted(value for batch in batches for value in batch) == list(range(11))


def test_collate_runs_in_the_worker():
    assert list(DataLoader(Squares(4), 2, num_workers=1, collate_fn=as_sum)) == [1, 13]


def test_persistent_workers_are_the_same_processes_and_forget_an_abandoned_iteration():
    loader = DataLoader(WhoAmI(12), batch_size=2, num_workers=2, persistent_workers=True)
    first = {pid for _, _, pids in loader for pid in pids.tolist()}
    for _ in loader:
        break
    second = list(loader)
    assert len(second) == 6 and {pid for _, _, pids in second for pid in pids.tolist()} == first
    loader._pool.close()


def test_an_exception_comes_with_its_own_traceback():
    with pytest.raises(KeyError, match="no sample 7") as caught:
        list(DataLoader(Failing(), batch_size=4, num_workers=2))
    assert "in deep_inside" in str(caught.value.__cause__)
    assert "data loader worker 1, loading samples [4, 5, 6, 7]" in str(caught.value.__cause__)


def test_an_exception_that_cannot_travel_is_told_in_words():
    with pytest.raises(RuntimeError, match="Unpicklable: cannot travel") as caught:
        list(DataLoader(FailingOddly(), num_workers=1))
    assert "in __getitem__" in str(caught.value.__cause__)


def test_a_failing_init_function_and_a_dataset_that_cannot_be_loaded():
    with pytest.raises(RuntimeError, match="init of 0 failed"):
        list(DataLoader(Squares(), num_workers=1, worker_init_fn=fail_to_start))
    with pytest.raises(OSError, match="camera is unplugged"):
        list(DataLoader(Unloadable(), num_workers=1))


def test_a_dataset_that_cannot_be_sent():
    dataset = Squares()
    dataset.lock = threading.Lock()
    with pytest.raises(DataError, match="cannot be sent to worker processes") as caught:
        list(DataLoader(dataset, num_workers=1))
    assert "num_workers=0" in str(caught.value) and "Squares.lock" in str(caught.value)


def test_lambdas_and_classes_inside_functions_are_sent():
    class Inner(Squares):
        def __getitem__(self, index):
            return 3 * index

    loader = DataLoader(Inner(4), 2, num_workers=1, collate_fn=lambda samples: sum(samples))
    assert list(loader) == [3, 15]


def test_without_cloudpickle_the_ordinary_way_is_used_and_its_limits_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    assert list(DataLoader(Squares(4), 2, num_workers=1, collate_fn=as_sum)) == [1, 13]
    with pytest.raises(DataError, match="pip install cloudpickle"):
        list(DataLoader(Squares(), num_workers=1, collate_fn=lambda samples: samples))


def test_a_killed_worker_is_noticed():
    with pytest.raises(RuntimeError, match="was killed by SIGKILL"):
        list(DataLoader(Dying(), batch_size=2, num_workers=2))


def test_a_timeout():
    with pytest.raises(DataError, match="timeout=0.5 s"):
        list(DataLoader(Slow(), num_workers=1, timeout=0.5))


def test_leaving_the_loop_ends_the_workers():
    for _ in DataLoader(Squares(1000), num_workers=2):
        break


def processes_of_session(session):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry))
            except (OSError, IndexError):
                pass
    return found


def script(body):
    return textwrap.dedent(
        """
        import sys
        sys.path.insert(0, {folder!r})
        from mlkit.data import DataLoader
        from samples import Squares, Slow
        if __name__ == "__main__":
        """
    ).format(folder=os.path.dirname(__file__)) + textwrap.indent(textwrap.dedent(body), "    ")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc to list processes")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_however_the_main_process_ends_no_process_is_left(tmp_path, how):
    path = tmp_path / "train.py"
    path.write_text(script(
        """
        loader = DataLoader(Squares(10**9), num_workers=2)
        for number, batch in enumerate(loader):
            if number == 3:
                print("started", flush=True)
        """
    ))  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "started\n", process.communicate()
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as Ctrl-C in a terminal: all of them get it
    else:
        process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    deadline = time.monotonic() + 20
    while processes_of_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_session(process.pid) == []
    if how == signal.SIGINT:
        assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors


WITHOUT_CLOUDPICKLE = "import sys; sys.modules['cloudpickle'] = None\n"


def run_python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], input=code, capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.mark.parametrize("cloudpickle", [True, False])
def test_a_script_without_the_main_guard(tmp_path, cloudpickle):
    path = tmp_path / "train.py"
    text = script("pass\n").replace('if __name__ == "__main__":', "if True:") + (
        "    class Mine(Squares):\n"
        "        def __getitem__(self, index): return 2 * index\n"
        "    for batch in DataLoader(Mine(3), 3, num_workers=1):\n"
        "        print(batch.tolist())\n"
    )
    path.write_text(text if cloudpickle else WITHOUT_CLOUDPICKLE + text)
    result = run_python("", path)
    if cloudpickle:
        assert result.stdout == "[0, 2, 4]\n", result.stderr  # and it was run once, not again in the worker
    else:
        assert 'if __name__ == "__main__":' in "".join(result.stderr.splitlines()[-4:])


@pytest.mark.parametrize("cloudpickle", [True, False])
def test_what_is_defined_at_a_prompt(cloudpickle):
    code = """
        from mlkit.data import DataLoader, Dataset
        factor = 5
        class Mine(Dataset):
            def __len__(self): return 3
            def __getitem__(self, index): return helper(index)
        def helper(index): return factor * index
        print(next(iter(DataLoader(Mine(), 3, num_workers=1))).tolist())
        """
    result = run_python("", "-c", ("" if cloudpickle else WITHOUT_CLOUDPICKLE) + textwrap.dedent(code))
    if cloudpickle:
        assert result.stdout == "[0, 5, 10]\n", result.stderr
    else:
        assert "notebook or typed at a prompt" in result.stderr and "pip install cloudpickle" in result.stderr


def test_code_that_travels_keeps_the_place_it_was_written_at():
    pytest.importorskip("cloudpickle")
    space: dict = {"__name__": "__main__"}
    exec(compile("def outer():\n    return lambda: 1", "<cell 3>", "exec"), space)
    packed, alone = parcel.pack((space["outer"], space["outer"]()))
    assert alone
    for f in pickle.loads(pickle.loads(packed)[1]):
        assert f.__code__.co_filename == "<cell 3>"
