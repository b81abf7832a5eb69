"""Escaping, numbers, PNG, charts, colours: what every display is made of."""

import base64
import io
import struct
import zlib
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlkit.display import colors, markup, png, svg


@given(st.text())
def test_escaped_text_is_text_again_and_never_an_element(parse, words):
    page = parse(f'<p title="{markup.escape(words)}">{markup.escape(words)}</p>')
    assert [tag for tag, _ in page.elements] == ["p"]


def test_escape_replaces_what_html_forbids(hostile):
    assert markup.escape("a\x00b\ud800") == "a\ufffdb\ufffd"
    markup.escape(hostile).encode("utf-8")


@given(st.floats(-1e307, 1e307))
def test_numbers_keep_their_value_to_the_digits_shown(value):
    shown = float(markup.number(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=6e-4)


def decode(data):
    """A PNG reader written from the standard, for filter 0 and 2."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,), name = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        assert zlib.crc32(name + body) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        chunks[name] = body
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 8
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    out = np.zeros((height, width * channels), np.uint8)
    for y in range(height):
        out[y] = rows[y, 1:] + (out[y - 1] if rows[y, 0] == 2 else 0)
    return out.reshape(height, width, channels), chunks


@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9))
        | st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4])),
    )
)
def test_png_comes_back_as_it_went_in(pixels):
    found, _ = decode(png.encode(pixels))
    assert np.array_equal(found.reshape(pixels.shape), pixels)


def test_png_is_read_by_another_reader():
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(60, dtype=np.uint8).reshape(5, 12)
    palette = np.stack([np.arange(64), np.arange(64) * 2, 255 - np.arange(64)], 1).astype(np.uint8)
    opened = image.open(io.BytesIO(png.encode(pixels, palette, transparent=3))).convert("RGBA")
    shown = np.asarray(opened)
    assert np.array_equal(shown[..., :3], palette[pixels])
    assert (shown[..., 3] == 0).sum() == 1


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros((0, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)])
def test_png_refuses_what_it_cannot_write(bad):
    with pytest.raises(ValueError, match=r"png\.encode"):
        png.encode(bad)


def drawn(document):
    return ElementTree.fromstring(document)


def test_charts_are_well_formed_xml_with_hostile_names(hostile):
    series = [svg.Series(hostile, [1, 2, 3], [1.0, float("nan"), 2.0]), svg.Series("b", [1], [float("inf")])]
    for document in (
        svg.lines(series, title=hostile),
        svg.bars([hostile, "b"], [3, 0]),
        svg.histogram([1, 0, 5], -1, 1, mean=0.2),
    ):
        root = drawn(document)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "style", "rect", "path", "text", "circle"}
        uri = svg.uri(document)
        assert unquote(uri.partition(",")[2]) == document
        assert not set('"<>#') & set(uri)


@pytest.mark.parametrize("values", [[], [1.0], [float("nan")] * 3, [0.0, 0.0], [1e-30, 1e30], [-1e300, 1e300]])
def test_a_line_chart_draws_anything(values):
    document = svg.lines([svg.Series("x", list(range(len(values))), values)])
    drawn(document)
    assert "nan" not in document.replace("nanmean", "") and "inf" not in document


def test_long_series_are_thinned_and_keep_their_extremes():
    y = np.sin(np.arange(100_000) / 50)
    y[77_777], y[22_222] = 40.0, -40.0
    x, thin = svg._thin(np.arange(100_000.0), y, 300)
    assert len(x) <= 320 and thin.max() == 40 and thin.min() == -40
    assert len(svg.lines([svg.Series("y", np.arange(100_000), y, smooth=True)])) < 16_000


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low, span):
    found = svg.ticks(low, low + span)
    assert 1 <= len(found) <= 12
    assert all(low - span * 1e-6 <= t <= low + span * (1 + 1e-6) for t in found)


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("names", "series"), [(colors.LIGHT, colors.SERIES_LIGHT), (colors.DARK, colors.SERIES_DARK)])
def test_colours_stand_out_from_their_ground(names, series):
    for text in ("ink", "soft", "warn"):
        assert contrast(names[text], names["ground"]) >= 4.5
        assert contrast(names[text], names["faint"]) >= 4.5
    for line in series:
        assert contrast(line, names["ground"]) >= 3.0


# Machado, Oliveira and Fernandes (2009), severity 1: what red-blind and green-blind eyes see, in linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("series", [colors.SERIES_LIGHT, colors.SERIES_DARK])
def test_the_first_series_colours_differ_for_every_eye(kind, series):
    def seen(colour):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1) ** (1 / 2.4)

    first, second = (seen(c) for c in series[:2])
    assert np.linalg.norm(first - second) > 0.25


@pytest.mark.parametrize("table", [colors.sequential, colors.grey])
def test_sequential_maps_only_get_brighter(table):
    steps = np.diff([luminance("#" + bytes(row.tolist()).hex()) for row in table()])
    assert (steps > -1e-4).all() and steps.sum() > 0.6


def test_data_uri_holds_the_png():
    data = png.encode(np.zeros((2, 2), np.uint8))
    assert base64.b64decode(png.data_uri(data).partition(",")[2]) == data
