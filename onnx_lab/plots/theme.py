"""How figures look: transparent, and in colours that read on a white and on a dark page alike.

A saved figure cannot know the page it will lie on. Every colour here has a contrast of at least 4.2 on white and on
#111; colours never stand alone, a word or a number says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEXT = "#737982"
GRID = "rgba(128,128,128,.22)"
CLEAR = "rgba(0,0,0,0)"

#: Apart for every common kind of colour blindness: they differ in blue against yellow, or in lightness.
NEUTRAL, BLUE, ORANGE, TEAL, PURPLE, AMBER = "#8a9099", "#237ec7", "#c55c16", "#0f8585", "#a35eba", "#a57109"
SERIES = (BLUE, ORANGE, TEAL, PURPLE, AMBER, NEUTRAL)

#: Slower to faster, white text reads on all of it.
DIVERGING = ((0.0, "#9a3f06"), (0.5, "#6f757e"), (1.0, "#0f5da6"))
#: Little to much.
SEQUENTIAL = ((0.0, "#6f757e"), (1.0, "#0f5da6"))

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def figure(*traces: Any, title: str, height: int, **layout: Any) -> go.Figure:
    """A figure in the lab's look.

    Parameters
    ----------
    traces : plotly traces
    title : str
        In plain words, with the unit.
    height : int
        Pixels.
    layout : Any
        More of Plotly's layout.

    Raises
    ------
    MissingExtra
        Without plotly.
    """
    fig = graph_objects().Figure(traces)
    return dress(fig, title=title, height=height, **layout)


def dress(fig: go.Figure, *, title: str, height: int, **layout: Any) -> go.Figure:
    """Put the look on a figure made otherwise (subplots)."""
    go = graph_objects()
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True, "fixedrange": True}
    fig.update_layout(
        template=go.layout.Template(),  # Plotly's own weighs more than our figures
        title={"text": f"<b>{title}</b>", "x": 0, "xref": "container", "xanchor": "left", "pad": {"l": 8}, "y": 0.98,
               "yanchor": "top", "font": {"size": 14}},
        height=height,
        margin={"l": 8, "r": 24, "t": 44, "b": 8},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"family": _FONT, "size": 13, "color": TEXT},
        colorway=list(SERIES),
        hoverlabel={"font": {"family": _FONT, "size": 13}},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "bgcolor": CLEAR},
        modebar={"bgcolor": CLEAR, "color": TEXT, "activecolor": BLUE},
        barcornerradius=3,
    )  # fmt: skip
    fig.update_xaxes(**axis)
    fig.update_yaxes(**axis)
    fig.update_layout(**layout)
    return fig


def graph_objects() -> Any:
    """``plotly.graph_objects``. Raises MissingExtra."""
    try:
        import plotly.graph_objects as go
    except ImportError:
        from onnx_lab.errors import missing

        raise missing("plotly", "jupyter") from None
    return go


def subplots(rows: int, columns: int, **options: Any) -> go.Figure:
    """Plotly's ``make_subplots``; give it the look with `dress`. Raises MissingExtra."""
    graph_objects()
    from plotly.subplots import make_subplots

    return make_subplots(rows, columns, **options)


def bars_height(rows: int, *, extra: int = 70) -> int:
    """Pixels for `rows` horizontal bars: compact, never crowded."""
    return max(140, extra + 38 * rows)
