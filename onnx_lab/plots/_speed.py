"""Latency of contestants at one shape as bars, and over a grid of shapes as heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.card import Table, milliseconds
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.bench import Benchmark, Row

_COLOURS = {"reference": theme.NEUTRAL, "faster": theme.BLUE, "slower": theme.ORANGE}
_UNDECIDED = "rgba(35,126,199,.45)"
#: Heat maps in pixels: above the first line, between lines, one cell; and how many cells fit side by side.
_TOP, _BETWEEN, _CELL_HEIGHT, _CELLS_ACROSS = 74, 52, 44, 9


def speed_chart(result: Benchmark) -> Chart:
    """Bars for one shape, heat maps for several."""
    rows = result.rows
    several = len({(r.batch, r.seq) for r in rows}) > 1
    return _grid(rows, result.reference[0]) if several else _bars(rows, result.reference[0])


def _bars(rows: Sequence[Row], reference: str) -> Chart:
    go = theme.graph_objects()
    names, ms = _names(rows), [r.p50 * 1e3 for r in rows]
    # one contestant that nothing is known of would squeeze all bars to lines: its interval runs out of the picture
    edge = min(max(r.high for r in rows) * 1e3, 1.5 * max(ms))
    highs = [min(r.high * 1e3, edge) for r in rows]
    bars = go.Bar(
        y=names,
        x=ms,
        orientation="h",
        marker={"color": [_COLOURS.get(r.verdict, _UNDECIDED) for r in rows]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, h - m) for h, m in zip(highs, ms, strict=True)],
            "arrayminus": [max(0.0, m - r.low * 1e3) for r, m in zip(rows, ms, strict=True)],
            "color": theme.TEXT,
            "thickness": 1.5,
            "width": 5,
        },
        customdata=[[milliseconds(r.p90), milliseconds(r.p99)] for r in rows],
        hovertemplate="%{y}: %{x:.3g} ms<br>p90 %{customdata[0]}, p99 %{customdata[1]}<extra></extra>",
    )
    notes = [
        {"x": h, "y": n, "text": f"{milliseconds(r.p50)}  ·  {_said(r)}", "showarrow": False, "xanchor": "left",
         "xshift": 8}
        for r, n, h in zip(rows, names, highs, strict=True)
    ]  # fmt: skip
    title = f"Median latency, ms ({_shape(rows[0])}); lower is better"
    fig = theme.figure(bars, title=title, height=theme.bars_height(len(rows)), annotations=notes)
    fig.update_yaxes(autorange="reversed", gridcolor=theme.CLEAR)
    fig.update_xaxes(range=[0, 1.42 * edge])
    return Chart(title, fig, [_bars_table(rows, names, reference)])


def _grid(rows: Sequence[Row], reference: str) -> Chart:
    """One heat map per contestant: batch down, sequence across; colour and text say the speed next to the reference."""
    go = theme.graph_objects()
    names = list(dict.fromkeys(_names(rows)))
    compared = len({(r.name, r.target) for r in rows}) > 1
    shown = [n for n in names if not compared or any(r.verdict != "reference" for r in _of(rows, n))]
    batches = sorted({r.batch for r in rows})
    seqs = sorted({r.seq or 0 for r in rows})
    columns = min(len(shown), 4, max(1, _CELLS_ACROSS // len(seqs)))
    lines = math.ceil(len(shown) / columns)
    height = _TOP + lines * (_BETWEEN + _CELL_HEIGHT * len(batches))
    fig = theme.subplots(lines, columns, subplot_titles=shown, shared_yaxes=True, horizontal_spacing=0.03,
                        vertical_spacing=_BETWEEN / (height - _TOP - _BETWEEN) if lines > 1 else 0.0)  # fmt: skip
    scale = _scale(rows, compared)
    for place, name in enumerate(shown):
        cells = {(r.batch, r.seq or 0): r for r in _of(rows, name)}
        table = [[cells.get((b, s)) for s in seqs] for b in batches]
        heat = go.Heatmap(
            x=[str(s) if s else "any" for s in seqs],
            y=[str(b) for b in batches],
            z=[[_value(r, compared) for r in line] for line in table],
            text=[[_cell(r, compared) for r in line] for line in table],
            texttemplate="%{text}",
            textfont={"color": "#ffffff"},
            hovertemplate=f"{name}, batch %{{y}}, sequence %{{x}}: %{{text}}<extra></extra>",
            xgap=2,
            ygap=2,
            showscale=False,
            **scale,
        )
        fig.add_trace(heat, place // columns + 1, place % columns + 1)
    title = f"Speed next to {reference} (×), and median latency" if compared else "Median latency"
    theme.dress(fig, title=title, height=height, margin={"t": _TOP, "b": _BETWEEN})
    fig.update_annotations(font_size=13)
    fig.update_xaxes(type="category", gridcolor=theme.CLEAR, ticks="")
    fig.update_yaxes(type="category", gridcolor=theme.CLEAR, ticks="", autorange="reversed")
    fig.update_xaxes(row=lines, title={"text": "sequence", "standoff": 2, "font": {"size": 13}})
    fig.update_yaxes(col=1, title={"text": "batch", "standoff": 4, "font": {"size": 13}})
    return Chart(title, fig, [_grid_table(rows, names, batches, seqs, compared, reference)])


def _scale(rows: Sequence[Row], compared: bool) -> dict[str, Any]:
    if not compared:
        return {"colorscale": theme.SEQUENTIAL}
    # doubling is always a visible step, and one outlier does not wash out the others
    reach = max(1.0, max(abs(math.log2(r.ratio)) for r in rows))
    return {"colorscale": theme.DIVERGING, "zmin": -reach, "zmax": reach}


def _value(r: Row | None, compared: bool) -> float | None:
    if r is None:
        return None
    return math.log2(r.ratio) if compared else r.p50 * 1e3


def _cell(r: Row | None, compared: bool) -> str:
    if r is None:
        return "not measured"
    return f"<b>×{r.ratio:.2f}</b><br>{milliseconds(r.p50)}" if compared else milliseconds(r.p50)


def _of(rows: Sequence[Row], name: str) -> list[Row]:
    return [r for r, n in zip(rows, _names(rows), strict=True) if n == name]


def _names(rows: Sequence[Row]) -> list[str]:
    """The contestant, with where it ran when one name ran in several places or elsewhere than on the CPU."""
    places: dict[str, set[str]] = {}
    for r in rows:
        places.setdefault(r.name, set()).add(r.target)
    return [f"{r.name} on {r.target}" if len(places[r.name]) > 1 or r.target not in ("cpu", "torch") else r.name
            for r in rows]  # fmt: skip


def _said(r: Row) -> str:
    if r.verdict == "reference":
        return "reference"
    return f"×{r.ratio:.2f} {r.verdict}" if r.verdict in ("faster", "slower") else f"×{r.ratio:.2f}, {r.verdict}"


def _shape(r: Row) -> str:
    return f"batch {r.batch}, sequence {r.seq}" if r.seq else f"batch {r.batch}"


def _bars_table(rows: Sequence[Row], names: Sequence[str], reference: str) -> Table:
    cells = tuple(
        (
            n,
            milliseconds(r.p50),
            f"{milliseconds(r.low)} to {milliseconds(r.high)}",
            "1" if r.verdict == "reference" else f"{r.ratio:.2f} [{r.ratio_low:.2f}, {r.ratio_high:.2f}]",
            r.verdict,
        )
        for r, n in zip(rows, names, strict=True)
    )
    return Table(("model", "median", "99 % interval", f"× {reference}", "verdict"), cells, tones=_tones(rows, 4))


def _grid_table(
    rows: Sequence[Row],
    names: Sequence[str],
    batches: Sequence[int],
    seqs: Sequence[int],
    compared: bool,
    reference: str,
) -> Table:
    shapes = [(b, s) for b in batches for s in seqs]
    cells = []
    for name in names:
        own = {(r.batch, r.seq or 0): r for r in _of(rows, name)}
        cells.append((name, *(_short(own.get(shape), compared) for shape in shapes)))
    header = ("batch × sequence", *(f"{b} × {s}" if s else f"{b}" for b, s in shapes))
    caption = "median latency in ms" + f" (× speed next to {reference})" * compared
    return Table(header, tuple(cells), caption)


def _short(r: Row | None, compared: bool) -> str:
    if r is None:
        return "-"
    ms = milliseconds(r.p50).removesuffix(" ms")
    return f"{ms} (×{r.ratio:.2f})" if compared and r.verdict != "reference" else ms


def _tones(rows: Sequence[Row], column: int) -> dict[tuple[int, int], str]:
    tones = {"faster": "good", "slower": "bad", "too noisy to say": "warn"}
    return {(i, column): tones[r.verdict] for i, r in enumerate(rows) if r.verdict in tones}
