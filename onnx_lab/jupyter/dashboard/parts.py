"""Small pieces of the page: headings, magic lines, controls with names that a screen reader says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w

_HERE = Path(__file__).parent


class Kit:
    """Makes the controls of one dashboard.

    A widget is a message of a kilobyte, and so is its layout, its style and each class that is added later: here
    layouts and styles are shared, and classes are there from the start.
    """

    def __init__(self) -> None:
        self._layout = w.Layout()
        self._styles: dict[str, Any] = {}

    def make(self, kind: Any, *classes: str, **options: Any) -> Any:
        """A widget of `kind` with these classes of our style sheet (without their ``ol-``)."""
        if "style" not in options and "style" in kind.class_trait_names():
            name = kind.__name__
            if name in self._styles:
                options["style"] = self._styles[name]
        names = tuple(f"ol-{c}" for c in classes)
        made = kind(layout=self._layout, _dom_classes=names, **options)
        if hasattr(made, "style"):
            self._styles.setdefault(kind.__name__, made.style)
        return made

    def html(self, value: str = "", *classes: str) -> Any:
        """HTML."""
        return self.make(w.HTML, *classes, value=value)

    def heading(self, text: str, hint: str = "") -> Any:
        """The title of a part; real headings, so that a screen reader finds its way."""
        more = f" <span class='ol-dim'>{escape(hint)}</span>" if hint else ""
        return self.html(f"<h3 class='ol-h'>{escape(text)}{more}</h3>")

    def magic(self, line: str = "") -> Any:
        """The magic line that a control stands for."""
        return self.html(code_html(line), "magic")

    def button(self, text: str, name: str, *, icon: str = "", style: str = "") -> Any:
        """A button with an accessible name (`name`), which is its tooltip too."""
        kind = "button" if text else "icon"
        return self.make(w.Button, kind, description=text, tooltip=name, icon=icon, button_style=style)

    def toggle(self, text: str, name: str, *, icon: str = "") -> Any:
        """A button that stays down."""
        return self.make(w.ToggleButton, "button", description=text, tooltip=name, icon=icon)

    def field(self, kind: Any, label: str, *classes: str, tip: str = "", **options: Any) -> Any:
        """A control with its label."""
        return self.make(kind, "field", *classes, description=label, tooltip=tip or label, **options)

    def row(self, *children: Any, name: str = "") -> Any:
        """Widgets beside each other, of classes of our own."""
        return self.make(w.Box, *name.split(), children=list(children))

    def column(self, *children: Any, name: str = "") -> Any:
        """Widgets below each other."""
        return self.row(*children, name=f"column {name}")


def script(name: str) -> str:
    """The JavaScript of a widget of ours, as text: of a path, anywidget would watch the file for changes."""
    return "\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("dom", name))


def code_html(lines: str) -> str:
    """Magic lines, to be read and copied."""
    words = re.sub(r"--[\w-]+", r"<span class='ol-word'>\g<0></span>", escape(lines))  # a page breaks lines at hyphens
    return f"<pre class='ol-code'>{words}</pre>" if lines else ""


def show(widget: Any, visible: bool) -> None:
    """Hide a widget or show it, by a class: layouts are shared."""
    hidden = "ol-hidden" in widget._dom_classes
    if visible and hidden:
        widget.remove_class("ol-hidden")
    elif not visible and not hidden:
        widget.add_class("ol-hidden")


def pairs(values: Sequence[str], none: str = "") -> list[tuple[str, str]]:
    """Options of a Dropdown: each text for itself, and what stands for none first."""
    return [*([(none, "")] if none else []), *((v, v) for v in values)]
