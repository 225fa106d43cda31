"""The place of a live panel that a reload of the page brings back."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from onnx_lab.card import DIM
from onnx_lab.jupyter._place import Place


class LivePlace(Place):
    """While a job works, its panel is a widget; at the end, plain HTML.

    A reloaded page has the outputs as they were last saved, and no rewriting of them reaches it: only widgets come
    back, with what they hold now. And a widget dies with its kernel, so what stays is no widget. A page that was
    reloaded in between shows the end in the widget, and how to keep it. Without ipywidgets it is a `Place` like others.

    Parameters
    ----------
    shell : InteractiveShell
    keep : str
        Code whose value is what should stay.
    """

    def __init__(self, shell: Any, keep: str = "") -> None:
        super().__init__(shell)
        self._widget: Any = None
        self._keep = keep

    def show(self, data: Mapping[str, Any]) -> None:
        """Show a bundle in place of what was there, as news of work that goes on."""
        if self._widget is not None:
            self._widget.value = _fitted(data["text/html"])
            return
        self._widget = _html_widget(data["text/html"])
        bundle = dict(self._widget._repr_mimebundle_() or {}) if self._widget is not None else {}
        super().show({**bundle, **data})

    def end(self, data: Mapping[str, Any]) -> None:
        """Show what stays."""
        if self._widget is not None:
            # kept open: only a page that was reloaded still shows it
            self._widget.value = _fitted(data["text/html"] + self._how_to_keep())
        super().show(data)

    def _how_to_keep(self) -> str:
        words = (
            f"This page was reloaded meanwhile. To keep this in the notebook, run <code>{escape(self._keep)}</code>."
        )
        return f"<div style='color:{DIM};font-size:12px'>{words}</div>" if self._keep else ""


def _html_widget(html: str) -> Any:
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets.HTML(_fitted(html), layout={"margin": "0"})


def _fitted(html: str) -> str:
    """As wide as the widget: a table in one would make it wider than the page, and be cut off."""
    return f"<div style='width:0;min-width:100%'>{html}</div>"
