"""What models answer, how often they are right, how far two are apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onnx_lab.card import Table
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.accuracy import Accuracy
    from onnx_lab.measure.compare import Comparison
    from onnx_lab.measure.infer import Inference

_MOST = 12


def accuracy_chart(result: Accuracy) -> Chart:
    """Share answered right per class, with the whole as a line."""
    go = theme.graph_objects()
    shares = result.per_class
    bars = go.Bar(
        y=list(shares),
        x=[100 * v for v in shares.values()],
        orientation="h",
        marker={"color": theme.BLUE},
        text=[f"{v:.1%}" for v in shares.values()],
        textposition="auto",
        textangle=0,
        insidetextfont={"color": "#ffffff"},
        hovertemplate="%{y}: %{x:.1f} % right<extra></extra>",
    )
    low, high = result.interval
    title = f"Right answers per class, %: {result.name}"
    fig = theme.figure(bars, title=title, height=theme.bars_height(len(shares), extra=110))
    fig.add_vrect(100 * low, 100 * high, fillcolor=theme.ORANGE, opacity=0.25, line_width=0)
    fig.add_vline(
        100 * result.value,
        line={"color": theme.ORANGE, "width": 2},
        annotation={"text": f"all: {result.value:.1%}", "font": {"color": theme.ORANGE}, "yanchor": "bottom"},
        annotation_position="top",
    )
    fig.update_xaxes(range=[0, 100])
    fig.update_yaxes(autorange="reversed", gridcolor=theme.CLEAR)
    fig.update_layout(margin={"t": 64})
    rows = tuple((c, f"{v:.1%}") for c, v in shares.items())
    whole = ("all", f"{result.value:.1%} ({low:.1%} to {high:.1%})")
    return Chart(title, fig, [Table(("class", "right"), (*rows, whole))])


def comparison_chart(result: Comparison) -> Chart:
    """Largest and mean difference of each output, on a logarithmic axis, with the tolerance."""
    go = theme.graph_objects()
    names = [o.name for o in result.outputs]
    smallest = 1e-12  # equal outputs still need a place on a logarithmic axis

    def points(label: str, values: list[float], colour: str, symbol: str) -> object:
        return go.Scatter(
            name=label,
            x=[max(v, smallest) for v in values],
            y=names,
            mode="markers",
            marker={"color": colour, "size": 12, "symbol": symbol},
            hovertemplate=f"%{{y}}: {label} %{{x:.2e}}<extra></extra>",
        )

    traces = [
        points("largest", [o.largest for o in result.outputs], theme.ORANGE, "diamond"),
        points("mean", [o.mean for o in result.outputs], theme.BLUE, "circle"),
    ]
    title = f"Difference of outputs: {result.a} against {result.b}, {result.n} samples"
    fig = theme.figure(*traces, title=title, height=theme.bars_height(len(names), extra=120))
    fig.update_xaxes(type="log", exponentformat="power", dtick=1)
    fig.update_yaxes(type="category", autorange="reversed")
    fig.add_vline(result.atol, line={"color": theme.TEXT, "dash": "dot"})
    # on a logarithmic axis an annotation's place is the exponent
    place = {"x": math.log10(max(result.atol, smallest)), "y": 1, "yref": "paper", "yanchor": "bottom"}
    fig.add_annotation(text=f"tolerance {result.atol:g}", showarrow=False, **place)
    fig.update_layout(margin={"t": 64})
    rows = tuple(
        (o.name, f"{o.largest:.2e}", f"{o.mean:.2e}", f"{o.cosine_mean:.5f}",
         "" if o.changed is None else f"{o.changed:.1%}")
        for o in result.outputs
    )  # fmt: skip
    return Chart(title, fig, [Table(("output", "largest", "mean", "cosine", "top answer changed"), rows)])


def inference_chart(result: Inference) -> Chart:
    """Probabilities of the first sample; the largest elements of the first output where there are no classes."""
    go = theme.graph_objects()
    if result.probabilities is not None:
        values, names = result.probabilities[0], list(result.classes)
        unit = "Probability, %"
        values = values * 100
    else:
        key, output = next(iter(result.outputs.items()))
        values = output.reshape(-1) if output.ndim < 2 else output[0].reshape(-1)
        names, unit = [f"[{i}]" for i in range(len(values))], f"Largest values of {key}"
    order = sorted(range(len(names)), key=lambda i: -float(values[i]))[:_MOST]
    bars = go.Bar(
        y=[names[i] for i in order],
        x=[float(values[i]) for i in order],
        orientation="h",
        marker={"color": [theme.BLUE] + [theme.NEUTRAL] * (len(order) - 1)},
        text=[f"{float(values[i]):.3g}" for i in order],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.3g}<extra></extra>",
    )
    title = f"{unit}: {result.model}"
    fig = theme.figure(bars, title=title, height=theme.bars_height(len(order), extra=60))
    fig.update_yaxes(type="category", autorange="reversed", gridcolor=theme.CLEAR)
    rows = tuple((names[i], f"{float(values[i]):.3g}") for i in order)
    return Chart(title, fig, [Table(("class" if result.probabilities is not None else "element", unit.lower()), rows)])
