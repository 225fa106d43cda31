"""The child process itself: its start, its environment, its end, and what to say about its death."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from onnx_lab._interrupts import held_back
from onnx_lab.card import megabytes
from onnx_lab.runtime import _wire
from onnx_lab.runtime._pipe import Pipe
from onnx_lab.runtime._wire import Array

#: Read by OpenMP, MKL and BLAS when they are imported: too late for anything but the environment.
_THREAD_VARIABLES = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS".split()

_WORDS = {
    signal.SIGKILL: "it was killed, most likely for using too much memory",
    signal.SIGSEGV: "it crashed with a segmentation fault",
    signal.SIGABRT: "it aborted",
    signal.SIGILL: "it met an instruction that this CPU does not have",
    signal.SIGFPE: "it crashed with an arithmetic fault",
    signal.SIGBUS: "it crashed with a bus error (a file was cut while it was mapped, or the disk is full)",
    signal.SIGTERM: "it was asked to end by someone else",
}
_ADVICE = {
    signal.SIGKILL: "free memory, a smaller batch or sequence length, or a smaller model",
    signal.SIGILL: "an onnxruntime built for this CPU",
}
_TAIL_LINES = 8


class Child:
    """A worker process and the two pipes to it.

    In a session of its own, so that an interrupt at the keyboard reaches the parent alone, which then decides.
    """

    def __init__(self, threads: int, module: str = "onnx_lab.runtime.worker") -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the child)
        self.peak_seen = 0
        self.advice = ""
        try:
            with held_back():  # once it is forked, somebody has to end it
                self._process = subprocess.Popen(
                    # -P: the working folder is not searched, so a user's onnx.py or torch.py does no harm
                    [sys.executable, "-P", "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._stderr,
                    env=child_environment(threads),
                    start_new_session=True,
                )
                self._end = weakref.finalize(self, _end, self._process, self._stderr)
        except KeyboardInterrupt:
            self.kill()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        enlarge(self._process.stdin, self._process.stdout)
        watch = weakref.WeakMethod(self._watch)  # a pipe must not keep its child alive
        self._to = Pipe(self._process.stdin.fileno(), lambda: (watch() or (lambda: None))())
        self._from = Pipe(self._process.stdout.fileno(), lambda: (watch() or (lambda: None))())

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._end.alive and self._process.poll() is None

    def set_deadline(self, at: float) -> None:
        """Give up at this time on the clock of ``time.monotonic``."""
        self._to.deadline = self._from.deadline = at

    def ask(self, pieces: Iterable[bytes | memoryview]) -> tuple[dict[str, Any], dict[str, Array]]:
        """Send one frame and wait for the answer. Raises Deadline, EOFError, OSError."""
        for piece in pieces:
            self._to.write(piece)
            del piece  # it may be as large as a model, and the answer may take long
        return _wire.decode(self._from)

    def kill(self) -> None:
        """End it at once and reap it: no zombie is left."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Close its pipe, wait for its end, kill it when it does not end."""
        self._end()

    def death(self, peak_bytes: int) -> str:
        """Why it is gone, in words, with the last lines it wrote and its largest memory."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        how, self.advice = how_it_ended(self._process.poll())
        peak = max(peak_bytes, self.peak_seen)
        said = _tail(self._stderr)
        self.kill()
        text = f"{how} ({'peak memory ' + megabytes(peak) if peak else 'before it answered once'})"
        return text + (f"\n  it said: {said}" if said else "")

    def _watch(self) -> None:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
            self.peak_seen = next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM"))


def how_it_ended(code: int | None) -> tuple[str, str]:
    """The return code of a child in words, and what to do about it ("" where nothing is known).

    Examples
    --------
    >>> how_it_ended(3), how_it_ended(-11)[0]
    (('its process ended with code 3', ''), 'it crashed with a segmentation fault')
    """
    if code is None:
        return "its process stopped answering", ""
    if code >= 0:
        return f"its process ended with code {code}", ""
    number = signal.Signals(-code)
    return _WORDS.get(number, f"it was ended by {number.name}"), _ADVICE.get(number, "")


def child_environment(threads: int) -> dict[str, str]:
    """The parent's environment with the thread budget, and the lab itself findable."""
    env = dict(os.environ)
    env.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    env["PYTHONUNBUFFERED"] = "1"
    try:
        importlib.metadata.version("onnx-lab")
    except importlib.metadata.PackageNotFoundError:  # used from a checkout that is not installed
        root = str(Path(__file__).resolve().parents[2])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
    return env


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
    finally:  # behind an interrupt, too: nobody else waits for this process
        process.kill()
        process.wait()
        stderr.close()


def _tail(stderr: IO[bytes]) -> str:
    with contextlib.suppress(OSError, ValueError):
        stderr.seek(0)
        lines = stderr.read().decode(errors="replace").splitlines()
        # warnings of ONNX Runtime about hardware that was not asked for explain no death
        return "\n           ".join([x for x in lines if x.strip() and "[W:onnxruntime" not in x][-_TAIL_LINES:])
    return ""


def enlarge(*pipes: IO[bytes]) -> None:
    """Ask for 1 MiB pipes: fewer turns for large feeds. Linux only, and only a wish."""
    import fcntl

    for pipe in pipes:
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
