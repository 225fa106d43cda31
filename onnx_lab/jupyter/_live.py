"""What is seen while a step works: one place, rewritten, that ends as one quiet line or as a snapshot.

It goes through a display id and nothing else, so it works in every front end, never lands in another cell, and what
a saved notebook keeps is what came last. Updates are rare on purpose: they cost CPU time next to a measurement.
"""

from __future__ import annotations

import contextvars
import re
import threading
import time
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import Any

from onnx_lab.card import DIM
from onnx_lab.errors import Stopped
from onnx_lab.jupyter import _panel
from onnx_lab.jupyter._left import TimeLeft
from onnx_lab.jupyter._place import Place

#: Nothing is shown for work shorter than this.
PATIENCE_SECONDS = 1.0
#: At most five updates a second, and fewer when they are large; without news, one.
_SHORTEST_GAP = 0.2
_BYTES_PER_SECOND = 25_000
_HEARTBEAT_SECONDS = 1.0
_LONGEST_LINE = 120
#: Events of work that may be over in a moment; those of a benchmark or a search are shown at once.
_OFTEN_SHORT = ("counting", "step")


class Live:
    """The live display of one step; a context manager around the work, or `open` and `close`.

    Parameters
    ----------
    shell : InteractiveShell
    title : str
        What is being done: ``"exporting net"``.
    silent : bool
        Show nothing at all.
    foot : str
        The last line of the panel: how to end it.
    place : Place, optional
        Where to show it. Default: a new one in the cell that runs now.
    """

    def __init__(
        self, shell: Any, title: str, *, silent: bool = False, foot: str = "", place: Place | None = None
    ) -> None:
        self._title, self._foot = title, foot
        # a terminal cannot rewrite what it printed
        self._active = not silent and getattr(shell, "kernel", None) is not None
        self._lock = threading.Lock()
        self.place = place or Place(shell)
        self._started = self._drawn = 0.0
        self._weight = 0
        self._over = threading.Event()
        self._event: Any = None
        self._left = TimeLeft()
        self._ends: float | None = None
        self.note = ""  #: where it works, when that is worth saying
        self.printed: Callable[[], str] = str  #: what it printed; its last line is shown where nothing else is known

    def progress(self, event: Any) -> None:
        """Take news of the work; draws it unless the last drawing was a moment ago."""
        if event["kind"] == "end":
            self._event = None
            return
        now = time.monotonic()
        self._event, self._ends = event, self._left.end(event, now)
        if event["kind"] in _OFTEN_SHORT and not self.place.shown and now - self._started < PATIENCE_SECONDS:
            return
        if self._active and now - self._drawn >= max(_SHORTEST_GAP, self._weight / _BYTES_PER_SECOND):
            self._draw()

    def open(self, *, at_once: bool = False) -> None:
        """Begin to show; `at_once`: from this thread, and not only when the work turns out to be long."""
        self._started = time.monotonic()
        if self._active:
            if at_once:
                self._draw()
            # for kernels whose output finds its cell by the context
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(self._heartbeat,), daemon=True).start()

    def close(self, html: str, text: str) -> None:
        """Put what stays in the place of the panel; where nothing was shown, nothing is."""
        self._over.set()
        with self._lock:
            if self.place.shown:
                self.place.end({"text/html": html, "text/plain": text})

    def __enter__(self) -> Live:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        stopped = isinstance(e, KeyboardInterrupt)
        word = "stopped after" if stopped else "failed after" if e else "done in"
        more = f" ({self.note})" if self.note and not e else ""
        self.close(*quiet_line(f"{self._title}: {word} {self._elapsed()}{more}"))
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
            event, left = self._event, None if self._ends is None else self._ends - time.monotonic()
            if "of" not in event and "state" in event:
                event = {**event, "state": f"{event['state']} · {self._elapsed()}"}
            return _panel.render(self._title, event, left_s=left, foot=self._foot, note=self.note)
        said = last_line(self.printed())
        if self._foot:
            return _panel.render(self._title, {"state": self._elapsed()}, foot=self._foot, note=self.note or said)
        return quiet_line(" · ".join(filter(None, [f"{self._title} … {self._elapsed()}", said])))

    def _elapsed(self) -> str:
        return _panel.span(time.monotonic() - self._started)

    def _show(self, html: str, text: str) -> None:
        self._weight = len(html)
        self.place.show({"text/html": html, "text/plain": text})


def last_line(printed: str) -> str:
    r"""The line that somebody at a terminal would see last.

    Examples
    --------
    >>> last_line("a warning\nFetching:  10%\rFetching:  20%\r\n")
    'Fetching:  20%'
    """
    lines = [line.strip() for line in re.split(r"[\r\n]", printed[-4000:]) if line.strip()]
    return lines[-1][:_LONGEST_LINE] if lines else ""


def quiet_line(text: str) -> tuple[str, str]:
    """One dim line, as HTML and as text."""
    return f"<div role='status' style='color:{DIM};font-size:12px'>{escape(text)}</div>", text
