"""A display as text for a terminal: the words of its HTML, its tables in columns, and what its pictures show in words."""

from __future__ import annotations

import shutil
import textwrap
from html.parser import HTMLParser
from typing import Any


def of_html(html: str, width: int | None = None) -> str:
    """The text of a display. ``width``: columns; None asks the terminal (100 where there is none).

    >>> print(of_html('<p><b>Net</b> 3 layers</p><table><tbody><tr><th>a</th><td class="n">10</td></tr></tbody></table>'))
    Net 3 layers
      a  10
    """
    reader = _Reader(width or shutil.get_terminal_size((100, 24)).columns)
    reader.feed(html)
    reader.close()
    reader.paragraph()
    return "\n".join(reader.lines)


_BLOCKS = {"p", "div", "figure", "figcaption", "h4", "details", "summary", "pre", "li", "ul", "br"}


class _Reader(HTMLParser):
    """Collects lines; everything is data here, nothing is run."""

    def __init__(self, width: int) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self._width = max(20, width)
        self._words: list[str] = []
        self._pictures: list[str] = []
        self._rows: list[list[tuple[str, bool]]] | None = None
        self._caption = ""
        self._where: list[str] = []  # open elements
        self._hidden = 0  # inside <style>, or long source text that is folded away in the HTML

    def paragraph(self) -> None:
        """End the current paragraph."""
        if self._pictures:
            self._words.append("[" + "; ".join(self._pictures) + "]")
            self._pictures = []
        words = " ".join("".join(self._words).split())
        self._words = []
        if words:
            self.lines += textwrap.wrap(words, self._width, subsequent_indent="  ", break_long_words=True)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "pre" and "details" in self._where):
            self._hidden += 1
        if tag == "img":
            if given.get("alt"):
                self._pictures.append(given["alt"])
            return
        if given.get("role") == "img" and given.get("aria-label"):
            self._pictures.append(given["aria-label"])
        if tag == "table" and given.get("role") == "presentation":  # pictures in rows
            self.paragraph()
        elif tag == "table":
            self.paragraph()
            self._rows, self._caption = [], ""
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows:
            self._rows[-1].append(("", "n" in (given.get("class") or "").split()))
        elif tag in _BLOCKS and self._rows is None and not (self._pictures and tag in ("figure", "figcaption", "br")):
            self.paragraph()  # pictures in a row share one line
        if tag != "br":
            self._where.append(tag)
        if tag == "span":
            self._words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "style" or (tag == "pre" and self._hidden):
            self._hidden -= 1
        if tag in self._where:
            while self._where.pop() != tag:
                pass
        if tag == "table" and self._rows is None:
            self.paragraph()
        elif tag == "table":
            self._table()
        elif tag in _BLOCKS and tag not in ("figure", "figcaption") and self._rows is None:
            self.paragraph()
        elif tag == "figcaption" and self._words and not self._pictures:
            self.paragraph()

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._rows is not None:
            if "caption" in self._where:
                self._caption += data
            elif self._rows and self._rows[-1]:
                text, right = self._rows[-1][-1]
                self._rows[-1][-1] = (f"{text}{data}", right)
            return
        if "figcaption" in self._where and self._pictures:
            return  # the picture's own words say it
        if "pre" in self._where:
            self.paragraph()
            self.lines += [f"  {line}" for line in data.splitlines() if line.strip()]
            return
        self._words.append(data)

    def _table(self) -> None:
        rows, self._rows = self._rows or [], None
        rows = [[(" ".join(cell.split()), right) for cell, right in row] for row in rows if row]
        if self._caption.strip():
            self.lines += textwrap.wrap(" ".join(self._caption.split()), self._width)
        columns = max(map(len, rows), default=0)
        wide = [max((len(row[k][0]) for row in rows if k < len(row)), default=0) for k in range(columns)]
        for row in rows:
            cells = [cell.rjust(wide[k]) if right else cell.ljust(wide[k]) for k, (cell, right) in enumerate(row)]
            line = ("  " + "  ".join(cells)).rstrip()
            self.lines.append(line if len(line) <= self._width else line[: self._width - 1] + "…")
