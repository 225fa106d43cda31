"""Where the time goes: the charts of Profile and Why, one bar for a model, coloured by the kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnx_lab.card import Table, milliseconds
from onnx_lab.measure._kinds import WORDS
from onnx_lab.measure._modules import ModuleWork, module_tree
from onnx_lab.plots import theme
from onnx_lab.plots._tree import tree_chart
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
    """One bar: the kernels' time by kind of work; below it that of the user's modules."""
    chart = _chart([result], f"Where the time of {result.model} goes, ms")
    # from the first to the last, layer.2 before layer.10: what takes longest is seen by its width
    rows = module_tree((), dict(sorted(result.modules.items(), key=lambda kv: _natural(kv[0]))))
    if not any(r.path for r in rows):
        return chart
    below = tree_chart(
        rows,
        _seconds,
        milliseconds,
        title="Time by module",
        top=result.model,
        table=lambda most: _module_table(rows, most),
    )
    return replace(chart, below=below)


def why_chart(result: Why) -> Chart:
    """Both models' time by kind of work, one bar each."""
    return _chart([result.others, result.own], f"Where the time goes: {result.model} and {result.other}, ms")


def _chart(profiles: Sequence[Profile], title: str) -> Chart:
    kinds = _kinds(profiles)
    legend = 22 * -(-len(kinds) // _IN_A_ROW)  # pixels
    height = 84 + 44 * len(profiles) + legend
    margin = {"t": 40, "b": 30 + legend}
    fig = theme.figure(*_bars(profiles, kinds), title=title, height=height, barmode="stack", margin=margin)
    # below the axis: above the bars, its second row would lie on them
    fig.update_layout(legend={"yref": "container", "y": 0, "yanchor": "bottom"})
    fig.update_yaxes(autorange="reversed", type="category", gridcolor=theme.CLEAR)
    return Chart(title, fig, [_table(profiles, kinds)])


def _kinds(profiles: Sequence[Profile]) -> list[str]:
    present = {k for p in profiles for k in p.kinds}
    return [k for k in (*_COLOURS, *_OTHERS) if k in present]


def _bars(profiles: Sequence[Profile], kinds: Sequence[str]) -> list[Any]:
    return [
        theme.graph_objects().Bar(
            name=WORDS[k],
            y=[p.model for p in profiles],
            x=[p.kinds.get(k, 0.0) * p.kernels * 1e3 for p in profiles],
            orientation="h",
            marker={"color": _COLOURS.get(k, theme.NEUTRAL), "opacity": _opacity(k)},
            hovertemplate=f"%{{y}}: %{{x:.3g}} ms in {WORDS[k]}<extra></extra>",
        )
        for k in kinds
    ]


def _table(profiles: Sequence[Profile], kinds: Sequence[str]) -> Table:
    rows = tuple(
        (WORDS[k], *(milliseconds(p.kinds[k] * p.kernels) if p.kinds.get(k) else "" for p in profiles)) for k in kinds
    )
    return Table(("time in", *(p.model for p in profiles)), rows)


def _module_table(rows: Sequence[ModuleWork], most: Sequence[ModuleWork]) -> Table:
    whole = sum(_seconds(r) for r in rows if not r.depth) or 1.0
    cells = tuple((r.path or "(no module)", milliseconds(_seconds(r)), f"{_seconds(r) / whole:.0%}") for r in most)
    bars = {(i, 2): _seconds(r) / whole for i, r in enumerate(most)}
    return Table(("module and below", "time", "share"), cells, bars=bars)


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.split(".")]


def _seconds(row: ModuleWork) -> float:
    return row.seconds or 0.0


def _opacity(kind: str) -> float:
    """The greys are told apart by their strength, and by the table below."""
    return 1.0 - 0.22 * _OTHERS.index(kind) if kind in _OTHERS else 1.0
