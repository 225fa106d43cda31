"""What is in a file, and what to take: the charts of Inspection and Verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.card import Table, megabytes, milliseconds
from onnx_lab.model import GLUE
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.inspect import Inspection
    from onnx_lab.measure.verdict import Verdict, VerdictRow

_MOST = 14


def inspection_chart(result: Inspection) -> Chart:
    """Nodes per operator; those that only move data stand back."""
    go = theme.graph_objects()
    shown = list(result.operators.items())[:_MOST]
    glue = [op.rpartition("::")[2] in GLUE for op, _ in shown]
    bars = [
        go.Bar(
            name=name,
            y=[op for op, _ in shown],
            x=[n if g is is_glue else None for (_, n), g in zip(shown, glue, strict=True)],
            orientation="h",
            marker={"color": colour},
            texttemplate="%{x}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x} nodes<extra></extra>",
        )
        for name, is_glue, colour in (("computes", False, theme.BLUE), ("glue: only moves data", True, theme.NEUTRAL))
    ]
    rest = len(result.operators) - len(shown)
    title = f"Nodes per operator: {result.name}" + f" (and {rest} operators more)" * (rest > 0)
    fig = theme.figure(*bars, title=title, height=80 + 24 * len(shown), barmode="overlay", margin={"t": 64})
    fig.update_yaxes(type="category", autorange="reversed", gridcolor=theme.CLEAR)
    rows = tuple((op, str(n), "glue" if g else "") for (op, n), g in zip(shown, glue, strict=True))
    return Chart(title, fig, [Table(("operator", "nodes", ""), rows)])


def verdict_chart(result: Verdict) -> Chart:
    """Size and latency side by side; the one to take stands out."""
    rows = result.rows
    taken = result.best.name if result.best else ""
    timed = any(r.p50 for r in rows)
    names = [f"{r.name} on {r.target}" if r.target not in ("", "cpu", "torch") else r.name for r in rows]
    fig = theme.subplots(1, 2 if timed else 1, shared_yaxes=True, horizontal_spacing=0.06,
                        subplot_titles=["size, MB", "median latency, ms"][: 2 if timed else 1])  # fmt: skip
    sizes = [(r.size_bytes or 0) / 1e6 for r in rows]
    fig.add_trace(
        _bars(names, sizes, [megabytes(r.size_bytes) if r.size_bytes else "" for r in rows], rows, taken), 1, 1
    )
    if timed:
        times = [(r.p50 or 0) * 1e3 for r in rows]
        fig.add_trace(_bars(names, times, [_time(r) for r in rows], rows, taken), 1, 2)
    title = f"{'Take ' + taken if taken else 'None qualifies'}: {result.asked}"
    theme.dress(fig, title=title, height=theme.bars_height(len(rows), extra=90), margin={"t": 66}, showlegend=False)
    fig.update_annotations(font_size=13)
    fig.update_yaxes(autorange="reversed", gridcolor=theme.CLEAR)
    for column, values in enumerate([sizes, [(r.p50 or 0) * 1e3 for r in rows]][: 2 if timed else 1], 1):
        fig.update_xaxes(range=[0, (1.3, 1.75)[column - 1] * max(values)], col=column)
    return Chart(title, fig, [_verdict_table(rows, names, taken)])


def _bars(
    names: Sequence[str], values: Sequence[float], text: Sequence[str], rows: Sequence[VerdictRow], taken: str
) -> Any:
    colours = [
        theme.BLUE if r.name == taken else theme.NEUTRAL if r.qualifies or not r.why else theme.ORANGE for r in rows
    ]
    return theme.graph_objects().Bar(
        y=list(names),
        x=list(values),
        orientation="h",
        marker={"color": colours},
        text=list(text),
        textposition="outside",
        cliponaxis=False,
        customdata=[r.why or "for orientation" for r in rows],
        hovertemplate="%{y}: %{x:.3g}<br>%{customdata}<extra></extra>",
    )


def _time(r: VerdictRow) -> str:
    if not r.p50:
        return ""
    return milliseconds(r.p50) + (f"  ·  ×{r.ratio:.2f}" if r.ratio and r.ratio != 1 else "")


def _verdict_table(rows: Sequence[VerdictRow], names: Sequence[str], taken: str) -> Table:
    cells = tuple(
        (
            n,
            megabytes(r.size_bytes) if r.size_bytes else "",
            milliseconds(r.p50) if r.p50 else "",
            f"{r.accuracy:.1%}" if r.accuracy is not None else f"cosine {r.cosine:.4f}" if r.cosine is not None else "",
            "take this" if r.name == taken else r.why,
        )
        for r, n in zip(rows, names, strict=True)
    )
    return Table(("model", "size", "latency", "answers", "verdict"), cells)
