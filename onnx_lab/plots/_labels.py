"""Where the words of each point in a chart stand, so that none lies on another."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Pixels: a character and a line of 11 px type, half a marker, and a plot as narrow as a notebook beside another page.
_CHARACTER, _LINE, _MARKER, _WIDTH, _HEIGHT = 6.2, 14.0, 8.0, 520.0, 150.0
#: As Plotly calls them, the best first.
_PLACES = tuple(
    "top center;bottom center;middle right;top right;bottom right;middle left;top left;bottom left".split(";")
)
Box = tuple[float, float, float, float]


def places(xs: Sequence[float], ys: Sequence[float], texts: Sequence[str], first: Sequence[int] = ()) -> list[str]:
    """A `textposition` for each point; empty where its words would lie on others, and are better left out.

    Parameters
    ----------
    xs, ys : sequence of float
        As drawn, on axes that begin at 0 and end a quarter above the largest.
    texts : sequence of str
        The words, with or without ``<b>``.
    first : sequence of int
        Indices of points whose words always stand.

    Examples
    --------
    >>> places([4.0, 4.1, 1.0], [90.0, 89.0, 23.0], ["bert 93.5%", "bert-optimized 93.5%", "bert-int8 93.1%"])
    ['top center', 'bottom center', 'top center']
    >>> places([1.0] * 6, [1.0] * 6, ["the same"] * 6)
    ['top center', 'bottom center', 'middle right', 'middle left', '', '']
    """
    points = list(zip(_scaled(xs, _WIDTH), _scaled(ys, _HEIGHT), strict=True))
    taken = [(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in points]
    found = [""] * len(points)
    order = [*first, *(i for i in range(len(points)) if i not in first)]
    for i in order:
        words = re.sub(r"<[^>]*>", "", texts[i])
        if not words:
            continue
        others = [box for k, box in enumerate(taken) if k != i]
        free = (p for p in _PLACES if _fits(_box(*points[i], words, p), others))
        found[i] = next(free, _PLACES[0] if i in first else "")
        if found[i]:
            taken.append(_box(*points[i], words, found[i]))
    return found


def _scaled(values: Sequence[float], pixels: float) -> list[float]:
    most = 1.25 * max(values, default=1.0) or 1.0
    return [v / most * pixels for v in values]


def _box(x: float, y: float, words: str, place: str) -> Box:
    """Left, bottom, right, top of the words in pixels."""
    width = _CHARACTER * len(words)
    row, column = place.split()
    low = {"top": y + _MARKER, "middle": y - _LINE / 2, "bottom": y - _MARKER - _LINE}[row]
    aside = _MARKER if row == "middle" else 0.0
    left = {"center": x - width / 2, "right": x + aside, "left": x - aside - width}[column]
    return left, low, left + width, low + _LINE


def _fits(box: Box, others: Sequence[Box]) -> bool:
    left, low, right, high = box
    inside = left >= -_MARKER and right <= _WIDTH + 4 * _MARKER
    return inside and all(right <= a or left >= c or high <= b or low >= d for a, b, c, d in others)
