"""What is seen while a magic works: one display, rewritten in place, that ends as one quiet line.

It goes through a display id and nothing else, so it works in every front end, never lands in another cell, and what
a saved notebook keeps is the last line. Updates are rare on purpose: they cost CPU time next to a measurement.
"""

from __future__ import annotations

import contextvars
import threading
import time
from html import escape
from types import TracebackType
from typing import Any

from onnx_lab.card import DIM
from onnx_lab.errors import Stopped
from onnx_lab.jupyter import _panel

#: Nothing is shown for work shorter than this.
PATIENCE_SECONDS = 1.0
#: At most five updates a second; without news, one.
_SHORTEST_GAP = 0.2
_HEARTBEAT_SECONDS = 1.0


class Live:
    """The live display of one magic call; a context manager around the work.

    Parameters
    ----------
    shell : InteractiveShell
    title : str
        What is being done: ``"exporting net"``.
    silent : bool
        Show nothing at all.
    """

    def __init__(self, shell: Any, title: str, *, silent: bool = False) -> None:
        self._shell, self._title = shell, title
        # a terminal cannot rewrite what it printed
        self._active = not silent and getattr(shell, "kernel", None) is not None
        self._lock = threading.Lock()
        self._handle: Any = None
        self._started = self._drawn = 0.0
        self._over = threading.Event()
        self._event: Any = None

    def progress(self, event: Any) -> None:
        """Take news of the work; draws it unless the last drawing was a moment ago."""
        self._event = None if event["kind"] == "end" else event
        if self._active and self._event and time.monotonic() - self._drawn >= _SHORTEST_GAP:
            self._draw()

    def __enter__(self) -> Live:
        self._started = time.monotonic()
        if self._active:
            # the context carries the running cell's identity, by which its output finds the cell
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(self._heartbeat,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        stopped = isinstance(e, KeyboardInterrupt)
        with self._lock:
            if self._handle is not None:
                word = "stopped after" if stopped else "failed after" if e else "done in"
                self._show(*_line(f"{self._title}: {word} {self._elapsed()}"))
        if stopped:
            raise Stopped("interrupted; nothing half-done is left behind", do="run the cell again") from e

    def _heartbeat(self) -> None:
        wait = PATIENCE_SECONDS
        while not self._over.wait(wait):
            if time.monotonic() - self._drawn >= _HEARTBEAT_SECONDS:
                self._draw()
            wait = _HEARTBEAT_SECONDS

    def _draw(self) -> None:
        with self._lock:
            if not self._over.is_set():
                self._drawn = time.monotonic()
                self._show(*self._content())

    def _content(self) -> tuple[str, str]:
        if self._event is not None:
            return _panel.render(self._title, self._event)
        return _line(f"{self._title} … {self._elapsed()}")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started:.0f} s"

    def _show(self, html: str, text: str) -> None:
        from IPython.display import display

        data = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _line(text: str) -> tuple[str, str]:
    return f"<div role='status' style='color:{DIM};font-size:12px'>{escape(text)}</div>", text
