"""When widgets are redrawn: soon after news, at most five times a second, with no more bytes than a wire likes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds between two drawings.
SHORTEST_GAP = 0.2
#: What drawing by itself may send. A benchmark of a minute stays below 2 MB with what its controls send.
BYTES_PER_SECOND = 24_000


class Pace:
    """Calls `draw` after news, from a thread that lives as long as there is any.

    Parameters
    ----------
    draw : callable
        Draws what changed, and returns about how many bytes that sent.
    """

    def __init__(self, draw: Callable[[], int]) -> None:
        self._draw = draw
        self._news = threading.Condition()
        self._wanted = self._urgent = self._alive = False
        self._last, self._sent, self._gap = 0.0, 0.0, SHORTEST_GAP

    def ask(self, *, urgent: bool = False) -> None:
        """There is news. `urgent`: a person waits for it, so bytes do not count."""
        with self._news:
            self._wanted, self._urgent = True, self._urgent or urgent
            if self._alive:
                self._news.notify()
                return
            self._alive = True
        threading.Thread(target=self._work, daemon=True, name="onnx_lab redraw").start()

    def settle(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything is drawn."""
        end = time.monotonic() + timeout_s
        with self._news:
            while self._alive and time.monotonic() < end:
                self._news.wait(0.05)
            return not self._alive

    def _work(self) -> None:
        while self._turn():
            started = time.monotonic()
            size = self._draw()
            self._last = started
            self._sent = started if size else self._sent
            self._gap = max(SHORTEST_GAP, size / BYTES_PER_SECOND)

    def _turn(self) -> bool:
        """Wait until it is time; False when there is nothing left to draw."""
        with self._news:
            if not self._wanted:
                self._alive = False
                self._news.notify_all()
                return False
            while (left := self._due() - time.monotonic()) > 0:
                self._news.wait(left)
            self._wanted = self._urgent = False
            return True

    def _due(self) -> float:
        """A person's click need not wait for a drawing that found nothing to send."""
        return self._sent + SHORTEST_GAP if self._urgent else self._last + self._gap
