"""The widget: three compressed parts of the graph go out, the selection comes back."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import traitlets as t
from anywidget import AnyWidget

from onnx_lab.jupyter._stays import STYLE
from onnx_lab.plots.graph.sheet import Sheet

_HERE = Path(__file__).parent
#: What is sent without being asked for; a part beyond it is sent group by group.
_MOST_BYTES = 700_000


class GraphWidget(AnyWidget):
    """The picture of a `Sheet`.

    Attributes
    ----------
    first, index, rest : bytes
        The parts of `Sheet`, as they become known: the view needs the first to show something.
    selected : list of int
        The box that is selected, or none.
    """

    # texts, not paths: anywidget would watch files for changes
    _esm = "\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("graph", "paint", "side", "view"))
    _css = STYLE % "olv" + (_HERE / "look.css").read_text(encoding="utf-8")
    title = t.Unicode("").tag(sync=True)
    height = t.Int(560).tag(sync=True)
    first = t.Bytes(b"").tag(sync=True)
    index = t.Bytes(b"").tag(sync=True)
    rest = t.Bytes(b"").tag(sync=True)
    selected = t.List(t.Int()).tag(sync=True)

    def __init__(self, sheet: Sheet, **traits: Any) -> None:
        super().__init__(title=sheet.flat.name, first=sheet.first(), **traits)
        self._sheet = sheet
        self._lock = threading.Lock()
        self.on_msg(self._asked)

    def send_the_rest(self) -> threading.Thread:
        """Send names and layouts beside what the kernel does; the thread, for who wants to wait."""
        thread = threading.Thread(target=self._send_the_rest, daemon=True, name="onnx_lab view")
        thread.start()
        return thread

    def _send_the_rest(self) -> None:
        with contextlib.suppress(Exception):  # a cell that is gone, a kernel that ends: nobody waits for it any more
            self.index = self._sheet.index()
            rest = self._sheet.rest()
            if len(self.index) + len(rest) <= _MOST_BYTES:
                self.rest = rest

    def _asked(self, _: Any, message: Any, __: Any) -> None:
        """A group or a node that the page does not know yet."""
        if not isinstance(message, dict):
            return
        group, node = message.get("group"), message.get("node")
        with self._lock:
            if isinstance(group, int):
                self.send({"group": group}, buffers=[self._sheet.group(group)])
            elif isinstance(node, int):
                self.send({"node": node}, buffers=[self._sheet.node(node)])
