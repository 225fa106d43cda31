"""Who has the machine: one measurement at a time, since two at once would measure each other, and whoever asked to
wait for that too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from onnx_lab import workspace
from onnx_lab._progress import tell

_LOOK_SECONDS = 0.2
#: A step that has its turn may measure inside: the thread that holds the lock does not wait for itself.
_mine = threading.local()


@contextlib.contextmanager
def measuring(on_wait: Callable[[float, str], None]) -> Iterator[float | None]:
    """Hold the workspace's measuring lock; the kernel frees it when this process ends, however it ends.

    A thread that holds it already goes on at once.

    Parameters
    ----------
    on_wait : callable
        Called again and again while another process holds it, with the seconds waited and who holds the lock.

    Yields
    ------
    float or None
        Seconds waited; None when the workspace cannot be written and nothing is held.
    """
    if getattr(_mine, "held", False):
        yield 0.0
        return
    path = workspace.root() / "measuring.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield None
        return
    try:
        waited = _acquire(fd, path, on_wait)
        os.ftruncate(fd, 0)
        os.pwrite(fd, workspace.who_works().encode(), 0)
        _mine.held = True
        yield waited
    finally:
        _mine.held = False
        os.close(fd)  # frees the lock


def waiting(seconds: float, holder: str) -> None:
    """An `on_wait` for steps without a progress of their own."""
    tell({"kind": "waiting", "seconds": seconds, "for": holder})


def _acquire(fd: int, path: Path, on_wait: Callable[[float, str], None]) -> float:
    start = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait(time.monotonic() - start, _holder(path))
            time.sleep(_LOOK_SECONDS)
        else:
            return time.monotonic() - start


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text() or "another process"
    return "another process"
