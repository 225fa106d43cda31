"""Stand-ins before what Python has once for a process: they ask at each call which thread calls.

Before sys.stdout and sys.stderr, warnings.showwarning, Logger.callHandlers and Thread.start. Of a thread that is held
back they keep what it says; for all others they do what was done before. `onnx_lab._by_thread` says when they stand.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import io

lock = threading.RLock()
innermost: ContextVar[Hold | None] = ContextVar("what is held back here", default=None)
#: The blocks that have not ended, of all threads.
live: set[Hold] = set()


@dataclass(eq=False)
class Hold:
    """One block that holds back what its thread, and threads that it starts, print, warn of and log.

    Attributes
    ----------
    stream, warnings : io.StringIO, list of warnings.WarningMessage
        Where it goes.
    loggers : tuple of str
        Names of the loggers that are meant, with all below them; ``"root"`` means every logger.
    """

    stream: io.StringIO
    warnings: list[warnings.WarningMessage]
    loggers: tuple[str, ...]
    outer: Hold | None = field(default_factory=lambda: next(around(), None))
    over: bool = False

    def __post_init__(self) -> None:
        self.handler = logging.StreamHandler(self.stream)

    def wants(self, logger: str) -> bool:
        """Whether what a logger of this name says is held back."""
        return "root" in self.loggers or any(logger == n or logger.startswith(f"{n}.") for n in self.loggers)


def around() -> Iterator[Hold]:
    """The blocks that this code runs in, from the innermost; a thread that outlives its block is in it no more."""
    hold = innermost.get() if live else None
    while hold is not None:
        if not hold.over:
            yield hold
        hold = hold.outer


class _Stream:
    """Before sys.stdout or sys.stderr: each attribute is that of the stream which the calling thread writes to."""

    def __init__(self, name: str, before: Any) -> None:
        object.__setattr__(self, "stood_name", name)
        object.__setattr__(self, "stood_before", before)

    def write(self, text: str) -> Any:
        # not by __getattr__ alone: who keeps the bound method would keep one thread's stream
        return _stream_of(self).write(text)

    def flush(self) -> Any:
        return _stream_of(self).flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(_stream_of(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        # IPython wraps the `write` of sys.stdout for each cell: what calls it here must not lie behind it as well
        if name in ("write", "flush"):
            object.__setattr__(self, name, value)
        else:
            setattr(_stream_of(self), name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # for who asks by isinstance
        return type(_stream_of(self))


def _stream_of(stand_in: _Stream) -> Any:
    hold = next(around(), None)
    if hold is not None:
        return hold.stream
    _leave_when_forgotten(sys, stand_in.stood_name, stand_in)
    return stand_in.stood_before


#: Taken up again, and kept alive: ``print`` only borrows sys.stdout, and a thread may be in it when a block ends.
_recent: deque[_Stream] = deque(maxlen=8)


def _stream(name: str, before: Any) -> _Stream:
    for stream in _recent:
        if stream.stood_name == name and stream.stood_before is before:
            return stream
    _recent.append(_Stream(name, before))
    return _recent[-1]


def _showwarning(before: Callable[..., None]) -> Callable[..., None]:
    def showwarning(*what: Any, **more: Any) -> None:
        hold = next(around(), None)
        if hold is not None:
            hold.warnings.append(warnings.WarningMessage(*what, **more))
            return
        _leave_when_forgotten(warnings, "showwarning", showwarning)
        before(*what, **more)

    return showwarning


def _call_handlers(before: Callable[..., None]) -> Callable[..., None]:
    def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: N802
        for hold in around():
            if hold.wants(self.name):
                hold.handler.handle(record)
                return
        before(self, record)

    return callHandlers


def _start(before: Callable[..., None]) -> Callable[..., None]:
    def start(self: threading.Thread) -> None:
        hold = next(around(), None)
        if hold is not None:  # a new thread starts with an empty context
            run = self.run

            def inside() -> None:
                del self.run
                innermost.set(hold)
                run()

            self.run = inside  # type: ignore[method-assign]
        before(self)

    return start


_PLACES: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (sys, "stdout", functools.partial(_stream, "stdout")),
    (sys, "stderr", functools.partial(_stream, "stderr")),
    (warnings, "showwarning", _showwarning),
    (logging.Logger, "callHandlers", _call_handlers),
    (threading.Thread, "start", _start),
)


def _before(thing: Any) -> Any:
    """What a stand-in stands before; None for anything else."""
    if type(thing) is _Stream:
        return thing.stood_before
    return getattr(thing, "__dict__", {}).get("stood_before")


def _leave_when_forgotten(owner: Any, name: str, stand_in: Any) -> None:
    """Who saved a stand-in and put it back after the last block (``%%capture``) left it there for good."""
    if not live:
        with lock:
            if not live and getattr(owner, name) is stand_in:
                setattr(owner, name, _before(stand_in))


def put_up() -> None:
    """Stand before whatever is there now, also where somebody else has put his own since the last time."""
    for owner, name, make in _PLACES:
        now = getattr(owner, name)
        if now is not None and _before(now) is None:
            stand_in = make(now)
            if type(stand_in) is not _Stream:
                stand_in.stood_before = now
            setattr(owner, name, stand_in)


def take_down() -> None:
    """Leave, and nothing but what was there before is there; what somebody else has put there since stays."""
    for owner, name, _ in _PLACES:
        if (before := _before(getattr(owner, name))) is not None:
            setattr(owner, name, before)
