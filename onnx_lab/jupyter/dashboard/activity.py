"""What a dashboard is doing now, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_lab.errors import OnnxLabError
from onnx_lab.jupyter._panel import span


@dataclass(frozen=True)
class Activity:
    """What is under way, in words; nothing where they are empty. Times are on the clock of ``time.monotonic``.

    Attributes
    ----------
    share : float or None
        How much of it is behind, 0 to 1; None where nobody knows.
    error : str
        What the last work ended with; `calm`: that is no mistake, somebody cancelled.
    more : str
        What it told last.
    since : float
        When it began.
    ends : float or None
        When it will be over, where that can be told.
    """

    words: str = ""
    share: float | None = None
    error: str = ""
    calm: bool = False
    more: str = ""
    since: float = 0.0
    ends: float | None = None

    @property
    def busy(self) -> bool:
        """Whether there is anything under way."""
        return bool(self.words)

    def far(self, now: float) -> str:
        """How far it is: what it told, and the time it has left, or has taken.

        Examples
        --------
        >>> Activity("asking m", more="batch 3 of 9", since=0, ends=20).far(8), Activity("exporting", since=0).far(8)
        ('batch 3 of 9 · 12 s left', '8 s')
        """
        took = now - self.since
        clock = f"{span(self.ends - now)} left" if self.ends is not None else span(took) if took >= 1 else ""
        return " · ".join(filter(None, [self.more, clock]))


def told(e: BaseException) -> str:
    """An error in one line: what came, and what to do."""
    if isinstance(e, OnnxLabError):
        return " ".join(filter(None, [e.came.rstrip(".") + ".", e.accepted and f"Accepted: {e.accepted}.", e.do]))
    return f"{type(e).__name__}: {e}"
