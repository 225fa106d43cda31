"""Job: one step of the lab that works beside the kernel, can be watched, waited for and ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import pickle
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from onnx_lab import errors
from onnx_lab.background import _child
from onnx_lab.background._packed import CannotTravel, packed
from onnx_lab.background._process import Process
from onnx_lab.card import Card, Shown, Table, megabytes
from onnx_lab.errors import BadInput, OnnxLabError, Stopped, WorkerError, did_you_mean
from onnx_lab.runtime._hardware import this_hardware

#: Steps that can be a job: what works longer than a moment.
VERBS = (
    "export simplify optimize fix_shapes fp16 bf16 mixed_precision quantize compare accuracy bench profile why trace "
    "verdict best"
).split()
#: Share of the memory that is free when a job starts that it may take by itself.
_SHARE = 0.9

_numbers = itertools.count(1)
_all: list[Job] = []


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
            facts.append(("progress", _told(self.progress)))
        notes = [n for n in (self.note, str(self._error) if self._error else "") if n]
        return Card(f"job {self.number}: {self.verb} {self.name}".rstrip(), facts, notes=notes)

    def _state_words(self) -> str:
        seconds = self.seconds if self.done else time.monotonic() - self._clock
        return f"{self.state}, {seconds:.0f} s"

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _begin(self, positional: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        arguments = {"*": positional, **options}
        try:
            payload = packed(self.verb, arguments)
        except CannotTravel as e:
            self._in_kernel(str(e), arguments)
            return
        deadline = float("inf") if self._timeout is None else time.monotonic() + self._timeout
        self._process = Process(payload, self._cap, deadline)
        threading.Thread(target=self._follow, args=(arguments,), daemon=True, name=f"job {self.number}").start()

    def _follow(self, arguments: dict[str, Any]) -> None:
        assert self._process is not None
        answered = False
        for kind, payload in self._process.frames():
            if kind == b"E":
                self._news(json.loads(payload))
                continue
            answered = True
            if kind == b"U":
                self._in_kernel(payload.decode(), arguments)
                return
            if kind == b"R":
                self._end("done", pickle.loads(payload))
            else:
                self._end("failed", error=_rebuilt(json.loads(payload)))
        if not answered:
            words, advice = self._process.death()
            self._end("failed", error=WorkerError(f"{self.verb} {self.name}: {words}", do=advice or "look at job.log"))

    def _in_kernel(self, why: str, arguments: dict[str, Any]) -> None:
        """What cannot travel works here, in a thread: it can be watched, and a cancel is heard at its next event."""
        self.where, self.note = "kernel", f"works inside the kernel: {why}"

        def progress(event: dict[str, Any]) -> None:
            if self._stop:
                raise Stopped("cancelled")
            self._news(event)

        def work() -> None:
            try:
                self._end("done", _child.call(self.verb, arguments, progress))
            except BaseException as e:
                self._end("failed", error=e)

        threading.Thread(target=work, daemon=True, name=f"job {self.number}").start()

    def _news(self, event: dict[str, Any]) -> None:
        self.progress = event
        for watcher in tuple(self._watchers):
            watcher(self)

    def _end(self, state: str, value: Any = None, *, error: BaseException | None = None) -> None:
        with self._lock:
            if self.done:
                return
            cancelled = self._stop and state == "failed"
            self.state = "cancelled" if cancelled else state
            self._value = value
            self._error = Stopped("cancelled; nothing half-done is left behind") if cancelled else error
            self.seconds = time.monotonic() - self._clock
            self._over.set()
            watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher(self)


def start(
    verb: str,
    *positional: Any,
    job_name: str | None = None,
    memory_mb: float | None = None,
    timeout_s: float | None = None,
    **options: Any,
) -> Job:
    """Begin one of the lab's steps in a child process, and come back at once.

    Parameters
    ----------
    verb : str
        The function: ``"bench"`` for `onnx_lab.bench`, and so on.
    *positional, **options
        What the function takes.
    job_name : str, optional
        What is said of it in lists. Default: the name of its first Model.
    memory_mb : float, optional
        Megabytes (10^6 bytes) that it may hold with all its engines. Default: 0.9 of what is free now, in this
        container.
    timeout_s : float, optional
        Seconds after which it is ended. Default: none.

    Returns
    -------
    Job
        ``.progress``, ``.log``, ``.cancel()``, ``.wait()``, ``.result``; ``await job`` gives the result.

    Raises
    ------
    BadInput
        For a verb that is none of the lab's.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> job = lab.start("optimize", lab.samples.tiny())
    >>> job.result.name, job.state
    ('tiny-optimized', 'done')
    """
    if verb not in VERBS:
        raise BadInput(f"a job {verb!r}", accepted=", ".join(VERBS), do=did_you_mean(verb, VERBS))
    cap = int(memory_mb * 1e6) if memory_mb is not None else _free_share()
    job = Job(verb, job_name if job_name is not None else _about(positional, options), cap, timeout_s)
    _all.append(job)
    job._begin(positional, options)
    return job


class Jobs(Shown):
    """All jobs of this Python, newest first; ``jobs()[3]`` is job 3."""

    def __init__(self, found: list[Job]) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, number: int) -> Job:
        for job in self._found:
            if job.number == number:
                return job
        raise BadInput(f"job {number}", accepted=", ".join(str(j.number) for j in self._found) or "none yet")

    def _card(self) -> Card:
        rows = tuple(
            (str(j.number), f"{j.verb} {j.name}", j._state_words(), "" if j.done else _told(j.progress or {}))
            for j in reversed(self._found)
        )
        running = sum(not j.done for j in self._found)
        table = Table(("", "job", "state", "progress"), rows)
        return Card(f"{running} running of {len(self._found)} jobs", [], [table] if rows else [])


def jobs() -> Jobs:
    """The jobs that were started, running or not.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> len(lab.jobs()) >= 0
    True
    """
    return Jobs(list(_all))


def _about(positional: tuple[Any, ...], options: Mapping[str, Any]) -> str:
    for given in (*positional, *options.values()):
        for one in given if isinstance(given, list | tuple) else [given]:
            if isinstance(name := getattr(one, "name", None), str):
                return name
    return type(positional[0]).__name__ if positional else ""


def _free_share() -> int | None:
    free = this_hardware().available_bytes
    return int(_SHARE * free) if free else None


def _rebuilt(said: Mapping[str, str]) -> OnnxLabError:
    kind = getattr(errors, said["class"], WorkerError) if said["class"] else WorkerError
    made: OnnxLabError = kind(said["came"], accepted=said["accepted"], do=said["do"])
    return made


def _told(event: Mapping[str, Any]) -> str:
    if "state" in event:
        return str(event["state"])
    if "of" in event:
        return f"{event['done']:.0f} of {event['of']:.0f} s"
    return " ".join(str(event[k]) for k in ("kind", "name", "for") if k in event)
