"""Plain Python shown in a notebook: highlighted for the eye, plain for copying."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from onnx_lab.card import LINE

# JupyterLab's own editor colours, so that the snippet looks like a cell in either theme
_COLOURS = {
    "Keyword": "var(--jp-mirror-editor-keyword-color,#238b57)",
    "Literal.String": "var(--jp-mirror-editor-string-color,#d24b5d)",
    "Literal.Number": "var(--jp-mirror-editor-number-color,#237ec7)",
    "Comment": "var(--jp-mirror-editor-comment-color,#737982)",
    "Operator": "var(--jp-mirror-editor-operator-color,#a35eba)",
}


@dataclass(frozen=True, repr=False)
class Code:
    """Source text that shows itself; ``str(code)`` is the text."""

    source: str

    def __str__(self) -> str:
        return self.source

    def __repr__(self) -> str:
        return self.source

    def _repr_html_(self) -> str:
        return (
            f"<pre class='onnx-lab-code' style='display:inline-block;box-sizing:border-box;max-width:100%;"
            f"overflow-x:auto;border:1px solid {LINE};border-radius:6px;padding:10px 16px;margin:2px 0;"
            f"line-height:1.45;font-size:13px;white-space:pre;"
            f"background:transparent'>{_highlighted(self.source)}</pre>"
        )


def _highlighted(source: str) -> str:
    try:  # IPython brings pygments; without it the text is as good, only paler
        from pygments.lexers import PythonLexer
    except ImportError:
        return escape(source)
    out = []
    for kind, text in PythonLexer(stripnl=False).get_tokens(source):
        name = str(kind).removeprefix("Token.")
        colour = next((c for k, c in _COLOURS.items() if name.startswith(k)), None)
        out.append(f"<span style='color:{colour}'>{escape(text)}</span>" if colour else escape(text))
    return "".join(out).rstrip("\n")
