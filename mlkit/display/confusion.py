"""A confusion matrix as a table with coloured cells, or as a picture where there are many classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlkit.display import colors, picture
from mlkit.display.markup import escape, image, number, scroll


def percent(share: float) -> str:
    """97.25 stays 97.25; nothing below 100 is shown as 100."""
    value = 100.0 * share
    return f"{min(value, 99.99) if share < 1 else value:.2f}".rstrip("0").rstrip(".")


def confusion(matrix: np.ndarray, names: Sequence[str]) -> str:
    """HTML of a matrix of counts: rows are the true classes, columns the predicted ones."""
    if len(matrix) > 40:
        index, palette, words = picture._indices(np.sqrt(matrix), "i")
        data = picture.png.data_uri(picture.png.encode(index, palette))
        side = max(1, 600 // len(matrix)) * len(matrix)
        return f"<figure>{image(data, 'confusion matrix as a heat map', side, side, 'pixels')}<figcaption>true class down, predicted class across, brightness by square root</figcaption></figure>"
    # Where mistakes are is the question, so they have the colours; the diagonal is plain.
    mistakes = matrix - np.diag(np.diag(matrix))
    worst = max(1, int(mistakes.max()))
    shades = colors.diverging(254)
    rows = []
    for i, counts in enumerate(matrix.tolist()):
        total = sum(counts)
        cells = []
        for j, value in enumerate(counts):
            if i == j:
                rgb = colors.sequential(254)[100]
                style = f"background:#{bytes(rgb.tolist()).hex()};color:{picture._ink(rgb)}"
            elif value:
                rgb = shades[min(253, 150 + round(90 * value / worst))]
                style = f"background:#{bytes(rgb.tolist()).hex()};color:{picture._ink(rgb)}"
            else:
                style = ""
            shown = number(value) if value else '<span class="soft">·</span>'
            cells.append(f"<td{f' style={chr(34)}{style}{chr(34)}' if style else ''}>{shown}</td>")
        recall = f"{percent(counts[i] / total)} %" if total else "–"
        rows.append(
            f'<tr><th scope="row">{escape(names[i], 14)}</th>{"".join(cells)}<td class="recall">{recall}</td></tr>'
        )
    heads = "".join(f'<th scope="col">{escape(name, 14)}</th>' for name in names)
    caption = "true class down, predicted class across; the last column is the share found of each class"
    head = f'<thead><tr><td></td>{heads}<th scope="col">found</th></tr></thead>'
    whole = f'<table class="confusion"><caption>{caption}</caption>{head}<tbody>{"".join(rows)}</tbody></table>'
    return scroll(whole, "confusion matrix")
