"""Small pieces of the page: headings, magic lines, controls with names that a screen reader says."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as w


def heading(text: str, hint: str = "") -> w.HTML:
    """The title of a part; real headings, so that a screen reader finds its way."""
    more = f" <span class='ol-dim'>{escape(hint)}</span>" if hint else ""
    return w.HTML(f"<h3 class='ol-h'>{escape(text)}{more}</h3>")


def code_html(lines: str) -> str:
    """Magic lines, to be read and copied."""
    return f"<pre class='ol-code'>{escape(lines)}</pre>" if lines else ""


def magic() -> w.HTML:
    """A place for the magic line that a control stands for."""
    return _classed(w.HTML(), "ol-magic")


def button(text: str, name: str, *, icon: str = "", style: str = "") -> w.Button:
    """A button with an accessible name (`name`), which is its tooltip too."""
    made = w.Button(description=text, tooltip=name, icon=icon, button_style=style)
    return _classed(made, "ol-icon" if not text else "ol-button")


def labelled(kind: Any, label: str, *, tip: str = "", wide: str = "7em", **options: Any) -> Any:
    """A control with its label."""
    made = kind(description=label, tooltip=tip or label, style={"description_width": wide}, **options)
    return _classed(made, "ol-field")


def box(*children: Any, name: str = "", kind: Any = w.Box) -> Any:
    """Widgets in a box of a class of our own."""
    return _classed(kind(list(children)), *(f"ol-{n}" for n in name.split()))


def number_or_none(text: str, what: str) -> float | None:
    """A number above zero from a text field, None when it is empty.

    Raises
    ------
    BadInput
    """
    from onnx_lab.errors import BadInput

    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadInput(f"{what} {text!r}", accepted="a number, or nothing") from None
    if not value >= 0:
        raise BadInput(f"{what} {text!r}", accepted="0 or more")
    return value


def pairs(values: Sequence[str], none: str = "") -> list[tuple[str, str]]:
    """Options of a Dropdown: each text for itself, and what stands for none first."""
    return [*([(none, "")] if none else []), *((v, v) for v in values)]


def plain(value: float | None) -> str:
    """A number as one would type it."""
    return "" if value is None else f"{value:g}"


def _classed(widget: Any, *names: str) -> Any:
    for name in names:
        widget.add_class(name)
    return widget
