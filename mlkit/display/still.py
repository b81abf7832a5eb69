"""The images of a display as one PNG, for formats that have no HTML: nbconvert's PDF by LaTeX, Word, e-mail.

Our charts are small SVG documents made by ``svg.py``; what they use of SVG (paths of straight lines and cubic curves,
rectangles, circles, text, dashes) is drawn here with Pillow, on white, at twice the size. Where Pillow is not installed
there is no PNG and such formats show the text of the display.
"""

from __future__ import annotations

import base64
import functools
import io
import math
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from mlkit.display import colors

SCALE = 2  # pixels of the PNG for one of the page
FINE = 2  # and drawn this much finer, then averaged
WIDE = 860  # of a row, in pixels of the page
MOST_PIXELS = 3_000_000  # of the drawing before it is averaged, for one image
GAP = 12


def of_html(html: str) -> bytes | None:
    """PNG bytes of all images in a display, in rows, with their captions; None without images or without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return None
    found = _Images()
    found.feed(html)
    if not found.images:
        return None
    pictures = [(_caption(_picture(source, width, height), caption)) for source, width, height, caption in found.images]
    rows: list[list[Any]] = [[]]
    for one in pictures:
        if rows[-1] and sum(p.width + GAP * SCALE for p in rows[-1]) + one.width > WIDE * SCALE:
            rows.append([])
        rows[-1].append(one)
    wide = max(sum(p.width for p in row) + GAP * SCALE * (len(row) - 1) for row in rows)
    tall = sum(max(p.height for p in row) for row in rows) + GAP * SCALE * (len(rows) - 1)
    page = Image.new("RGB", (wide, tall), "white")
    y = 0
    for row in rows:
        x = 0
        for one in row:
            page.paste(one, (x, y))
            x += one.width + GAP * SCALE
        y += max(p.height for p in row) + GAP * SCALE
    out = io.BytesIO()
    flat = found.drawings == len(pictures)  # charts have few colours
    small = page.convert("P", palette=Image.Palette.ADAPTIVE, colors=64) if flat else page
    small.save(out, "PNG", dpi=(96 * SCALE, 96 * SCALE))
    return out.getvalue()


class _Images(HTMLParser):
    """(source, width, height, caption) of each image; a caption belongs to the last image before it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.images: list[tuple[str, int, int, str]] = []
        self.drawings = 0
        self._caption = False
        self._before = ""  # a caption that stands above its image
        self._figure = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag == "img":
            size = int(given.get("width", 0)), int(given.get("height", 0))
            self.images.append((given["src"], *size, self._before))
            self._before = ""
            self.drawings += given["src"].startswith("data:image/svg")
        elif tag == "figcaption":
            self._caption = True
        elif tag == "figure":
            self._figure = len(self.images)
        elif tag == "br" and self._caption:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "figcaption":
            self._caption = False

    def handle_data(self, data: str) -> None:
        if self._caption and len(self.images) == self._figure:
            self._before += data
        elif self._caption:
            source, width, height, caption = self.images[-1]
            self.images[-1] = (source, width, height, caption + data)


def _picture(source: str, width: int, height: int) -> Any:
    from PIL import Image

    if source.startswith("data:image/svg+xml,"):
        return drawing(unquote(source.partition(",")[2]))
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    size = ((width or image.width) * SCALE, (height or image.height) * SCALE)
    return ground.convert("RGB").resize(size, Image.Resampling.NEAREST)


def _caption(picture: Any, words: str) -> Any:
    words = " ".join(words.split())
    if not words:
        return picture
    from PIL import Image, ImageDraw

    font = _font(11 * SCALE)
    most = max(picture.width, 14 * SCALE)
    lines = [""]
    for word in words.split(" "):  # under its image, in as many lines as it takes
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > most:
            lines.append(word)
        else:
            lines[-1] = longer
    wide = max([picture.width, *(math.ceil(font.getlength(line)) for line in lines)])
    row = 14 * SCALE
    whole = Image.new("RGB", (wide, picture.height + row * len(lines) + 2 * SCALE), "white")
    whole.paste(picture, (0, 0))
    draw = ImageDraw.Draw(whole)
    for k, line in enumerate(lines):
        draw.text((0, picture.height + row * k + 11 * SCALE), line, font=font, fill=colors.LIGHT["soft"], anchor="ls")
    return whole


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


# -- one SVG document -----------------------------------------------------------------------------------------------------


def drawing(document: str) -> Any:
    """A Pillow image of an SVG document as ``svg.py`` writes it. Raises ValueError at what it does not know."""
    from PIL import Image, ImageDraw

    root = ElementTree.fromstring(document)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    fine = SCALE * FINE
    if width * height * fine * fine > MOST_PIXELS * 4:
        fine = max(1, int(math.sqrt(MOST_PIXELS * 4 / (width * height))))
    image = Image.new("RGB", (max(1, round(width * fine)), max(1, round(height * fine))), colors.LIGHT["ground"])
    pen = _Pen(ImageDraw.Draw(image), fine, root)
    for element in root:
        pen.draw(element)
    size = (max(1, round(width * SCALE)), max(1, round(height * SCALE)))
    return image if image.size == size else image.resize(size, Image.Resampling.BOX)


_CLASSES = {
    "g": {"stroke": "var(--line)", "stroke-width": "1", "fill": "none"},
    "l": {"stroke-width": "1.75", "fill": "none"},
    "b": {"fill": "var(--ink)", "font-weight": "600"},
    "e": {"text-anchor": "end"},
    "m": {"text-anchor": "middle"},
}
_TURN = re.compile(r"([A-Za-z])|(-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?)")


class _Pen:
    """Draws elements of one document on a canvas that is ``scale`` times as large."""

    def __init__(self, draw: Any, scale: int, root: Any) -> None:
        self._draw, self._scale, self._root = draw, scale, root

    def draw(self, element: Any) -> None:
        """One element."""
        kind = element.tag.rpartition("}")[2]
        if kind in ("style", "defs", "title"):
            return
        if kind == "g":
            for child in element:
                self.draw(child)
            return
        if kind not in ("path", "rect", "circle", "text"):
            raise ValueError(f"still: an SVG element <{kind}> is not known")
        look = {"fill": "#000000"} if kind != "text" else {"fill": "var(--soft)"}
        for name in (element.get("class") or "").split():
            look.update(_CLASSES[name])
        for rule in (element.get("style") or "").split(";"):
            name, _, value = rule.partition(":")
            if name.strip():
                look[name.strip()] = value.strip()
        getattr(self, f"_{kind}")(element, look)

    def _number(self, element: Any, name: str) -> float:
        value = element.get(name) or "0"
        if value.endswith("%"):
            return float(self._root.get(name)) * float(value[:-1]) / 100 * self._scale
        return float(value) * self._scale

    def _colour(self, look: dict[str, str], name: str) -> tuple[int, int, int] | None:
        value = look.get(name, "none")
        if value == "none":
            return None
        found = re.fullmatch(r"var\(--(\w+)\)", value)
        if found:
            key = found[1]
            value = colors.LIGHT.get(key) or colors.SERIES_LIGHT[int(key[1:])]
        rgb = [int(value[i : i + 2], 16) for i in (1, 3, 5)]
        ground = [int(colors.LIGHT["ground"][i : i + 2], 16) for i in (1, 3, 5)]
        share = float(look.get("opacity", "1"))
        red, green, blue = (round(c * share + g * (1 - share)) for c, g in zip(rgb, ground, strict=True))
        return red, green, blue

    def _width(self, look: dict[str, str]) -> int:
        return max(1, round(float(look.get("stroke-width", "1").removesuffix("px")) * self._scale))

    def _rect(self, element: Any, look: dict[str, str]) -> None:
        x, y = self._number(element, "x"), self._number(element, "y")
        wide, tall = self._number(element, "width"), self._number(element, "height")
        stroke = self._colour(look, "stroke")
        box = (x, y, max(x + wide - 1, x), max(y + tall - 1, y))
        self._draw.rounded_rectangle(
            box, self._number(element, "rx"), self._colour(look, "fill"), stroke, self._width(look) if stroke else 0
        )

    def _circle(self, element: Any, look: dict[str, str]) -> None:
        x, y, r = (self._number(element, name) for name in ("cx", "cy", "r"))
        self._draw.ellipse((x - r, y - r, x + r, y + r), self._colour(look, "fill"), self._colour(look, "stroke"))

    def _text(self, element: Any, look: dict[str, str]) -> None:
        anchor = {"end": "rs", "middle": "ms"}.get(look.get("text-anchor", ""), "ls")
        at = (self._number(element, "x"), self._number(element, "y"))
        words, fill, font = element.text or "", self._colour(look, "fill"), _font(11 * self._scale)
        halo = look.get("stroke")
        if halo:  # the ground around words that lie on an arrow
            self._draw.text(
                at, words, font=font, anchor=anchor, fill=self._colour(look, "stroke"), stroke_width=2 * self._scale,
                stroke_fill=self._colour(look, "stroke"),
            )  # fmt: skip
        bold = self._scale // 4 if look.get("font-weight") else 0
        self._draw.text(at, words, font=font, anchor=anchor, fill=fill, stroke_width=bold, stroke_fill=fill)

    def _path(self, element: Any, look: dict[str, str]) -> None:
        fill, stroke, width = self._colour(look, "fill"), self._colour(look, "stroke"), self._width(look)
        dash = [float(n) * self._scale for n in look.get("stroke-dasharray", "").split()]
        arrow = element.get("marker-end") is not None
        for line in _lines(element.get("d") or "", self._scale):
            if fill is not None and len(line) > 2:
                self._draw.polygon(line, fill)
            if stroke is None:
                continue
            if len(line) > 1 and all(point == line[0] for point in line):  # a dot: round caps
                x, y = line[0]
                self._draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), stroke)
                continue
            for part in _dashes(line, dash) if dash else [line]:
                self._draw.line(part, stroke, width, joint="curve")
            if arrow:
                self._arrow(line)

    def _arrow(self, line: list[tuple[float, float]]) -> None:
        (x, y), back = line[-1], next((p for p in reversed(line) if math.dist(p, line[-1]) > 1), line[0])
        long = math.dist((x, y), back) or 1.0
        dx, dy = (x - back[0]) / long * 6 * self._scale, (y - back[1]) / long * 6 * self._scale
        side = (-dy / 2, dx / 2)
        points = [(x, y), (x - dx + side[0], y - dy + side[1]), (x - dx - side[0], y - dy - side[1])]
        self._draw.polygon(points, self._colour({"fill": "var(--soft)"}, "fill"))


def _lines(path: str, scale: float) -> list[list[tuple[float, float]]]:
    """The polylines of an SVG path, curves in short pieces."""
    tokens = [(m[1], m[2]) for m in _TURN.finditer(path)]
    lines: list[list[tuple[float, float]]] = []
    x = y = 0.0
    at, command = 0, ""

    def take() -> float:
        nonlocal at
        value = tokens[at][1]
        at += 1
        return float(value)

    while at < len(tokens):
        if tokens[at][0]:
            command = tokens[at][0]
            at += 1
        relative, kind = command.islower(), command.upper()
        ox, oy = (x, y) if relative else (0.0, 0.0)
        if kind == "Z":
            x, y = lines[-1][0]
            lines[-1].append((x, y))
            continue
        if kind == "M":
            x, y = take() + ox, take() + oy
            lines.append([(x, y)])
            command = "l" if relative else "L"
            continue
        if kind == "L":
            x, y = take() + ox, take() + oy
        elif kind == "H":
            x = take() + ox
        elif kind == "V":
            y = take() + oy
        elif kind == "C":
            points = [(x, y)] + [(take() + ox, take() + oy) for _ in range(3)]
            for k in range(1, 16):
                t = k / 16
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                lines[-1].append(
                    (
                        sum(w * p[0] for w, p in zip(weights, points, strict=True)),
                        sum(w * p[1] for w, p in zip(weights, points, strict=True)),
                    )
                )
            x, y = points[-1]
        else:
            raise ValueError(f"still: a path's command {command!r} is not known")
        lines[-1].append((x, y))
    return [[(px * scale, py * scale) for px, py in line] for line in lines]


def _dashes(line: list[tuple[float, float]], dash: list[float]) -> list[list[tuple[float, float]]]:
    """The drawn pieces of a dashed polyline."""
    parts: list[list[tuple[float, float]]] = []
    part, left, which = [line[0]], dash[0], 0
    for end in line[1:]:
        start = part[-1]
        while (long := math.dist(start, end)) > left:
            share = left / long
            start = (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
            part.append(start)
            if which % 2 == 0:
                parts.append(part)
            part, which = [start], which + 1
            left = dash[which % len(dash)]
        left -= long
        part.append(end)
    return parts + ([part] if which % 2 == 0 and len(part) > 1 else [])
