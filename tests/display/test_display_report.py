"""The report: one self-contained page, whole or not at all."""

import re

import numpy as np
import pytest

from mlkit.display.report import page, save, write_report


def full(path, hostile="digit", **more):
    rng = np.random.default_rng(0)
    matrix = np.diag(rng.integers(20, 30, 10))
    matrix[3, 5] = 4
    wrong = [{"image": rng.random((1, 28, 28), np.float32), "true": 3, "predicted": 5, "probability": 0.75}] * 3
    wrong.append((rng.integers(0, 255, (3, 32, 32), dtype=np.uint8), 1, 2))
    given = {
        "history": {"train/loss": [2.0, 1.0, 0.5], "valid/accuracy": [0.7, 0.9]},
        "confusion": matrix,
        "wrong": wrong,
        "classes": [f"{hostile}{i}" for i in range(10)],
        "info": {"Settings": {"epochs": 3, hostile: hostile}, "device": "cpu"},
        "title": f"Report {hostile}",
    }
    return write_report(path, **{**given, **more})


def test_the_page_holds_every_part_and_nothing_foreign(tmp_path, parse):
    page_ = parse(full(tmp_path / "report.html").read_text("utf-8"))
    for heading in ("Curves", "Confusion matrix", "Wrong answers", "Settings", "Facts"):
        assert heading in page_.text
    assert "all 4" in page_.text or "4 of" in page_.text
    assert len([a for a in page_.all("img") if "taken for" in a["alt"]]) == 4
    assert "75 %" in page_.text
    assert "default-src 'none'" in page_.html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_hostile_names_stay_text(tmp_path, parse, hostile):
    parse(full(tmp_path / "report.html", hostile).read_text("utf-8"))


@pytest.mark.parametrize("part", ["history", "confusion", "wrong", "classes", "info"])
def test_every_part_may_be_missing(tmp_path, parse, part):
    missing = {"wrong": ()}.get(part)
    parse(full(tmp_path / "report.html", **{part: missing}).read_text("utf-8"))


def test_an_empty_report_is_a_page(tmp_path, parse):
    parse(write_report(tmp_path / "r.html").read_text("utf-8"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"confusion": np.zeros((2, 3))}, r"confusion must be counts of shape"),
        ({"wrong": [{"image": np.zeros(3), "true": 1, "predicted": 2}]}, r"the image of wrong\[0\]"),
        ({"wrong": [{"image": np.zeros((2, 2))}]}, r"wrong\[0\] needs image, true and predicted"),
        ({"classes": ["a"]}, r"1 class names for a confusion matrix of 10"),
    ],
)
def test_bad_parts_are_named_and_the_old_page_stays(tmp_path, more, words):
    path = tmp_path / "report.html"
    path.write_text("the old page")
    with pytest.raises(ValueError, match=words):
        full(path, **more)
    assert path.read_text() == "the old page" and len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        full(tmp_path / "nowhere" / "report.html")


def test_many_classes_become_a_heat_map(tmp_path, parse):
    page_ = parse(write_report(tmp_path / "r.html", confusion=np.eye(100, dtype=int) * 9).read_text("utf-8"))
    assert "heat map" in " ".join(a["alt"] for a in page_.all("img"))


def test_accuracy_below_one_is_never_shown_as_100(tmp_path, parse):
    matrix = np.array([[100_000, 1], [0, 100_000]])
    text = parse(write_report(tmp_path / "r.html", confusion=matrix).read_text("utf-8")).text
    assert "99.99 %" in text and "accuracy 100 %" not in re.sub(r"\s+", " ", text)


def test_save_writes_what_a_notebook_shows_or_says_why_not(tmp_path, parse):
    with pytest.raises(TypeError, match="nothing is registered to display object"):
        save(object(), tmp_path / "x.html")
    assert parse(page("t<i>", "<p>hello</p>")).text.count("hello") == 1
