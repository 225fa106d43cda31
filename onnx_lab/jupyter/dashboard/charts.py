"""Three charts of the variants, each a plain Plotly figure in an Output, redrawn only when it changed."""

from __future__ import annotations

import json
import time
from typing import Any

import ipywidgets as w

from onnx_lab.jupyter.dashboard.parts import Kit
from onnx_lab.jupyter.dashboard.state import State

#: While a benchmark runs the table tells every change; figures follow this often, in seconds.
_PATIENCE = 3.0


class Charts:
    """Size, latency and the front, with the selected variant picked out.

    Attributes
    ----------
    outputs : dict of str to ipywidgets.Output
        They come with the first figures: the page is there sooner without them.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.outputs: dict[str, Any] = {}
        self.widget = kit.row(name="charts")
        self._shown: dict[str, Any] = {}
        self._selected, self._at = "", 0.0

    def draw(self, state: State, *, busy: bool) -> int:
        """Redraw what changed; return about how many bytes that sent. A person's choice is drawn at once."""
        if not any(v.size_bytes for v in state.variants):
            return self._clear()
        now = time.monotonic()
        if busy and state.selected == self._selected and now - self._at < _PATIENCE:
            return 0
        self._selected, self._at = state.selected, now
        if not self.outputs:
            self.outputs = {name: self._kit.make(w.Output, "chart") for name in ("size", "latency", "front")}
            self.widget.children = list(self.outputs.values())
        return sum(self._draw(name, state) for name in self.outputs)

    def _draw(self, name: str, state: State) -> int:
        key = _key(name, state)
        if self._shown.get(name) == key:
            return 0
        self._shown[name] = key
        chart = _chart(name, state)
        if chart is None:
            return self._put(name, ())
        bundle = chart._repr_mimebundle_()
        # set as a whole: unlike `with output:` this works from any thread and never lands in another cell
        output = {"output_type": "display_data", "data": bundle, "metadata": {}}
        return self._put(name, (output,))

    def _put(self, name: str, outputs: tuple[Any, ...]) -> int:
        self.outputs[name].outputs = outputs
        return 900 + len(json.dumps(outputs))

    def _clear(self) -> int:
        known = list(self._shown)
        self._shown.clear()
        return sum(self._put(name, ()) for name in known)


def _chart(name: str, state: State) -> Any:
    from onnx_lab.plots import _variants

    rows = [v for v in state.variants if v.size_bytes and (name == "size" or v.p50)]
    if not rows:
        return None
    if name == "front":
        return _variants.front(rows, state.selected, max_ms=state.budget.ms, max_mb=state.budget.mb)
    draw = {"size": _variants.size_bars, "latency": _variants.latency_bars}[name]
    return draw(rows, state.selected)


def _key(name: str, state: State) -> Any:
    """What a chart shows: it is redrawn when this changes."""
    budget = (state.budget.ms, state.budget.mb) if name == "front" else ()
    fields = {
        "size": ("id", "name", "size_bytes", "taken"),
        "latency": ("id", "name", "p50", "low", "high", "taken"),
        "front": ("id", "name", "size_bytes", "p50", "accuracy", "cosine", "qualifies", "taken"),
    }[name]
    return [state.selected, budget, [[getattr(v, f) for f in fields] for v in state.variants]]
