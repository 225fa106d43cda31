"""Size against latency, and who is on the front: the chart of a Ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx_lab.card import Table, megabytes, milliseconds
from onnx_lab.plots import theme
from onnx_lab.plots._labels import places
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.verdict import Verdict, VerdictRow

#: What a marker says by its form, so that colour never stands alone.
_LOOKS = (
    ("taken", "star", theme.BLUE, 15),
    ("keeps the answers", "circle", theme.TEAL, 10),
    ("does not qualify", "x", theme.ORANGE, 9),
    ("for orientation", "diamond", theme.NEUTRAL, 9),
)


def front_chart(result: Verdict) -> Chart:
    """Each file by latency and size; a line joins those that no other beats in both. Lower left is better."""
    go = theme.graph_objects()
    taken = result.taken
    rows = [r for r in result.rows if r.p50 and r.size_bytes]
    best = front(rows)
    traces = [
        go.Scatter(
            name="the front",
            x=[(r.p50 or 0) * 1e3 for r in best],
            y=[(r.size_bytes or 0) / 1e6 for r in best],
            mode="lines",
            line={"color": theme.GRID, "width": 2, "dash": "dot"},
            hoverinfo="skip",
        )
    ]
    words = [f"{r.name} {_answers(r)}".strip() for r in rows]
    first = [i for i, r in enumerate(rows) if r.name == taken]
    xs, ys = [(r.p50 or 0) * 1e3 for r in rows], [(r.size_bytes or 0) / 1e6 for r in rows]
    stand = dict(zip(map(id, rows), zip(words, places(xs, ys, words, first), strict=True), strict=True))
    for word, symbol, colour, size in _LOOKS:
        own = [r for r in rows if _look(r, taken) == word]
        if not own:
            continue
        traces.append(
            go.Scatter(
                name=word,
                x=[(r.p50 or 0) * 1e3 for r in own],
                y=[(r.size_bytes or 0) / 1e6 for r in own],
                mode="markers+text",
                marker={"symbol": symbol, "color": colour, "size": size},
                text=[stand[id(r)][0] if stand[id(r)][1] else "" for r in own],
                textposition=[stand[id(r)][1] or "top center" for r in own],
                customdata=[stand[id(r)][0] for r in own],
                textfont={"size": 11},
                cliponaxis=False,
                hovertemplate="%{customdata}<br>%{x:.3g} ms, %{y:.3g} MB<extra></extra>",
            )
        )
    title = f"{'Take ' + taken if taken else 'None qualifies'}: size and latency, lower left is better"
    fig = theme.figure(*traces, title=title, height=380, margin={"t": 72, "r": 60})
    fig.update_xaxes(title_text="median latency, ms", range=_range(xs))
    fig.update_yaxes(title_text="size, MB", range=_range(ys))
    names = {id(r) for r in best}
    cells = tuple(
        (r.name, milliseconds(r.p50), megabytes(r.size_bytes), _answers(r), "yes" if id(r) in names else "")
        for r in rows
        if r.p50 and r.size_bytes
    )
    return Chart(title, fig, [Table(("model", "latency", "size", "answers", "on the front"), cells)])


def front(rows: Sequence[VerdictRow]) -> list[VerdictRow]:
    """Rows that keep the answers and that no other such row beats in latency and size, fastest first."""
    fit = sorted((r for r in rows if r.qualifies), key=lambda r: (r.p50 or 0, r.size_bytes or 0))
    best: list[VerdictRow] = []
    for r in fit:
        if not best or (r.size_bytes or 0) < (best[-1].size_bytes or 0):
            best.append(r)
    return best


def _look(r: VerdictRow, taken: str) -> str:
    if r.name == taken:
        return "taken"
    return "keeps the answers" if r.qualifies else "does not qualify" if r.why else "for orientation"


def _answers(r: VerdictRow) -> str:
    if r.accuracy is not None:
        return f"{r.accuracy:.1%}"
    return "" if r.cosine is None else f"cos {r.cosine:.4f}"


def _range(values: Sequence[float]) -> list[float]:
    return [0.0, 1.25 * max(values, default=1.0)]
