"""Job: one step of the lab that works beside the kernel, can be watched, waited for and ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from onnx_lab import errors
from onnx_lab._interrupts import held_back
from onnx_lab.background import _child
from onnx_lab.background._packed import Call, CannotTravel, packed
from onnx_lab.background._process import Process
from onnx_lab.background._words import told
from onnx_lab.card import Card, Shown, megabytes
from onnx_lab.errors import OnnxLabError, Stopped, WorkerError

_numbers = itertools.count(1)


class Job(Shown):
    """A step in a child process; made by `onnx_lab.start`.

    Attributes
    ----------
    number, verb, name : int, str, str
        Its place in `onnx_lab.jobs`, the function, and what it is about.
    state : str
        ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
    progress : dict or None
        The last event that the step told, as `onnx_lab.bench` documents them.
    where : str
        ``"child process"``, or ``"kernel"`` for what could not travel; `note` says why.
    on_display : callable or None
        Says whether a display of this job already stands where it would be shown now; a live panel sets it.
    """

    def __init__(self, verb: str, name: str, cap_bytes: int | None, timeout_s: float | None) -> None:
        self.number, self.verb, self.name = next(_numbers), verb, name
        self.state, self.where, self.note = "running", "child process", ""
        self.progress: dict[str, Any] | None = None
        self.started, self.seconds = time.time(), 0.0
        self._cap, self._timeout = cap_bytes, timeout_s
        self._clock = time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        self._process: Process | None = None
        self._watchers: list[Callable[[Job], None]] = []
        self._stop = False
        self.on_display: Callable[[], bool] | None = None

    @property
    def done(self) -> bool:
        """Whether it ended, in whichever way."""
        return self._over.is_set()

    @property
    def log(self) -> str:
        """What it printed so far."""
        return self._process.log() if self._process else ""

    @property
    def peak_bytes(self) -> int:
        """Largest memory of the child and all below it, as far as was seen."""
        return self._process.peak_bytes if self._process else 0

    @property
    def error(self) -> BaseException | None:
        """What it failed with, None while it runs or when it did not."""
        return self._error

    @property
    def result(self) -> Any:
        """What the step returns; waits for it. Raises what the step raises, and Stopped after a cancel."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self, timeout_s: float | None = None) -> Job:
        """Wait for its end, at most `timeout_s`. An interrupt while waiting ends the job."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            # in short turns: an Event in one long wait would hear no interrupt on some platforms
            while not self._over.wait(0.1 if end is None else max(0.0, min(0.1, end - time.monotonic()))):
                if end is not None and time.monotonic() >= end:
                    break
        except KeyboardInterrupt:
            self.cancel()
            raise
        return self

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began; when it has ended, those that it took."""
        return self.seconds if self.done else time.monotonic() - self._clock

    def cancel(self) -> None:
        """End it now. What it was making is not left half-written; nothing happens when it has ended."""
        with self._lock:
            if self.done or self._stop:
                return
            self._stop = True
        if self._process is not None:
            self._process.end("cancelled")
        if self.where == "child process":
            self._over.wait(5)

    def watch(self, on_news: Callable[[Job], None]) -> None:
        """Call `on_news(job)` at each event and at the end, from a thread; at once when it has ended."""
        with self._lock:
            ended = self.done
            if not ended:
                self._watchers.append(on_news)
        if ended:
            on_news(self)

    def __await__(self) -> Generator[Any, None, Any]:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def look(job: Job) -> None:
            if job.done:
                with contextlib.suppress(RuntimeError):  # the loop has closed
                    loop.call_soon_threadsafe(settle)

        self.watch(look)
        yield from ended
        return self.result

    def _card(self) -> Card:
        facts = [("state", self._state_words()), ("works in", self.where)]
        if self.peak_bytes:
            facts.append(("peak memory", megabytes(self.peak_bytes)))
        if self.progress and not self.done:
            facts.append(("progress", told(self.progress)))
        notes = [n for n in (self.note, str(self._error) if self._error else "") if n]
        return Card(f"job {self.number}: {self.verb} {self.name}".rstrip(), facts, notes=notes)

    def _ipython_display_(self) -> None:
        """Nothing where its panel is in the same cell; else what the doors of a notebook show of it, or its card."""
        from IPython.display import display

        if self.on_display is not None and self.on_display():
            return
        # named, not imported: the doors lie above this room, and are only there when somebody has opened them
        doors = sys.modules.get("onnx_lab.jupyter")
        if doors is None or not doors.show_job(self):
            display({"text/html": self._repr_html_(), "text/plain": repr(self)}, raw=True)

    def _state_words(self) -> str:
        return f"{self.state}, {self.elapsed_s:.0f} s"

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _begin(self, call: Call, *, only_child: bool = False) -> None:
        """Set to work. `only_child`: raise `CannotTravel`, or end with it, where the kernel would have to do it."""
        try:
            parcel = packed(call)
        except CannotTravel as e:
            if only_child:
                raise
            self._in_kernel(str(e), call)
            return
        deadline = float("inf") if self._timeout is None else time.monotonic() + self._timeout
        self._process = Process(parcel, self._cap, deadline, f"job-{self.number}-of-process-{os.getpid()}")
        target, name = (self._follow, f"job {self.number}")
        try:
            with held_back():
                threading.Thread(target=target, args=(call, only_child), daemon=True, name=name).start()
        except KeyboardInterrupt:  # nobody was given this job, who could end it
            self.cancel()
            raise

    def _follow(self, call: Call, only_child: bool) -> None:
        try:
            last = self._listen()
            if last is None:
                self._end(error=self._dead())
            elif last[0] == b"R":
                self._end(pickle.loads(last[1]))
            elif last[0] == b"X":
                self._end(error=_rebuilt(json.loads(last[1])))
            elif only_child:
                self._end(error=CannotTravel(last[1].decode()))
            else:
                self._in_kernel(last[1].decode(), call)
        except Exception as e:  # whatever happens here, who waits is told
            self._end(error=WorkerError(f"{self.verb} {self.name}: its result cannot be read: {type(e).__name__}: {e}"))

    def _listen(self) -> tuple[bytes, bytearray] | None:
        """Pass on events until the child is gone; its last word that is none."""
        assert self._process is not None
        last = None
        for kind, payload in self._process.frames():
            if kind == b"E":
                self._news(json.loads(payload))
            else:
                last = kind, payload
        return last

    def _dead(self) -> WorkerError:
        assert self._process is not None
        words, advice = self._process.death()
        what = f"{self.verb} {self.name}".rstrip()
        return WorkerError(f"{what}: {words}", do=advice or f"lab.jobs()[{self.number}].log, what it printed")

    def _in_kernel(self, why: str, call: Call) -> None:
        """What cannot travel works here, in a thread: it can be watched, and a cancel is heard at its next event."""
        self.where, self.note = "kernel", f"works inside the kernel: {why}"

        def progress(event: dict[str, Any]) -> None:
            if self._stop:
                raise Stopped("cancelled")
            self._news(event)

        def work() -> None:
            try:
                self._end(_child.done(call, progress))
            except BaseException as e:
                self._end(error=e)

        threading.Thread(target=work, daemon=True, name=f"job {self.number}").start()

    def _news(self, event: dict[str, Any]) -> None:
        self.progress = event
        self._tell_watchers()

    def _end(self, value: Any = None, *, error: BaseException | None = None) -> None:
        with self._lock:
            if self.done:
                return
            cancelled = self._stop and error is not None
            self.state = "cancelled" if cancelled else "failed" if error is not None else "done"
            self._value = value
            self._error = Stopped("cancelled; nothing half-done is left behind") if cancelled else error
            self.seconds = time.monotonic() - self._clock
            self._over.set()
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        for watcher in tuple(self._watchers):
            with contextlib.suppress(Exception):  # a display that fails is no reason for a step to fail
                watcher(self)


def _rebuilt(said: Mapping[str, str]) -> OnnxLabError:
    """The error that the child raised; with ``%config OnnxLab.debug = True`` its trace there is shown as well."""
    kind = getattr(errors, said["class"], WorkerError) if said["class"] else WorkerError
    made: OnnxLabError = kind(said["came"], accepted=said["accepted"], do=said["do"])
    made.add_note(said["trace"])
    return made
