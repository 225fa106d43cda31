"""Variants of one model beside each other, one of them picked out: size, latency, and the front of all three."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, Protocol

from onnx_lab.card import Table, megabytes, milliseconds
from onnx_lab.plots import theme
from onnx_lab.plots._labels import places
from onnx_lab.plots.chart import Chart

#: With more than this, only the one picked out and the one to take are named in the picture.
_MOST_NAMES = 7
#: More bars than this are no picture; the table has them all.
_MOST_BARS = 14
_FAINT = 0.45
_GAP = 0.22


class Drawn(Protocol):
    """What is drawn of a variant."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int | None: ...
    @property
    def p50(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def accuracy(self) -> float | None: ...
    @property
    def cosine(self) -> float | None: ...
    @property
    def qualifies(self) -> bool: ...
    @property
    def taken(self) -> bool: ...


def size_bars(rows: Sequence[Drawn], selected: str) -> Chart:
    """One bar for each file; of many the smallest, and those that matter."""
    all_known = [r for r in rows if r.size_bytes]
    known = _in_sight(all_known, [float(r.size_bytes or 0) for r in all_known], selected)
    values = [(r.size_bytes or 0) / 1e6 for r in known]
    texts = [megabytes(r.size_bytes or 0) for r in known]
    return _bars("Size, MB" + _share(known, all_known), known, values, texts, selected)


def latency_bars(rows: Sequence[Drawn], selected: str) -> Chart:
    """One bar for each, with the 99 % limits of its median; of many the fastest, and those that matter."""
    all_known = [r for r in rows if r.p50]
    known = _in_sight(all_known, [r.p50 or 0.0 for r in all_known], selected)
    values = [(r.p50 or 0) * 1e3 for r in known]
    texts = [milliseconds(r.p50 or 0) for r in known]
    edge = 1.5 * max(values, default=1.0)
    high = [min(edge, (r.high or r.p50 or 0) * 1e3) for r in known]
    limits = {
        "type": "data",
        "symmetric": False,
        "array": [round(max(0.0, h - v), 4) for h, v in zip(high, values, strict=True)],
        "arrayminus": [round(max(0.0, v - (r.low or r.p50 or 0) * 1e3), 4) for r, v in zip(known, values, strict=True)],
        "color": theme.TEXT,
        "thickness": 1.5,
        "width": 4,
    }
    title = "Median latency, ms" + _share(known, all_known)
    return _bars(title, known, values, texts, selected, error_x=limits, ends=high)


def front(rows: Sequence[Drawn], selected: str, *, max_ms: float | None = None, max_mb: float | None = None) -> Chart:
    """Latency against size, the answers beside each point; lower left is better. The budget is drawn as lines."""
    known = [r for r in rows if r.size_bytes and r.p50]
    xs, ys = [(r.p50 or 0) * 1e3 for r in known], [(r.size_bytes or 0) / 1e6 for r in known]
    few = len(known) <= _MOST_NAMES
    words = [_label(r, selected) if few or r.taken or r.id == selected else "" for r in known]
    stand = places(xs, ys, words, [i for i, r in enumerate(known) if r.taken or r.id == selected])
    points = _trace(
        "scatter",
        x=_round(xs),
        y=_round(ys),
        mode="markers+text",
        marker={
            "symbol": [_symbol(r) for r in known],
            "color": [_colour(r) for r in known],
            "size": [15 if r.id == selected else 10 for r in known],
            "line": {"width": [3 if r.id == selected else 0 for r in known], "color": theme.AMBER},
        },
        text=[text if place else "" for text, place in zip(words, stand, strict=True)],
        textposition=[place or "top center" for place in stand],
        textfont={"size": 11},
        cliponaxis=False,
        customdata=[_label(r, "") for r in known],
        hovertemplate="%{customdata}<br>%{x:.3g} ms, %{y:.3g} MB<extra></extra>",
    )
    title = "Size, latency, answers: lower left is better"
    axes = {
        "xaxis": {"title": {"text": "median latency, ms", "font": {"size": 12}}, "range": _range(xs, max_ms)},
        "yaxis": {"title": {"text": "size, MB", "font": {"size": 12}}, "range": _range(ys, max_mb)},
    }
    lines = _limits("x", max_ms, "ms") + _limits("y", max_mb, "MB")
    shapes, notes = [shape for shape, _ in lines], [note for _, note in lines]
    fig = _figure([points], title, len(known), axes, shapes=shapes, annotations=notes)
    cells = tuple(
        (r.name, milliseconds(r.p50 or 0), megabytes(r.size_bytes or 0), _answers(r), "yes" if r.qualifies else "no")
        for r in known
    )
    return Chart(title, fig, [Table(("variant", "latency", "size", "answers", "qualifies"), cells)])


def _in_sight(rows: Sequence[Drawn], values: Sequence[float], selected: str) -> list[Drawn]:
    """As many rows as make a picture: the first, the one to take, the one picked out, and the smallest values."""
    first = [i for i, r in enumerate(rows) if i == 0 or r.taken or r.id == selected]
    others = sorted(set(range(len(rows))) - set(first), key=lambda i: (not rows[i].qualifies, values[i]))
    return [rows[i] for i in sorted([*first, *others[: _MOST_BARS - len(first)]])]


def _share(shown: Sequence[Drawn], known: Sequence[Drawn]) -> str:
    return "" if len(shown) == len(known) else f" ({len(shown)} of {len(known)})"


def _bars(
    title: str,
    rows: Sequence[Drawn],
    values: Sequence[float],
    texts: Sequence[str],
    selected: str,
    *,
    ends: Sequence[float] = (),
    **more: Any,
) -> Chart:
    """Horizontal bars with their names above them, so that long names take no width."""
    order = list(range(len(rows)))
    bars = _trace(
        "bar",
        y=order,
        x=_round(values),
        width=1 - 2 * _GAP if len(rows) > _MOST_NAMES else 0.42,
        orientation="h",
        marker={
            "color": [theme.BLUE if r.taken or r.id == selected else theme.NEUTRAL for r in rows],
            "opacity": [1.0 if r.id == selected else _FAINT if selected else 1.0 for r in rows],
        },
        customdata=[f"{r.name}: {t}" for r, t in zip(rows, texts, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
        **more,
    )
    many = len(rows) > _MOST_NAMES
    words = _trace(
        "scatter",
        x=_round(ends or values) if many else [0.0] * len(rows),
        y=order if many else [i - 0.42 for i in order],
        text=[_words(r, t, selected) for r, t in zip(rows, texts, strict=True)],
        mode="text",
        textposition="middle right",
        textfont={"size": 10 if many else 12},
        hoverinfo="skip",
        cliponaxis=False,
    )
    most = (1.9 if many else 1.32) * max([*values, *ends], default=1.0)
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False}
    axes: dict[str, dict[str, Any]] = {
        "xaxis": {"range": [0, most]},
        "yaxis": {"range": [len(rows) - 0.4, -0.75], **hidden},
    }
    fig = _figure([bars, words], title, len(rows), axes)
    cells = tuple((r.name, t) for r, t in zip(rows, texts, strict=True))
    return Chart(title, fig, [Table(("variant", title), cells)])


def _trace(kind: str, **values: Any) -> dict[str, Any]:
    """A trace as Plotly's own JSON."""
    return {"type": kind, **values}


def _figure(traces: list[dict[str, Any]], title: str, rows: int, axes: dict[str, dict[str, Any]], **more: Any) -> Any:
    """A figure in the lab's look, made of JSON.

    It follows every click, and Plotly's checks take 40 ms of it: they are done once, for the look, and not again.
    """
    look = json.loads(_look())
    look["title"]["text"] = f"<b>{title}</b>"
    for name, own in axes.items():
        look[name] = {**look[name], **own}
    layout = {**look, **more, "height": _height(rows), "showlegend": False}
    return theme.graph_objects().Figure({"data": traces, "layout": layout}, _validate=False)


@functools.cache
def _look() -> str:
    empty = theme.figure(title="", height=100, margin={"r": 30})
    return json.dumps(json.loads(empty.to_json())["layout"])


def _limits(axis: str, value: float | None, unit: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The line of one limit of the budget, and its words."""
    if value is None:
        return []
    other = "y" if axis == "x" else "x"
    shape = {"type": "line", axis + "0": value, axis + "1": value, other + "0": 0, other + "1": 1,
             "xref": "x" if axis == "x" else "x domain", "yref": "y" if axis == "y" else "y domain",
             "line": {"color": theme.AMBER, "width": 1, "dash": "dot"}}  # fmt: skip
    note = {axis: value, other: 1, "xref": shape["xref"], "yref": shape["yref"], "text": f"{value:g} {unit}",
            "showarrow": False, "font": {"size": 11}, "yanchor": "top",
            "xanchor": "left" if axis == "x" else "right"}  # fmt: skip
    return [(shape, note)]


def _words(r: Drawn, text: str, selected: str) -> str:
    """The words of one bar: above it, or at its end where there are many."""
    name = f"<b>▸ {r.name}</b>" if r.id == selected else r.name
    return f"{name}  {text}" + (" · take" if r.taken else "")


def _symbol(r: Drawn) -> str:
    return "star" if r.taken else "circle" if r.qualifies else "x"


def _colour(r: Drawn) -> str:
    return theme.BLUE if r.taken else theme.TEAL if r.qualifies else theme.ORANGE


def _label(r: Drawn, selected: str) -> str:
    name = f"<b>▸ {r.name}</b>" if r.id == selected else r.name
    return f"{name} {_answers(r)}".strip()


def _answers(r: Drawn) -> str:
    if r.accuracy is not None:
        return f"{r.accuracy:.1%}"
    return "" if r.cosine is None else f"cos {r.cosine:.4f}"


def _range(values: Sequence[float], limit: float | None) -> list[float]:
    most = max(values, default=1.0)
    return [0.0, round(1.25 * max(most, limit if limit is not None and limit < 2 * most else 0.0), 4)]


def _height(rows: int) -> int:
    """Pixels: compact for few, never endless for many."""
    return min(720, max(250, 70 + (44 if rows <= _MOST_NAMES else 17) * rows))


def _round(values: Sequence[float]) -> list[float]:
    return [float(f"{v:.5g}") for v in values]
