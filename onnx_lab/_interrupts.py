"""An interrupt of the cell waits for the few steps after which somebody will answer for what was begun."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Keep an interrupt (SIGINT) back until the block is over; then it is raised.

    Between the fork of a child and the line that notes who ends it, an interrupt would leave a process that nobody
    knows of: on a busy machine that takes tens of milliseconds. Keep the block as short as that. In any thread but
    the main one nothing is done: Python raises interrupts in the main thread alone.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, where one came within it; or whatever else the handler that was set raises.

    Examples
    --------
    >>> import signal
    >>> done = []
    >>> try:
    ...     with held_back():
    ...         signal.raise_signal(signal.SIGINT)
    ...         done.append("all of it")
    ... except KeyboardInterrupt:
    ...     done.append("then the interrupt")
    >>> done
    ['all of it', 'then the interrupt']
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # not here, or interrupts are ignored or end the process: nothing is left to answer
        return
    came: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[-1])
