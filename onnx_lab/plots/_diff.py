"""What a transform did to each kind of node: operators before and after."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onnx_lab.card import Table
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.diff import GraphDiff

_MOST = 14


def diff_chart(result: GraphDiff) -> Chart:
    """For each operator, nodes that went and nodes that came; the largest changes first."""
    go = theme.graph_objects()
    gone = Counter(op for c in result.changes for op in c.ops_before)
    came = Counter(op for c in result.changes for op in c.ops_after)
    shown = sorted({*gone, *came}, key=lambda op: (-gone[op] - came[op], op))[:_MOST]
    bars = [
        go.Bar(
            name=name,
            y=shown,
            x=[sign * counts[op] for op in shown],
            orientation="h",
            marker={"color": colour},
            text=[str(counts[op] or "") for op in shown],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
        for name, sign, counts, colour in ((result.a, -1, gone, theme.ORANGE), (result.b, 1, came, theme.BLUE))
    ]
    title = f"Nodes that went from {result.a} and came into {result.b}"
    fig = theme.figure(*bars, title=title, height=100 + 24 * len(shown), barmode="overlay", margin={"t": 64})
    fig.update_yaxes(type="category", autorange="reversed", gridcolor=theme.CLEAR)
    fig.update_xaxes(showticklabels=False)
    rows = tuple((op, str(gone[op]), str(came[op])) for op in shown)
    return Chart(title, fig, [Table(("operator", "went", "came"), rows)])
