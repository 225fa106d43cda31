"""The parent's side of a child: start it, send the call, read frames, mind its memory and its time, end it.

A thread of the parent reads; nothing else blocks. What the child starts itself (engines, contestants) counts as its
own, and ends with it. So does what it left unfinished in the workspace and in the folder for temporary files.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO

from onnx_lab import workspace
from onnx_lab._interrupts import held_back
from onnx_lab.background import _frames
from onnx_lab.background._packed import Packed
from onnx_lab.card import megabytes
from onnx_lab.runtime._child import child_environment, enlarge, how_it_ended
from onnx_lab.runtime.target import allowed_cpus

_LOOK_SECONDS = 0.2
#: Of a log that has ended, its end is kept.
_LOG_BYTES = 1_000_000


class Process:
    """One child.

    Parameters
    ----------
    call : Packed
        Large arrays of it have been read by the child when this returns: what happens to them later is not sent.
    cap_bytes : int or None
        Memory of the child and all below it at which it is ended.
    deadline : float
        On the clock of ``time.monotonic``.
    name : str
        Of its folder for unfinished work.
    """

    def __init__(self, call: Packed, cap_bytes: int | None, deadline: float, name: str) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the child)
        self._log_text = ""
        self._work, self._temporary = workspace.work_of(name), tempfile.mkdtemp(prefix="onnx-lab-")
        self._cap, self._deadline, self._looked = cap_bytes, deadline, 0.0
        self._closing = threading.Lock()
        self.peak_bytes = 0
        self.ended = ""  #: why the parent ended it, in words
        self._advice = ""
        self._sender = threading.Thread(target=self._send, args=(call,), daemon=True)
        try:
            with held_back():  # once it is forked, somebody has to end it
                self._child = self._forked(name)
                self._sender.start()
            if call.buffers:
                self._sender.join()
        except KeyboardInterrupt:
            self.end("cancelled")
            self._close()
            raise

    def _forked(self, name: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "onnx_lab.background._child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**child_environment(allowed_cpus()), "ONNX_LAB_WORK": name, "TMPDIR": self._temporary},
            start_new_session=True,
            bufsize=0,
        )
        if child.stdin is not None:
            enlarge(child.stdin)
        return child

    def frames(self) -> Iterator[tuple[bytes, bytearray]]:
        """Every frame until the child is gone."""
        assert self._child.stdout is not None
        fd = self._child.stdout.fileno()

        def take(n: int) -> bytes:
            while not select.select([fd], [], [], _LOOK_SECONDS)[0]:
                self._mind()
            self._mind()
            return os.read(fd, n)

        while (frame := _frames.read(take)) is not None:
            yield frame
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(2)
        self.end("")
        self._close()

    def end(self, why: str, advice: str = "") -> None:
        """Kill it and all below it; the first reason counts."""
        if not self.ended:
            self.ended, self._advice = why, advice
        if self._child.poll() is None:  # once it is reaped, its number may be another's
            self._child.send_signal(signal.SIGSTOP)  # else it may start an engine between the look and the kill
            for pid in _below(self._child.pid):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self._child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5)

    def log(self) -> str:
        """What it printed so far."""
        with self._closing:
            if self._log.closed:
                return self._log_text
            size = os.fstat(self._log.fileno()).st_size
            start = max(0, size - _LOG_BYTES)
            return os.pread(self._log.fileno(), size - start, start).decode(errors="replace")

    def death(self) -> tuple[str, str]:
        """Why it ended without a word, with its largest memory, and what helps."""
        words, advice = (self.ended, self._advice) if self.ended else how_it_ended(self._child.poll())
        return f"{words} (peak memory {megabytes(self.peak_bytes)})", advice

    def _send(self, call: Packed) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            for piece in call.frames():
                _frames.write(self._child.stdin.fileno(), piece)
            # and it stays open: its end tells the child that nobody waits any more

    def _close(self) -> None:
        """Let go of pipes and files, and clear away what it did not finish."""
        self._sender.join(5)
        text = self.log()
        with self._closing:
            self._log_text = text
            self._log.close()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None and not self._sender.is_alive():
                pipe.close()
        for folder in (self._work, self._temporary):
            shutil.rmtree(folder, ignore_errors=True)

    def _mind(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        held = sum(_private_bytes(pid) for pid in (self._child.pid, *_below(self._child.pid)))
        self.peak_bytes = max(self.peak_bytes, held)
        if self._cap is not None and held > self._cap:
            words = f"it was ended at its memory cap: it held {megabytes(held)} of {megabytes(self._cap)}"
            self.end(words, "a larger memory_mb, a smaller batch or sequence length, or a smaller model")
        elif now > self._deadline:
            self.end("it did not end in time and was ended", "a larger timeout_s, or less work")


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
