"""What every part of the dashboard works at: the store, the sources, the conductor, and one way to hear a control."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from onnx_lab.jupyter.dashboard.activity import told
from onnx_lab.jupyter.dashboard.conductor import Conductor
from onnx_lab.jupyter.dashboard.parts import Kit, code_html
from onnx_lab.jupyter.dashboard.sources import Sources
from onnx_lab.jupyter.dashboard.state import State
from onnx_lab.jupyter.dashboard.store import Store

#: What the lines call a dashboard that nobody gave a name.
_NAME = "board"


class Desk:
    """Shared by the parts of one dashboard.

    Callbacks may run in the main thread or in another, before or after the cell that is running (which one depends on
    the kernel's version): they are short, one at a time, and what goes wrong in them is said and not swallowed.
    """

    def __init__(self, store: Store, sources: Sources, conductor: Conductor) -> None:
        self.store, self.sources, self.conductor = store, sources, conductor
        self.kit = Kit()
        self.said, self.went_wrong = "", False
        self.own_name: Callable[[], str] = lambda: _NAME
        self.feeds: list[str] = []
        self._name = _NAME
        self.providers: tuple[tuple[str, bool, str], ...] = ()
        self.redraw: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._drawing = threading.local()

    def heard(self, work: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback for a widget that does `work`; deaf to what drawing itself changes."""

        def callback(event: Any) -> None:
            if getattr(self._drawing, "now", False):
                return
            with self._lock:
                self.said = ""
                try:
                    work(event)
                except Exception as e:
                    self.said, self.went_wrong = told(e), True
            self.redraw()

        return callback

    def choose(self, how: Callable[[State], State]) -> None:
        """What a person did, for a callback; the error of the last work is no news after it."""
        self.conductor.forget()
        self.store.change(how)

    def say(self, words: str, *, wrong: bool = False) -> None:
        """Put words into the status line."""
        self.said, self.went_wrong = words, wrong
        self.redraw()

    def look(self, source: str) -> None:
        """What the notebook has now, for drawing; a cell may have made new things. While a job works nobody looks."""
        if not self.conductor.activity.busy:
            self._name, self.feeds = self.own_name(), self.sources.feeds(source)

    def words(self, line: str) -> str:
        """A magic line with the name that this dashboard has in the notebook."""
        return line.replace(f"{{{_NAME}.", f"{{{self._name}.")

    def code(self, lines: str) -> str:
        """Magic lines as HTML."""
        return code_html(self.words(lines))

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Controls that are set inside are set by us, and not by a person."""
        self._drawing.now = True
        try:
            yield
        finally:
            self._drawing.now = False


def put(widget: Any, **values: Any) -> int:
    """Set what differs; return about how many bytes that sends."""
    sent = 0
    for name, value in values.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)
            sent += 900 + len(str(value))
    return sent
