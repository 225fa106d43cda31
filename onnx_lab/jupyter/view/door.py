"""The door: `view` shows a graph in the cell, and a `GraphView` hands out what is selected there."""

from __future__ import annotations

from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, did_you_mean, missing
from onnx_lab.jupyter import _stays
from onnx_lab.measure.diff import GraphDiff, diff
from onnx_lab.model import Model
from onnx_lab.plots.graph import still
from onnx_lab.plots.graph.details import NodeDetails, details
from onnx_lab.plots.graph.flat import flatten
from onnx_lab.plots.graph.sheet import Sheet
from onnx_lab.plots.graph.union import united

_TOOLS = ("lab", "netron")


class GraphView:
    """A graph in a cell; made by `onnx_lab.view`.

    Attributes
    ----------
    selected : tuple of str
        Names of the selected nodes: all of a group's, when a group is selected.
    node : NodeDetails or None
        Attributes, inputs and outputs of the selected node.
    module : str
        The user's own module that is selected, or that the selected node belongs to; "" when unknown.
    diff : GraphDiff or None
        What the transform did, with two models.
    """

    def __init__(self, sheet: Sheet, found: GraphDiff | None = None) -> None:
        from onnx_lab.jupyter.view.widget import GraphWidget

        self._sheet = sheet
        self.diff = found
        self._widget = GraphWidget(sheet)

    @property
    def selected(self) -> tuple[str, ...]:
        """Names of the selected nodes."""
        return self._sheet.names(self._widget.selected)

    @property
    def node(self) -> NodeDetails | None:
        """The selected node; None when none or a group is selected."""
        box = self._box()
        return details(self._sheet, box) if box is not None and box not in self._sheet.tree.groups else None

    @property
    def module(self) -> str:
        """The selected module, or that of the selected node."""
        box = self._box()
        groups = self._sheet.tree.groups
        return "" if box is None else groups[box].path if box in groups else self._sheet.flat.nodes[box].module

    def select(self, name: str) -> GraphView:
        """Select a node by its name, or a module by its path; the view opens what hides it and goes there.

        Raises
        ------
        BadInput
            When nothing is called that.
        """
        self._widget.selected = [self._sheet.box(name)]
        return self

    def _box(self) -> int | None:
        return self._widget.selected[0] if self._widget.selected else None

    def __repr__(self) -> str:
        return still.card(self._sheet).text()

    def _repr_html_(self) -> str:
        return still.html(self._sheet)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The widget; beside it the picture and the table, for front ends that have none."""
        self._widget.send_the_rest()
        return {**_stays.view_of(self._widget), "text/html": self._repr_html_(), "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        title = f"graph of {self._sheet.flat.name}"
        display({**_stays.view_of(self._widget), "text/plain": _stays.live(title)}, raw=True)
        # a second output outlives the widget: a restarted kernel and a saved notebook still show picture and table
        html = _stays.saved(title, self._repr_html_())
        display({"text/html": html, "text/plain": repr(self)}, raw=True)
        self._widget.send_the_rest()


def view(m: Model, other: Model | None = None, *, color: Any = None, tool: str = "lab") -> GraphView | None:
    """The graph in the cell: closed module by module, to open by click or key, with search and a panel.

    Nothing is served and no port is opened: the picture is drawn by the page from what the kernel sends it.

    Parameters
    ----------
    m : Model
    other : Model, optional
        What a transform made of `m`: the difference is coloured, and `m`'s removed nodes are shown in their places.
    color : "size", Profile, Trace or dict, optional
        Colour boxes by the bytes of their weights, by time, by error, or by a number for each node's name. Groups have
        the sum of theirs, of errors the largest.
    tool : {"lab", "netron"}, default "lab"
        ``"netron"`` hands the file to an installed Netron, which starts a server of its own.

    Returns
    -------
    GraphView
        Shows itself; ``.selected`` and ``.node`` say what is selected in it. None for Netron.

    Raises
    ------
    BadInput
        For two models and a colour, a colour that says nothing of this model, or an unknown tool.
    BadModel
        When a file is gone, was edited, or is not a model.
    MissingExtra
        Without anywidget; without netron, when that is asked for.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> shown = lab.view(lab.samples.tiny()).select("first/relu")
    >>> shown.selected, shown.node.op
    (('first/relu',), 'Relu')
    """
    check_model(m) if other is None else check_model(m, other)
    if tool not in _TOOLS:
        raise BadInput(f"tool {tool!r}", accepted=", ".join(_TOOLS), do=did_you_mean(tool, _TOOLS))
    if tool == "netron":
        _in_netron(m, other)
        return None
    if other is not None and color is not None:
        raise BadInput("two models and color", accepted="one of them: two models are coloured by what changed")
    try:
        import anywidget  # noqa: F401
    except ImportError:
        raise missing("anywidget", "jupyter") from None
    if other is None:
        return GraphView(Sheet(flatten(m), color))
    found = diff(m, other)
    return GraphView(Sheet(united(flatten(m), flatten(other), found)), found)


def _in_netron(m: Model, other: Model | None) -> None:
    from onnx_lab.jupyter.view.netron import open_netron

    if other is not None:
        raise BadInput("two models in Netron", accepted="one; the difference is drawn by tool='lab'")
    host, port = open_netron(m)
    print(f"Netron shows {m.name} at http://{host}:{port}")
