"""`mlkit demo`: it learns, says its number last, and its report needs nothing else."""

import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlkit
from mlkit import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))
    return tmp_path


def accuracy_of(said: str) -> float:
    """The number in the last line, which has nothing else in it."""
    return float(re.fullmatch(r"test accuracy (\d+\.\d) %", said.strip().splitlines()[-1])[1])


class Links(html.parser.HTMLParser):
    """Everything in a page that a browser would fetch, and its scripts."""

    def __init__(self):
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "iframe", "object", "embed"):
            self.fetched.append(tag)
        self.fetched += [
            value for name, value in attrs if name in ("src", "srcset", "data") and not value.startswith("data:")
        ]


def test_two_epochs_learn_something_and_the_report_stands_alone(here, capsys):
    assert cli.main(["demo", "--data", "digits", "--epochs", "2", "--device", "cpu", "--out", "report.html"]) == 0
    said = capsys.readouterr().out
    assert accuracy_of(said) > 80
    assert f"report: {here / 'report.html'}" in said
    page = (here / "report.html").read_text("utf-8")
    links = Links()
    links.feed(page)
    assert links.fetched == [] and "url(http" not in page and "@import" not in page
    for words in ("Curves", "Confusion matrix", "Wrong answers", "Model", "Conv2d", f"{accuracy_of(said):.1f} %"):
        assert words in page
    assert page.count("data:image/") > 3  # the wrong digits themselves


def test_the_same_seed_gives_the_same_network_and_another_seed_another(here, capsys):
    reports = []
    for seed in (3, 3, 4):
        assert cli.main(["demo", "--data", "digits", "--epochs", "1", "--seed", str(seed), "--device", "cpu"]) == 0
        capsys.readouterr()
        page = (here / "mlkit-demo.html").read_text("utf-8")
        reports.append(re.search(r"<h2>Confusion matrix</h2>.*?</table>", page, re.S)[0])
    assert reports[0] == reports[1] != reports[2]


def test_no_gpu_is_said_in_words_and_nothing_is_written(here, capsys, monkeypatch):
    monkeypatch.setattr(mlkit.cuda, "is_available", lambda: False)
    assert cli.main(["demo", "--device", "cuda"]) == 1
    said = capsys.readouterr()
    assert "no GPU can be used" in said.err and "mlkit doctor" in said.err and "Traceback" not in said.err
    assert not list(here.iterdir())


def test_a_damaged_data_file_is_named(here, capsys, monkeypatch):
    folder = here / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bno gzip at all")
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bno gzip at all")
    monkeypatch.setenv("MLKIT_DATA", str(here / "data"))
    assert cli.main(["demo", "--data", "mnist"]) == 1
    said = capsys.readouterr().err
    assert "t10k-" in said and "Traceback" not in said
    assert not (here / "mlkit-demo.html").exists()


def test_confusion_counts_every_answer_once():
    from mlkit.demo import confusion_matrix

    random = np.random.default_rng(0)
    true, predicted = random.integers(0, 4, 100), random.integers(0, 4, 100)
    matrix = confusion_matrix(true, predicted, classes=5)
    expected = np.array([[np.sum((true == i) & (predicted == j)) for j in range(5)] for i in range(5)])
    assert (matrix == expected).all()


@pytest.mark.slow
def test_the_whole_demo_reaches_97_percent_of_the_digits(here):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'widgets'}"}
    done = subprocess.run(
        [sys.executable, "-m", "mlkit", "demo", "--data", "digits", "--seed", "1"],
        cwd=here,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert accuracy_of(done.stdout) >= 97.0
    assert "epoch 20/20" in done.stderr + done.stdout  # people see it move


@pytest.mark.slow
@pytest.mark.skipif("MLKIT_DATA" not in os.environ, reason="MLKIT_DATA is not set: no MNIST files here")
def test_mnist_is_used_where_its_files_are(here, capsys):
    assert cli.main(["demo", "--epochs", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "MNIST" in said and "28x28" in said
    assert accuracy_of(said) > 90
