"""Variants of one model beside each other, one of them picked out: size, latency, and the front of all three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from onnx_lab.card import Table, megabytes, milliseconds
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

#: With more than this, only the one picked out and the one to take are named in the picture.
_MOST_NAMES = 7
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
    """One bar for each file."""
    known = [r for r in rows if r.size_bytes]
    values = [(r.size_bytes or 0) / 1e6 for r in known]
    texts = [megabytes(r.size_bytes or 0) for r in known]
    return _bars("Size, MB", known, values, texts, selected)


def latency_bars(rows: Sequence[Drawn], selected: str) -> Chart:
    """One bar for each, with the 99 % limits of its median."""
    known = [r for r in rows if r.p50]
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
    return _bars("Median latency, ms", known, values, texts, selected, error_x=limits, ends=high)


def front(rows: Sequence[Drawn], selected: str, *, max_ms: float | None = None, max_mb: float | None = None) -> Chart:
    """Latency against size, the answers beside each point; lower left is better. The budget is drawn as lines."""
    known = [r for r in rows if r.size_bytes and r.p50]
    go = theme.graph_objects()
    xs, ys = [(r.p50 or 0) * 1e3 for r in known], [(r.size_bytes or 0) / 1e6 for r in known]
    few = len(known) <= _MOST_NAMES
    points = go.Scatter(
        x=_round(xs),
        y=_round(ys),
        mode="markers+text",
        marker={
            "symbol": [_symbol(r) for r in known],
            "color": [_colour(r) for r in known],
            "size": [15 if r.id == selected else 10 for r in known],
            "line": {"width": [3 if r.id == selected else 0 for r in known], "color": theme.AMBER},
        },
        text=[_label(r, selected) if few or r.taken or r.id == selected else "" for r in known],
        textposition=[_place(x, xs, rank) for x, rank in zip(xs, _ranks(ys), strict=True)],
        textfont={"size": 11},
        cliponaxis=False,
        customdata=[_label(r, "") for r in known],
        hovertemplate="%{customdata}<br>%{x:.3g} ms, %{y:.3g} MB<extra></extra>",
    )
    title = "Size, latency, answers: lower left is better"
    fig = theme.figure(points, title=title, height=_height(len(known)), showlegend=False, margin={"r": 30})
    fig.update_xaxes(title_text="median latency, ms", title_font_size=12, range=_range(xs, max_ms))
    fig.update_yaxes(title_text="size, MB", title_font_size=12, range=_range(ys, max_mb))
    line = {"line": {"color": theme.AMBER, "width": 1, "dash": "dot"}}
    if max_ms is not None:
        fig.add_vline(max_ms, **line, annotation_text=f"{max_ms:g} ms", annotation_font_size=11)
    if max_mb is not None:
        fig.add_hline(max_mb, **line, annotation_text=f"{max_mb:g} MB", annotation_font_size=11)
    cells = tuple(
        (r.name, milliseconds(r.p50 or 0), megabytes(r.size_bytes or 0), _answers(r), "yes" if r.qualifies else "no")
        for r in known
    )
    return Chart(title, fig, [Table(("variant", "latency", "size", "answers", "qualifies"), cells)])


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
    go = theme.graph_objects()
    order = list(range(len(rows)))
    bars = go.Bar(
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
    # a trace of words: forty annotations take Plotly a fifth of a second to check
    words = go.Scatter(
        x=_round(ends or values) if many else [0.0] * len(rows),
        y=order if many else [i - 0.42 for i in order],
        text=[_words(r, t, selected) for r, t in zip(rows, texts, strict=True)],
        mode="text",
        textposition="middle right",
        textfont={"size": 10 if many else 12},
        hoverinfo="skip",
        cliponaxis=False,
    )
    fig = theme.figure(bars, words, title=title, height=_height(len(rows)), showlegend=False)
    fig.update_yaxes(range=[len(rows) - 0.4, -0.75], showticklabels=False, showgrid=False, zeroline=False)
    fig.update_xaxes(range=[0, (1.9 if many else 1.32) * max([*values, *ends], default=1.0)])
    cells = tuple((r.name, t) for r, t in zip(rows, texts, strict=True))
    return Chart(title, fig, [Table(("variant", title), cells)])


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


def _place(x: float, xs: Sequence[float], rank: int) -> str:
    """Above a point or below it in turns, so that neighbours do not overlap; to the right where the axis is near."""
    side = "right" if x < 0.3 * max(xs) else "center"
    return f"{'bottom' if rank % 2 else 'top'} {side}"


def _ranks(values: Sequence[float]) -> list[int]:
    """The place of each value among them, the largest first."""
    order = sorted(range(len(values)), key=lambda i: -values[i])
    return [order.index(i) for i in range(len(values))]


def _range(values: Sequence[float], limit: float | None) -> list[float]:
    most = max(values, default=1.0)
    return [0.0, round(1.25 * max(most, limit if limit is not None and limit < 2 * most else 0.0), 4)]


def _height(rows: int) -> int:
    """Pixels: compact for few, never endless for many."""
    return min(720, max(250, 70 + (44 if rows <= _MOST_NAMES else 17) * rows))


def _round(values: Sequence[float]) -> list[float]:
    return [float(f"{v:.5g}") for v in values]
