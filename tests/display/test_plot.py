"""matplotlib figures: ordinary Axes with the right data on them."""

import builtins
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

import mlkit
from mlkit import nn

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


def contrast(a, b):
    def light(colour):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_figure_follows_the_theme_in_a_notebook_and_is_white_in_a_file(parse, tmp_path):
    ax = plot.curves({"train/loss": [3.0, 2.0], "valid/loss": [2.5, 1.5]})
    ax.set_title("<b>mine</b> & 'yours'")
    page = parse(ax.figure._repr_html_())
    (image,) = page.all("img")
    svg = unquote(image["src"])
    assert "prefers-color-scheme:dark" in svg and "var(--ink)" in svg and "var(--s0)" in svg
    assert "#0072b2;" not in svg.replace("--s0:#0072b2;", "")  # no colour of the light page is left fixed
    assert "loss over step: train/loss, valid/loss" in image["alt"] and "mine" in image["alt"]
    assert len(page.html) < 60_000
    ElementTree.fromstring(svg.partition(",")[2])
    path = tmp_path / "curves.png"
    ax.figure.savefig(path)
    corner = matplotlib.image.imread(path)[0, 0, :3]
    assert corner.min() > 0.99


def test_every_drawing_function_follows_the_theme():
    """A function without the project's settings would draw a white figure in a dark notebook."""
    bare = [
        name
        for name in plot.__all__
        if callable(draw := getattr(plot, name)) and name != "history_interactive" and not hasattr(draw, "__wrapped__")
    ]
    assert not bare


def test_a_users_own_axes_and_settings_are_left_alone():
    import matplotlib.pyplot as pyplot

    before = dict(matplotlib.rcParams)
    figure, ax = pyplot.subplots()
    assert plot.histogram(np.arange(9.0), ax=ax).figure is figure and type(figure) is matplotlib.figure.Figure
    plot.curves({"loss": [1.0, 2.0]})
    assert dict(matplotlib.rcParams) == before


def test_a_figure_too_large_for_a_notebook_shows_its_png_alone(monkeypatch):
    from mlkit.plot import theme

    monkeypatch.setattr(theme, "MOST_BYTES", 1000)
    assert plot.histogram(np.arange(9.0)).figure._repr_html_() is None


def linear_net():
    mlkit.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def test_saliency_of_a_linear_model_is_its_weights():
    net = linear_net()
    net.train()
    image = mlkit.rand(1, 1, 8, 8)
    ax = plot.saliency(net, image, target=2, classes=["a", "b", "$c"])
    weights = np.abs(net[1].weight.detach().numpy()[2].reshape(8, 8))
    assert np.allclose(ax.images[-1].get_array(), weights) and ax.get_title() == "$c"
    assert net.training and net[1].weight.grad is None and image.grad is None
    best = int(net(image)[0].argmax().item())
    assert plot.saliency(net, image).get_title() == f"class {best}"


def test_integrated_gradients_add_up_to_the_difference_of_the_scores():
    mlkit.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 2))
    x, start = mlkit.randn(1, 5), mlkit.randn(1, 5)
    found, _ = plot.attribution.integrated_gradients(net, x, 1, baseline=start, steps=200)
    assert np.isclose(found.sum(), (net(x) - net(start))[0, 1].item(), atol=1e-3)
    ax = plot.integrated_gradients(net, x, 1, baseline=start, steps=200, features=["a", "b", "c", "d", "$e"])
    assert np.allclose([bar.get_width() for bar in ax.patches], found)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c", "d", "$e"]
    ax.figure.canvas.draw()


def test_grad_cam_of_averaged_channels_is_their_weighted_sum():
    mlkit.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    x = mlkit.rand(1, 1, 8, 8)
    maps = nn.Sequential(net[0], net[1])(x).detach().numpy()[0]
    wanted = np.maximum((net[4].weight.detach().numpy()[1][:, None, None] / 36 * maps).sum(0), 0)
    for layer in ("1", net[1]):
        heat, chosen = plot.attribution.grad_cam(net, x, layer, target=1)
        assert np.allclose(heat, wanted, atol=1e-6) and chosen == 1
    ax = plot.grad_cam(net, x, "1", target=1)
    assert np.allclose(ax.images[-1].get_array(), wanted, atol=1e-6) and not net[1]._forward_hooks
    assert plot.attribution.grad_cam(net, x)[0].shape == (6, 6)  # the last convolution


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plot.saliency(linear_net(), mlkit.rand(1, 8, 8)), "unsqueeze"),
        (lambda: plot.saliency(linear_net(), mlkit.rand(5, 1, 8, 8)), "one sample"),
        (lambda: plot.saliency(linear_net(), mlkit.rand(1, 1, 8, 8), target=3), "target 3 is no class"),
        (lambda: plot.saliency(lambda x: mlkit.zeros(1, 3), mlkit.rand(1, 4)), "no gradient reaches the input"),
        (lambda: plot.grad_cam(linear_net(), mlkit.rand(1, 1, 8, 8)), "no convolution"),
        (lambda: plot.grad_cam(linear_net(), mlkit.rand(1, 1, 8, 8), "7"), "no layer '7'"),
        (lambda: plot.grad_cam(linear_net(), mlkit.rand(1, 1, 8, 8), "1"), "expected the layer to return"),
        (
            lambda: plot.integrated_gradients(linear_net(), mlkit.rand(1, 1, 8, 8), baseline=mlkit.zeros(1, 64)),
            "baseline",
        ),
    ],
)
def test_attribution_says_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_attribution_wants_numbers_that_have_gradients():
    with pytest.raises(TypeError, match=r"input\.float\(\)"):
        plot.saliency(linear_net(), mlkit.zeros(1, 1, 8, 8).long())


def test_an_interactive_history_has_every_series_and_true_values_on_hover():
    plotly = pytest.importorskip("plotly")
    noisy = np.random.default_rng(0).random(100)
    history = {"train/loss": noisy.tolist(), "valid/loss": [0.5, 0.4], "valid/accuracy": [0.8, 0.9], "lr": [0.1, 0.05]}
    figure = plot.history_interactive(history)
    assert isinstance(figure, plotly.graph_objects.Figure)
    shown = {trace.name: trace for trace in figure.data if trace.showlegend is not False}
    assert set(shown) == set(history)
    assert np.allclose(shown["train/loss"].customdata, noisy) and np.std(shown["train/loss"].y) < np.std(noisy) / 2
    assert shown["valid/loss"].line.dash == "dash"
    assert [a.text for a in figure.layout.annotations] == ["loss", "accuracy", "learning rate"]
    assert {t.name for t in plot.history_interactive(history, ["valid/loss"]).data} == {"valid/loss"}
    assert "lr" not in {t.name for t in plot.history_interactive({"train/loss": [1, 2], "lr": [1, 1]}).data}
    with pytest.raises(KeyError, match="no series 'nothing'"):
        plot.history_interactive(history, ["nothing"])
    hostile = plot.history_interactive({"<b>x</b>/loss": [1.0]})
    assert hostile.data[0].name == "&lt;b&gt;x&lt;/b&gt;/loss"


def test_an_interactive_history_is_a_plain_drawing_where_nothing_runs_scripts(parse):
    pytest.importorskip("plotly")
    figure = plot.history_interactive({"train/loss": [2.0, 1.0], "valid/loss": [1.5, 1.1]})
    bundle = figure._repr_mimebundle_()
    assert [trace["name"] for trace in bundle["application/vnd.plotly.v1+json"]["data"]] == ["train/loss", "valid/loss"]
    assert "loss over steps" in parse(bundle["text/html"]).all("img")[0]["alt"]
    assert "valid/loss" in bundle["text/plain"] and "image/png" not in bundle  # JupyterLab would prefer it
    figure.update_layout(title="mine")
    assert figure._repr_mimebundle_()["application/vnd.plotly.v1+json"]["layout"]["title"]["text"] == "mine"


def test_the_interactive_colours_are_readable_on_light_and_dark():
    from mlkit.plot.interactive import INK, SERIES

    for colour in (INK, *SERIES):
        assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#111111") >= 3, colour
    assert contrast(INK, "#ffffff") >= 4.3 and contrast(INK, "#111111") >= 4.3


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError("no matplotlib here")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot.curves({"loss": [1.0]})
