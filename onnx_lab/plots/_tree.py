"""The user's module tree as an icicle: the width of a box is its share, a click on it goes deeper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnx_lab.card import Table
from onnx_lab.measure._modules import ModuleWork, largest
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

#: More boxes are not seen apart, and a saved notebook grows with them.
_MOST = 90
#: Boxes below this share of the whole are not drawn.
_SHARE = 0.004
#: Of what it contains, a module that adds less than this is drawn together with the one inside it.
_ADDS = 0.001
_ROW_PX = 44


@dataclass(frozen=True)
class _Box:
    path: str
    label: str
    parent: str
    size: float


def tree_chart(
    rows: Sequence[ModuleWork],
    size: Callable[[ModuleWork], float],
    words: Callable[[float], str],
    *,
    title: str,
    top: str,
    table: Callable[[Sequence[ModuleWork]], Table],
) -> Chart:
    """Modules by cost: an icicle, and the largest as a table.

    Parameters
    ----------
    rows : sequence of ModuleWork
        Each before those below it.
    size : callable
        A module's cost, all below it included.
    words : callable
        A cost in words.
    title, top : str
        Of the figure, and of the box around all.
    table : callable
        Makes the table of the largest modules.
    """
    whole = sum(size(r) for r in rows if not r.depth) or 1.0
    boxes = _boxes(largest(rows, size, most=_MOST, share=_SHARE), size)
    shares = [1.0, *(b.size / whole for b in boxes)]
    trace = theme.graph_objects().Icicle(
        ids=["/", *("/" + b.path for b in boxes)],
        labels=[top, *(b.label for b in boxes)],
        parents=["", *("/" + b.parent for b in boxes)],
        values=_exact(boxes, whole),
        branchvalues="total",
        text=[words(whole), *(f"{words(b.size)}, {s:.0%}" for b, s in zip(boxes, shares[1:], strict=True))],
        textinfo="label+text",
        textfont={"color": "white"},
        customdata=[top, *(b.path for b in boxes)],
        hovertemplate="%{customdata}<br>%{text}<extra></extra>",
        marker={"colors": [_colour(s) for s in shares], "line": {"width": 1, "color": "rgba(128,128,128,.55)"}},
        tiling={"orientation": "v", "pad": 1},
        pathbar={"visible": False},
        leaf={"opacity": 1},  # else a page shines through, and white text is hard to read
        sort=False,
        root={"color": theme.CLEAR},
    )
    height = 60 + _ROW_PX * (2 + max((b.path.count(".") for b in boxes), default=0))
    fig = theme.figure(trace, title=title, height=min(height, 480))
    fig.update_layout(uniformtext={"minsize": 9, "mode": "hide"})
    return Chart(title, fig, [table(largest(rows, size, most=16, share=0.02))])


def _boxes(rows: Sequence[ModuleWork], size: Callable[[ModuleWork], float]) -> list[_Box]:
    """A box for each module; one that only holds another is drawn together with it."""
    children: dict[str, list[ModuleWork]] = {}
    for r in rows:
        children.setdefault(r.parent if r.path else "", []).append(r)
    found: list[_Box] = []

    def place(row: ModuleWork, parent: str, before: str) -> None:
        inner = children.get(row.path, []) if row.path else []
        label = before + _label(row)
        if len(inner) == 1 and size(inner[0]) >= (1 - _ADDS) * size(row):
            place(inner[0], parent, f"{label}.")
            return
        found.append(_Box(row.path or "no module", label, parent, size(row)))
        for r in inner:
            place(r, row.path, "")

    for r in children.get("", []):
        place(r, "", "")
    return found


def _exact(boxes: Sequence[_Box], whole: float) -> list[float]:
    """Values that add up: Plotly draws nothing of a box whose children are larger than it, be it by rounding."""
    inside: dict[str, float] = {}
    values = [float(f"{b.size:.6g}") for b in boxes]
    for b, value in zip(reversed(boxes), reversed(values), strict=True):
        inside[b.parent] = inside.get(b.parent, 0.0) + max(value, inside.get(b.path, 0.0))
    own = [max(v, inside.get(b.path, 0.0)) for b, v in zip(boxes, values, strict=True)]
    return [max(float(f"{whole:.6g}"), inside.get("", 0.0)), *own]


def _label(row: ModuleWork) -> str:
    """``layer.3`` says more than ``3``."""
    parts = row.path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() and len(parts) > 1 else row.name or "no module"


def _colour(share: float) -> str:
    """Little to much, between the two ends of the theme's scale: white text reads on all of it."""
    low, high = (_rgb(colour) for _, colour in theme.SEQUENTIAL)
    strength = share**0.5
    return "#" + "".join(f"{round(a + (b - a) * strength):02x}" for a, b in zip(low, high, strict=True))


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
