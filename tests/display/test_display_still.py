"""The PNG beside a display's HTML, for formats that have no HTML: the same pictures, drawn without a browser."""

import base64
import io
import re
from urllib.parse import unquote

import numpy as np
import pytest

import mlkit
from mlkit import distributions, metrics, nn, optim
from mlkit.data import DataLoader, digits, transforms
from mlkit.display import mimebundle, still, svg

Image = pytest.importorskip("PIL.Image")


def pixels(document):
    return np.asarray(still.drawing(document)).astype(int)


def kinds():
    mlkit.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    roc = metrics.ROCCurve()
    roc.update(mlkit.rand(50), mlkit.randint(0, 2, (50,)))
    return {
        "graph": mlkit.compiler.trace(net, mlkit.zeros(3, 4)),
        "scheduler": optim.lr_scheduler.CosineAnnealingLR(optim.SGD(net.parameters(), lr=0.1), 10),
        "distribution": distributions.Poisson(mlkit.tensor(4.0)),
        "dataset": digits(train=False),
        "loader": DataLoader(digits(train=False), batch_size=32),
        "transform": transforms.ToTensor(),
        "metric": roc,
    }


@pytest.mark.parametrize("name", ["graph", "scheduler", "distribution", "dataset", "loader", "transform", "metric"])
def test_what_is_drawn_has_a_png_too(name):
    obj = kinds()[name]
    bundle = obj._repr_mimebundle_()
    assert bundle["text/html"] and bundle["text/plain"]
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    array = np.asarray(image.convert("RGB"))
    assert array.shape[0] > 100 and array.shape[1] > 150 and len(np.unique(array.reshape(-1, 3), axis=0)) > 3
    assert (array[0] == 255).mean() > 0.2 or name in ("dataset", "loader", "transform")  # on white
    assert len(bundle["image/png"]) < 60_000


def test_what_is_written_has_none():
    net = nn.Linear(2, 2)
    for obj in (net, optim.SGD(net.parameters(), lr=0.1), net.state_dict()):
        assert "image/png" not in mimebundle(obj)
    bundle = net._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}


def test_a_line_goes_where_the_svg_says():
    document = svg.document(100, 50, '<path class="l" d="M10 40L90 10" style="stroke:var(--s0)"/>')
    image = pixels(document)
    assert image.shape == (100, 200, 3)
    blue = image[..., 2] - image[..., 0] > 60
    ys, xs = np.nonzero(blue)
    assert np.allclose(ys, 80 - (xs - 20) * (60 / 160), atol=4)
    assert xs.min() < 24 and xs.max() > 176


def test_rectangles_curves_dashes_and_opacity():
    box = pixels(svg.document(40, 20, '<rect x="10" y="5" width="20" height="10" style="fill:var(--s1)"/>'))
    filled = box[..., 0] - box[..., 2] > 60
    assert abs(filled.sum() - 40 * 20) < 130 and filled[12:28, 22:58].all() and not filled[:8].any()
    faint = pixels(svg.document(40, 20, '<rect x="0" y="0" width="40" height="20" style="fill:#000000;opacity:.25"/>'))
    assert abs(faint[20, 20].mean() - 191) < 2
    solid = pixels(svg.document(40, 10, '<path d="M0 5H40" style="stroke:#000000"/>')) < 100
    dashed = pixels(svg.document(40, 10, '<path d="M0 5H40" style="stroke:#000000;stroke-dasharray:4 4"/>')) < 100
    assert 0.35 < dashed.sum() / solid.sum() < 0.65
    curve = pixels(svg.document(40, 40, '<path d="M0 0C40 0 40 0 40 40" style="fill:none;stroke:#000000"/>')) < 100
    assert curve[8:13, 66:75].any() and not curve[40:, :40].any()


def test_words_stand_where_their_anchor_says():
    middle = pixels(svg.document(100, 20, svg.text(50, 14, "wide words", "b m"))) < 120
    columns = np.nonzero(middle.any((0, 2)))[0]
    assert abs((columns.min() + columns.max()) / 2 - 100) < 4
    end = pixels(svg.document(100, 20, svg.text(98, 14, "wide words", "e"))) < 160
    assert 188 < np.nonzero(end.any((0, 2)))[0].max() <= 198


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match="<polygon>"):
        still.drawing(svg.document(10, 10, '<polygon points="0,0 1,1"/>'))
    with pytest.raises(ValueError, match="'A'"):
        still.drawing(svg.document(10, 10, '<path d="M0 0A1 1 0 0 0 2 2"/>'))


def test_captions_above_and_below_and_several_rows():
    chart = svg.embed(svg.bars(["a", "b"], [3, 1]), "bars", 320, 36)
    html = (
        f"<figure><figcaption>above</figcaption>{chart}</figure>"
        + f"<figure>{chart}<figcaption>below</figcaption></figure>" * 3
    )
    found = still._Images()
    found.feed(html)
    assert [caption for *_, caption in found.images] == ["above", "below", "below", "below"]
    whole = Image.open(io.BytesIO(still.of_html(html)))
    assert whole.width == (320 * 2 + still.GAP) * 2 and whole.height > 2 * 2 * 36
    assert still.of_html("<p>no image</p>") is None


def test_every_chart_of_a_display_can_be_drawn():
    """What the HTML has as SVG, Pillow draws: no element is forgotten."""
    for name, obj in kinds().items():
        for source in re.findall(r'src="data:image/svg\+xml,([^"]+)"', obj._repr_html_()):
            assert still.drawing(unquote(source.replace("&#x27;", "'"))).size[0] > 50, name
