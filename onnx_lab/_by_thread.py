"""What Python has once for a process (sys.stdout, warnings, loggers), told apart by the thread that uses it.

While a block holds back what its thread says, stand-ins lie before sys.stdout, sys.stderr, warnings.showwarning,
Logger.callHandlers and Thread.start. They ask at each call who calls: of a thread that is held back they keep what
it says, for all others they do what was done before. The first block puts them there, the last one takes them away,
in whichever order blocks of several threads begin and end.

Two things stay process-wide. Filters of warnings and handlers of the named loggers that anybody sets meanwhile are
undone when the last block ends, for libraries set them on import. And who puts a stream of its own in place of
sys.stdout meanwhile, as ``%%capture`` does, hears all threads, those held back too.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from onnx_lab._stand_ins import Hold, around, innermost, live, lock, put_up, take_down


@contextlib.contextmanager
def held(hold: Hold) -> Iterator[None]:
    """Hold back what this thread says until the block ends.

    Examples
    --------
    >>> import io
    >>> hold = Hold(io.StringIO(), [], ())
    >>> with held(hold):
    ...     print("not seen")
    >>> hold.stream.getvalue()
    'not seen\\n'
    """
    before = None
    try:  # an interrupt may come at any line: each step back does no harm where its step forth was not made
        with lock:
            live.add(hold)
            put_up()
            _hear_all_warnings()
            _keep_handlers()
        before = innermost.set(hold)
        yield
    finally:
        hold.over = True
        with lock:
            live.discard(hold)
            _give_handlers_back()
            if not live:
                take_down()
                _give_filters_back()
        if before is not None:
            with contextlib.suppress(ValueError):  # a generator that is closed from elsewhere
                innermost.reset(before)


# -- filters of warnings ------------------------------------------------------------------------------------------

_filters: list[tuple[list[Any], list[Any]]] = []


class _ByThread(type):
    def __subclasscheck__(cls, category: type) -> bool:
        return next(around(), None) is not None


class _OfHeld(Warning, metaclass=_ByThread):
    """Every warning of a thread that is held back, and none of another: filters are asked by issubclass."""


def _hear_all_warnings() -> None:
    now: Any = warnings.filters
    if not any(now is f for f, _ in _filters):
        _filters.append((now, _without_ours(now)))
    warnings.simplefilter("always", _OfHeld)


def _give_filters_back() -> None:
    if not _filters:  # an interrupt came before them
        return
    now: Any = warnings.filters
    first, before = _filters[0]
    for filters in [now, *(f for f, _ in _filters)]:  # of somebody's catch_warnings: he undoes his own
        filters[:] = before if filters is first else _without_ours(filters)
    _filters.clear()


def _without_ours(filters: list[Any]) -> list[Any]:
    return [f for f in filters if f[2] is not _OfHeld]


# -- handlers of the named loggers --------------------------------------------------------------------------------

_kept: dict[str, tuple[logging.Logger, list[logging.Handler], bool]] = {}


def _keep_handlers() -> None:
    for name in _wanted() - set(_kept):
        logger = logging.getLogger(name)
        _kept[name] = logger, logger.handlers, logger.propagate
        logger.handlers = logger.handlers[:]  # what is added meanwhile goes with the copy


def _give_handlers_back() -> None:
    for name in set(_kept) - _wanted():
        logger, handlers, propagate = _kept.pop(name)
        logger.handlers, logger.propagate = handlers, propagate


def _wanted() -> set[str]:
    """The loggers that a block names and all below them that exist: some hang handlers of their own on inner ones."""
    named = {n for hold in tuple(live) for n in hold.loggers}
    below = tuple(f"{n}." for n in named)
    known = list(logging.root.manager.loggerDict)  # at once: another thread may add to it
    return named | {n for n in known if n.startswith(below)}
