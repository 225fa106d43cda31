"""Chart: a Plotly figure with the table of its numbers, shown so that a saved notebook reads anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.card import Table

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_MIME = "application/vnd.plotly.v1+json"
# not "responsive": JupyterLab's renderer resizes by itself, and with it a figure collapses when the theme is switched
_CONFIG = {"displayModeBar": False, "displaylogo": False}


@dataclass(frozen=True, repr=False)
class Chart:
    """What `plot()` gives: as the value of a cell it shows the figure and, below it, the table.

    The figure travels as Plotly's own JSON (a few kB, no script, no network), so JupyterLab and VS Code draw it and
    GitHub shows the table. Whatever renderer Plotly itself would choose plays no part.

    Attributes
    ----------
    figure : plotly.graph_objects.Figure
        Yours to change: ``chart.figure.update_layout(...)``.
    tables : sequence of Table
        The same numbers.
    below : Chart, optional
        A second picture of the same result, shown under the first.
    """

    title: str
    figure: go.Figure
    tables: Sequence[Table]
    below: Chart | None = None

    def __repr__(self) -> str:
        return "\n\n".join([self.title, *(t.text() for t in self.tables), *([repr(self.below)] if self.below else [])])

    def _repr_html_(self) -> str:
        return "".join(t.html() for t in self.tables) + (self.below._repr_html_() if self.below else "")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """All forms in one bundle, for front ends that take only one."""
        return {PLOTLY_MIME: self._plotly(), "text/html": self._repr_html_(), "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({PLOTLY_MIME: self._plotly(), "text/plain": f"[chart: {self.title}]"}, raw=True)
        tables = "\n\n".join(t.text() for t in self.tables)
        display({"text/html": "".join(t.html() for t in self.tables), "text/plain": tables}, raw=True)
        if self.below:
            self.below._ipython_display_()

    def _plotly(self) -> dict[str, Any]:
        return {**json.loads(self.figure.to_json()), "config": _CONFIG}
