"""The graph without a kernel: a picture of what is open at first, and a table of its modules."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from onnx_lab.card import Card, Table
from onnx_lab.measure._changes import KINDS
from onnx_lab.plots import theme
from onnx_lab.plots.graph.sheet import Sheet
from onnx_lab.plots.graph.spread import Plane, Rect, spread

#: A saved notebook stays small: a picture larger than this is left to the table.
_MOST_BYTES = 30_000
_ROWS, _LEVELS = 24, 3
_COLOURS = {"fused": theme.PURPLE, "rewritten": theme.BLUE, "retyped": theme.AMBER, "changed": theme.NEUTRAL,
            "removed": "#c5463a", "added": theme.TEAL}  # fmt: skip
_LETTER, _SMALL = 6.9, 5.6


def card(sheet: Sheet) -> Card:
    """The table of modules, with what was done in each or what it takes."""
    counts = {k: n for k, n in sheet.counts(sheet.tree.root).items() if n}
    facts = [("nodes", str(sheet.nodes))]
    if counts:
        facts.append(("changed", ", ".join(f"{counts[k]} {k}" for k in KINDS if k in counts)))
    if sheet.shades:
        facts.append((sheet.shades.title, f"darkest: {sheet.shades.text(sheet.shades.highest)}"))
    return Card(f"graph of {sheet.flat.name}", facts, [_table(sheet)])


def html(sheet: Sheet) -> str:
    """Picture and table, for a saved notebook."""
    drawn = svg(sheet)
    picture = ""
    if len(drawn) < _MOST_BYTES:
        data = base64.b64encode(drawn.encode()).decode()
        words = escape(f"graph of {sheet.flat.name}")
        picture = f"<img src='data:image/svg+xml;base64,{data}' alt='{words}' style='max-width:100%'>"
    return card(sheet).html() + picture


def svg(sheet: Sheet) -> str:
    """The picture; its colours read on a white and on a dark page."""
    tree = sheet.tree
    plane = spread(tree.root, sheet.opened(), lambda g: tree.groups[g].children, sheet.layout, sheet.width)
    shown = "".join(_rect(sheet, r) for r in plane.rects)
    lines = f"<path fill='none' stroke='{theme.NEUTRAL}' stroke-opacity='.7' d='{''.join(_path(plane))}'/>"
    w, h = round(plane.w), round(plane.h)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {w} {h}' width='{w}' height='{h}' "
        f"font-family='system-ui,sans-serif' text-anchor='middle' fill='{theme.TEXT}'>{lines}{shown}</svg>"
    )


def _rect(sheet: Sheet, r: Rect) -> str:
    label, sub = sheet.words(r.box)
    status = "" if r.box in sheet.tree.groups else sheet.flat.nodes[r.box].status
    stroke = _COLOURS.get(status, theme.NEUTRAL)
    depth = sheet.shades.depth(r.box) if sheet.shades and not r.open else 0.0
    fill, strength = (theme.BLUE, 0.06 + 0.5 * depth) if depth else (stroke, 0.2 if status else 0.04 if r.open else 0.1)
    dashes = " stroke-dasharray='5 3'" if status == "removed" else ""
    frame = (
        f"<rect x='{r.x:.0f}' y='{r.y:.0f}' width='{r.w:.0f}' height='{r.h:.0f}' rx='7' fill='{fill}' "
        f"fill-opacity='{strength:.2f}' stroke='{stroke}'{dashes}/>"
    )
    if r.open:
        return frame + _text(r.x + 10, r.y + 18, _cut(label, r.w, _LETTER), "12' font-weight='600' text-anchor='start")
    middle = r.x + r.w / 2
    second = _text(middle, r.y + 32, _cut(sub, r.w, _SMALL), "10") if sub else ""
    return frame + _text(middle, r.y + 18, _cut(label, r.w, _LETTER), "12") + second


def _text(x: float, y: float, words: str, size: str) -> str:
    return f"<text x='{x:.0f}' y='{y:.0f}' font-size='{size}'>{words}</text>"


def _cut(text: str, wide: float, letter: float) -> str:
    most = max(3, int((wide - 14) / letter))
    return escape(text if len(text) <= most else text[: most - 1] + "…")


def _path(plane: Plane) -> Iterator[str]:
    for points in plane.lines:
        (x, y), *rest = points
        yield f"M{x:.0f} {y:.0f}"
        for a, b in rest:
            if abs(a - x) < 1:
                yield f"L{a:.0f} {b:.0f}"
            else:
                bend = abs(b - y) / 2
                yield f"C{x:.0f} {y + bend:.0f} {a:.0f} {b - bend:.0f} {a:.0f} {b:.0f}"
            x, y = a, b


def _table(sheet: Sheet) -> Table:
    """Groups from the outside in, the largest of each level."""
    kinds = [k for k in KINDS if sheet.counts(sheet.tree.root).get(k)]
    rows: list[tuple[str, ...]] = []
    for depth, g in _walk(sheet, sheet.tree.root, 0):
        if len(rows) == _ROWS:
            break
        label, sub = sheet.words(g)
        counts = sheet.counts(g)
        value = [sub] if sheet.shades else []
        cells = [str(counts.get(k) or "") for k in kinds]
        rows.append(("· " * depth + label, str(sheet.size(g)), *cells, *value))
    titles = [sheet.shades.title] if sheet.shades else []
    return Table(("module", "nodes", *kinds, *titles), tuple(rows), "what is in it, the first levels")


def _walk(sheet: Sheet, group: int, depth: int) -> Iterator[tuple[int, int]]:
    for c in sheet.tree.groups[group].children:
        if c in sheet.tree.groups:
            yield depth, c
            if depth + 1 < _LEVELS:
                yield from _walk(sheet, c, depth + 1)
