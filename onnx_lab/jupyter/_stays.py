"""The second output of a widget: what is left in a saved notebook, in plain HTML and on GitHub."""

from __future__ import annotations

from html import escape
from typing import Any

_WIDGET = "application/vnd.jupyter.widget-view+json"

#: Style of a page that shows the live widget, whose outermost element has the class `%s`: what stands below it for
#: later is not seen beside it. It goes with the widget, so a page that has none shows what was saved.
STYLE = ".jp-OutputArea:has(> .jp-OutputArea-child .%s) > .jp-OutputArea-child:has(.ol-saved) { display: none; }\n"


def view_of(widget: Any) -> dict[str, Any]:
    """The part of a bundle that shows a widget while its kernel lives."""
    return {_WIDGET: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


def live(title: str) -> str:
    """What stands in the place of the widget where none can be shown.

    Examples
    --------
    >>> live("graph of net")
    'graph of net: live where the kernel runs, else as it stands below'
    """
    return f"{title}: live where the kernel runs, else as it stands below"


def saved(title: str, html: str) -> str:
    """Open, and a person may fold it.

    Examples
    --------
    >>> print(saved("net", "<p>6 nodes</p>"))
    <details class='ol-saved' open><summary>net, as it is saved in this notebook</summary><p>6 nodes</p></details>
    """
    words = f"{escape(title)}, as it is saved in this notebook"
    return f"<details class='ol-saved' open><summary>{words}</summary>{html}</details>"
