"""Reading and writing the worker's pipes with a deadline, and noticing its death while waiting."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

#: How often a waiting parent looks whether its child still lives.
_LOOK_SECONDS = 1.0


class Deadline(Exception):
    """The child did not answer in time."""


class Pipe:
    """One end of a pipe to the child: `read`, `readline` and `write` under a deadline.

    Parameters
    ----------
    fd : int
        A file descriptor; it is made non-blocking.
    while_waiting : callable
        Called about once a second while nothing comes.
    """

    def __init__(self, fd: int, while_waiting: Callable[[], None]) -> None:
        os.set_blocking(fd, False)
        self._fd, self._while_waiting = fd, while_waiting
        self._buffer = bytearray()
        self.deadline = float("inf")  #: on the clock of ``time.monotonic``

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`. Raises Deadline, or BrokenPipeError when the child is gone."""
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT)
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                continue

    def read(self, n: int = -1, /) -> bytearray:
        """Exactly `n` bytes, fewer when the child closed the pipe."""
        while len(self._buffer) < n and self._fill(n - len(self._buffer)):
            pass
        taken = self._buffer[:n]
        del self._buffer[:n]
        return taken

    def readline(self, limit: int = -1, /) -> bytes:
        """A line with its end; what is there when the child closed the pipe or the line is longer than `limit`."""
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if 0 <= limit <= seen or not self._fill(1 << 16):
                end = seen - 1
                break
        return bytes(self.read(end + 1))

    def _fill(self, want: int) -> bool:
        self._wait(select.POLLIN)
        try:
            data = os.read(self._fd, max(want, 1 << 16))
        except BlockingIOError:
            return True
        self._buffer += data
        return bool(data)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._fd, event)
        while not poll.poll(max(0.0, min(_LOOK_SECONDS, self.deadline - time.monotonic())) * 1e3):
            if time.monotonic() >= self.deadline:
                raise Deadline
            self._while_waiting()
