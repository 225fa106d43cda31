"""How long a step has left, as far as its events tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Before that many seconds of one kind of work nobody can tell.
_LEAST_S = 1.0


class TimeLeft:
    """Hears the events of one step; times are on the clock of ``time.monotonic``.

    Examples
    --------
    >>> hear = TimeLeft().end
    >>> hear({"kind": "counting", "done": 2, "of": 10}, now=100)
    >>> hear({"kind": "counting", "done": 4, "of": 10}, now=106), hear({"kind": "round", "done": 12, "of": 60}, now=200)
    (124.0, 248.0)
    """

    def __init__(self) -> None:
        self._kind, self._began, self._before = "", 0.0, 0.0

    def end(self, event: Mapping[str, Any], now: float) -> float | None:
        """When it will be over, after an `event` that came `now`; None where nobody can tell.

        An event may count seconds itself; else each one left is expected to take as long as those that are done.
        """
        done = float(event.get("done", 0.0))
        if event["kind"] != self._kind:
            self._kind, self._began, self._before = event["kind"], now, done
        if "of" not in event or "done" not in event:
            return None
        left = event["of"] - done
        if self._kind == "round":
            return float(now + left)
        if done <= self._before or now - self._began < _LEAST_S:
            return None
        return float(now + left * (now - self._began) / (done - self._before))
