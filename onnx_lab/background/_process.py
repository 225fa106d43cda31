"""The parent's side of a child: start it, send the call, read frames, mind its memory and its time, end it.

A thread of the parent reads; nothing else blocks. What the child starts itself (engines, contestants) counts as its
own, and ends with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from onnx_lab.background import _frames
from onnx_lab.card import megabytes
from onnx_lab.runtime._child import child_environment, how_it_ended
from onnx_lab.runtime.target import allowed_cpus

_LOOK_SECONDS = 0.2


class Process:
    """One child.

    Parameters
    ----------
    payload : bytes
        The call.
    cap_bytes : int or None
        Memory of the child and all below it at which it is ended.
    deadline : float
        On the clock of ``time.monotonic``.
    """

    def __init__(self, payload: bytes, cap_bytes: int | None, deadline: float) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the job)
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "onnx_lab.background._child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=child_environment(allowed_cpus()),
            start_new_session=True,
        )
        self._cap, self._deadline = cap_bytes, deadline
        self.peak_bytes = 0
        self.ended = ""  #: why the parent ended it, in words
        threading.Thread(target=self._send, args=(payload,), daemon=True).start()

    def frames(self, each_look: Callable[[], None] = lambda: None) -> Iterator[tuple[bytes, bytes]]:
        """Every frame until the child is gone."""
        assert self._child.stdout is not None
        fd = self._child.stdout.fileno()

        def take(n: int) -> bytes:
            while not select.select([fd], [], [], _LOOK_SECONDS)[0]:
                self._mind()
                each_look()
            return os.read(fd, n)

        while (frame := _frames.read(take)) is not None:
            yield frame
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2)
        self.end("")

    def end(self, why: str) -> None:
        """Kill it and all below it; the first reason counts."""
        self.ended = self.ended or why
        for pid in [*_below(self._child.pid), self._child.pid]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if pid != self._child.pid or self._child.poll() is None:
                    os.kill(pid, 9)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5)

    def log(self) -> str:
        """What it printed so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def death(self) -> tuple[str, str]:
        """Why it ended without a word, and what helps."""
        if self.ended:
            return self.ended, ""
        words, advice = how_it_ended(self._child.poll())
        return f"{words} (peak memory {megabytes(self.peak_bytes)})" if self.peak_bytes else words, advice

    def _send(self, payload: bytes) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.write(_frames.encode(b"C", payload))
            self._child.stdin.flush()  # and stays open: its end tells the child that nobody waits any more

    def _mind(self) -> None:
        held = sum(_private_bytes(pid) for pid in (self._child.pid, *_below(self._child.pid)))
        self.peak_bytes = max(self.peak_bytes, held)
        if self._cap is not None and held > self._cap:
            self.end(f"it was ended at its memory cap: it held {megabytes(held)} of {megabytes(self._cap)}")
        if time.monotonic() > self._deadline:
            self.end("it did not end in time")


def _below(pid: int) -> list[int]:
    """All descendants; those that lead a session of their own too."""
    try:
        import psutil
    except ImportError:
        return []
    with contextlib.suppress(psutil.Error):
        return [p.pid for p in psutil.Process(pid).children(recursive=True)]
    return []


def _private_bytes(pid: int) -> int:
    """Memory that is its own: libraries mapped from disk can be dropped and count for nobody."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/statm") as f:
            _, resident, shared, *_ = f.read().split()
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return 0
