"""Where the time goes: the charts of Profile and Why, one bar for a model, coloured by the kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx_lab.card import Table, milliseconds
from onnx_lab.measure._kinds import WORDS
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    from onnx_lab.measure.profile import Profile
    from onnx_lab.measure.why import Why

#: The same kind has the same colour in every chart; what is alike in meaning shares one.
_COLOURS = {
    "float": theme.BLUE,
    "int8": theme.ORANGE,
    "nbits": theme.AMBER,
    "attention": theme.TEAL,
    "scaling": theme.PURPLE,
    "compiled": theme.BLUE,
}
#: Words of a legend that fit side by side on a narrow page.
_IN_A_ROW = 3
_OTHERS = ("normalization", "cast", "glue", "other")


def profile_chart(result: Profile) -> Chart:
    """One bar: the kernels' time by kind of work."""
    return _chart([result], f"Where the time of {result.model} goes, ms")


def why_chart(result: Why) -> Chart:
    """Both models' time by kind of work, one bar each."""
    return _chart([result.others, result.own], f"Where the time goes: {result.model} and {result.other}, ms")


def _chart(profiles: Sequence[Profile], title: str) -> Chart:
    go = theme.graph_objects()
    present = {k for p in profiles for k in p.kinds}
    kinds = [k for k in (*_COLOURS, *_OTHERS) if k in present]
    bars = [
        go.Bar(
            name=WORDS[k],
            y=[p.model for p in profiles],
            x=[p.kinds.get(k, 0.0) * p.kernels * 1e3 for p in profiles],
            orientation="h",
            marker={"color": _COLOURS.get(k, theme.NEUTRAL), "opacity": _opacity(k)},
            hovertemplate=f"%{{y}}: %{{x:.3g}} ms in {WORDS[k]}<extra></extra>",
        )
        for k in kinds
    ]
    legend = 22 * -(-len(kinds) // _IN_A_ROW)  # pixels
    height = 84 + 44 * len(profiles) + legend
    fig = theme.figure(*bars, title=title, height=height, barmode="stack", margin={"t": 40, "b": 30 + legend})
    # below the axis: above the bars, its second row would lie on them
    fig.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"})
    fig.update_yaxes(autorange="reversed", type="category", gridcolor=theme.CLEAR)
    rows = tuple(
        (WORDS[k], *(milliseconds(p.kinds[k] * p.kernels) if p.kinds.get(k) else "" for p in profiles)) for k in kinds
    )
    return Chart(title, fig, [Table(("time in", *(p.model for p in profiles)), rows)])


def _opacity(kind: str) -> float:
    """The greys are told apart by their strength, and by the table below."""
    return 1.0 - 0.22 * _OTHERS.index(kind) if kind in _OTHERS else 1.0
