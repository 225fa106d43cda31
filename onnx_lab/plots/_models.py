"""What is in a file, and what to take: the charts of Inspection and Verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.card import Table, megabytes, milliseconds
from onnx_lab.measure._inspection_card import by_cost, module_table
from onnx_lab.measure._macs import macs_text
from onnx_lab.measure._static_work import is_glue
from onnx_lab.plots import theme
from onnx_lab.plots._tree import tree_chart
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.inspect import Inspection
    from onnx_lab.measure.verdict import Verdict, VerdictRow

_MOST = 14


def inspection_chart(result: Inspection) -> Chart:
    """Nodes per operator, those that only move data stand back; below it what each of the user's modules costs."""
    shown = list(result.operators.items())[:_MOST]
    rest = len(result.operators) - len(shown)
    title = f"Nodes per operator: {result.name}" + f" (and {rest} operators more)" * (rest > 0)
    fig = theme.figure(
        *_operator_bars(shown), title=title, height=80 + 24 * len(shown), barmode="overlay", margin={"t": 64}
    )
    fig.update_yaxes(type="category", autorange="reversed", gridcolor=theme.CLEAR)
    rows = tuple((op, str(n), "glue" if is_glue(op) else "") for op, n in shown)
    modules = _module_chart(result) if any(r.path for r in result.modules) else None
    return Chart(title, fig, [Table(("operator", "nodes", ""), rows)], modules)


def _module_chart(result: Inspection) -> Chart:
    attribute, word = by_cost(result)
    words = {"seconds": milliseconds, "macs": macs_text, "weight_bytes": megabytes}[attribute]
    title = f"{word[:1].upper()}{word[1:]} by module"
    rows = result.modules
    return tree_chart(
        rows,
        lambda r: float(getattr(r, attribute) or 0),
        words,
        title=title,
        top=result.name,
        table=lambda most: module_table(most, rows, attribute, ""),
    )


def _operator_bars(shown: Sequence[tuple[str, int]]) -> list[Any]:
    return [
        theme.graph_objects().Bar(
            name=name,
            y=[op for op, _ in shown],
            x=[n if is_glue(op) is glue else None for op, n in shown],
            orientation="h",
            marker={"color": colour},
            texttemplate="%{x}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x} nodes<extra></extra>",
        )
        for name, glue, colour in (("computes", False, theme.BLUE), ("glue: only moves data", True, theme.NEUTRAL))
    ]


def verdict_chart(result: Verdict) -> Chart:
    """Size and latency side by side; the one to take stands out."""
    rows = result.rows
    taken = result.taken
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
