"""matplotlib figures: ordinary Axes with the right data on them."""

import builtins

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

from mlkit import plot  # noqa: E402


@pytest.fixture(autouse=True)
def _closed():
    yield
    import matplotlib.pyplot as pyplot

    pyplot.close("all")


def test_curves_draws_the_series_and_tells_them_apart_without_colour():
    ax = plot.curves({"train/loss": [3.0, 2.0, 1.0], "valid/loss": [2.5, 1.5], "lr": [1, 1]})
    assert [line.get_label() for line in ax.lines] == ["train/loss", "valid/loss"]
    assert ax.lines[0].get_ydata().tolist() == [3, 2, 1]
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.get_ylabel() == "loss"
    with pytest.raises(KeyError, match="no series 'nothing'"):
        plot.curves({"train/loss": [1.0]}, ["nothing"])


def test_figures_draw_on_the_axes_given():
    import matplotlib.pyplot as pyplot

    _, axes = pyplot.subplots(1, 3)
    assert plot.curves({"loss": [1.0]}, ax=axes[0]) is axes[0]
    assert plot.histogram(np.arange(9.0), ax=axes[1]) is axes[1]
    assert plot.confusion(np.eye(3, dtype=int), ax=axes[2]) is axes[2]


@pytest.mark.parametrize(
    "values",
    [np.arange(100.0), np.arange(5), np.array([3.0]), np.array([np.nan, np.inf]), np.zeros(0), np.ones(9, bool)],
)
def test_histogram_counts_every_finite_value(values):
    ax = plot.histogram(values, bins=10)
    drawn = sum(patch.get_data().values.sum() for patch in ax.patches)
    assert drawn == np.isfinite(values).sum()
    if np.isnan(values).any():
        assert "1 NaN" in ax.get_title() and "1 Inf" in ax.get_title()


@pytest.mark.parametrize("shape", [(5, 1, 9, 9), (5, 3, 9, 9), (5, 9, 9, 3), (5, 9, 9), (9, 9), (3, 9, 9)])
def test_images_of_every_layout(shape):
    count = shape[0] if len(shape) > 2 and shape != (3, 9, 9) else 1
    ax = plot.images(np.random.default_rng(0).random(shape), labels=[f"${i}" for i in range(count)])
    assert len(ax.images) == 1 and [t.get_text() for t in ax.texts] == [f"${i}" for i in range(count)]
    ax.figure.canvas.draw()  # a label that is no formula must not be read as one


def test_images_refuses_what_is_none():
    with pytest.raises(ValueError, match="expected"):
        plot.images(np.zeros((2, 7, 5, 5)))
    with pytest.raises(ValueError, match="2 labels for 3 images"):
        plot.images(np.zeros((3, 8, 8)), labels=[1, 2])


def test_confusion_writes_the_counts():
    ax = plot.confusion([[5, 2], [0, 7]], ["cat", "dog"])
    assert {t.get_text() for t in ax.texts} == {"5", "2", "7"}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog"]
    with pytest.raises(ValueError, match="class true, class predicted"):
        plot.confusion(np.zeros((2, 3)))


def test_decision_boundary_shows_each_class():
    points = np.array([[0.0, 0], [1, 1], [2, 0]])
    ax = plot.decision_boundary(lambda x: -((x[:, None] - points) ** 2).sum(-1), points, [0, 1, 2])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["class 0", "class 1", "class 2"]


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError("no matplotlib here")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot.curves({"loss": [1.0]})
