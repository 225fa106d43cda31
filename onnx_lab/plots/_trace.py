"""The error of every tensor, from the first to the last: where two models part, and what heals or grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx_lab.card import Table
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.trace import Trace

_NAMED = 3
_LEAST = 1e-8
#: Tensors that agree to so many digits more than the worst lie below the picture.
_DECADES = 4


def trace_chart(result: Trace) -> Chart:
    """Error in percent over the order of computation, logarithmic; the worst additions are named."""
    go = theme.graph_objects()
    title = f"Relative error of {result.b} against {result.a}, % (log), tensor by tensor"
    heights = [100 * max(r.error, _LEAST) for r in result.rows]
    places = list(range(1, len(heights) + 1))
    words = [f"{r.tensor}<br>{r.op} {r.module}<br>{r.error:.3%}, {r.added:.3%} added here" for r in result.rows]
    worst = sorted(range(len(result.rows)), key=lambda i: -result.rows[i].added)[:_NAMED]
    line = go.Scatter(
        x=places,
        y=heights,
        mode="lines+markers",
        line={"color": theme.BLUE, "width": 1.5},
        marker={"size": 5},
        text=words,
        hovertemplate="%{text}<extra></extra>",
        name="error",
    )
    named = go.Scatter(
        x=[places[i] for i in worst],
        y=[heights[i] for i in worst],
        mode="markers+text",
        marker={"color": theme.ORANGE, "size": 10, "symbol": "diamond"},
        text=[result.rows[i].tensor for i in worst],
        textposition="top center",
        textfont={"color": theme.TEXT},
        hoverinfo="skip",
        name="adds most",
    )
    fig = theme.figure(line, named, title=title, height=340, showlegend=True, margin={"t": 72})
    fig.update_yaxes(type="log", exponentformat="power", dtick=1, range=_range(heights))
    fig.update_xaxes(title="in the order of computation", tickformat="d")
    rows = tuple((result.rows[i].tensor, f"{result.rows[i].error:.2%}", f"{result.rows[i].added:.2%}") for i in worst)
    return Chart(title, fig, [Table(("tensor", "error", "added here"), rows)])


def _range(heights: Sequence[float]) -> list[float]:
    """Powers of ten: from the least error that matters to room for words above the largest."""
    most = math.log10(max(heights, default=1.0))
    least = math.log10(min(heights, default=1.0))
    return [max(least, most - _DECADES) - 0.1, most + 0.5]
