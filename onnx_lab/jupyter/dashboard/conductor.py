"""One thread that works for a dashboard, one thing at a time, and tells how far it is.

The work itself is in child processes, so the kernel stays free.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from onnx_lab.background._words import told as worded
from onnx_lab.background.job import Job
from onnx_lab.errors import Stopped
from onnx_lab.jupyter._left import TimeLeft
from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.activity import Activity, told
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.sources import Sources
from onnx_lab.jupyter.dashboard.state import State, Variant
from onnx_lab.jupyter.dashboard.store import Store
from onnx_lab.jupyter.dashboard.work import Work
from onnx_lab.model import Model


class Conductor:
    """Runs one thing at a time for one dashboard.

    Parameters
    ----------
    store : Store
    sources : Sources
    on_news : callable
        Called at each change of `activity`, and each second while anything is under way.

    Attributes
    ----------
    activity : Activity
    models : dict of str to Model
        What was made here, by the variant's id.
    judge : object
        The Task or feeds that answers were judged by last; None for random feeds.
    """

    def __init__(self, store: Store, sources: Sources, on_news: Callable[[], None] = lambda: None) -> None:
        self.store, self.sources, self._on_news = store, sources, on_news
        self.activity = Activity()
        self.models: dict[str, Model] = {}
        self.judge: Any = None
        self._lock = threading.Lock()
        self._stop = False
        self._over = threading.Event()
        self._left = TimeLeft()
        self._job: Job | None = None
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Make what the ticked steps ask for, and measure all rows."""
        self._begin(Work(self).run, "planning")

    def search(self) -> None:
        """Let `onnx_lab.best` choose what to try; what it tried becomes rows."""
        self._begin(Work(self).search, "looking for the best")

    def cancel(self) -> None:
        """End what is under way; what was made stays."""
        self._stop = True
        if self._job is not None:
            self._job.cancel()
        if self.activity.words.startswith("getting"):
            self.say(f"{self.activity.words}: it ends when that is read")

    def forget(self) -> None:
        """The last error is no news any more."""
        with self._lock:
            if not self.activity.busy:
                self.activity = Activity()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until nothing is under way."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def model(self, v: Variant) -> Model:
        """The Model of a variant that is made.

        Raises
        ------
        BadModel
            When its file is gone.
        """
        if v.id not in self.models:
            from onnx_lab._load import load

            self.models[v.id] = load(v.path)
        return self.models[v.id]

    def learn(self, id: str, **found: Any) -> None:  # noqa: A002  (the field's name)
        """Put what was found out about a variant into its row."""
        self.store.learn(lambda s: changes.learn(s, id, **found))

    # -- for the work -----------------------------------------------------------------------------------------------

    def say(self, words: str, share: float | None = None) -> None:
        """What is being done now."""
        self._left = TimeLeft()
        self.activity = Activity(words, share, since=time.monotonic())
        self._on_news()

    def result(self, job: Job) -> Any:
        """What a job comes to; its progress is told on the way. Raises what it raises, and Stopped after a cancel."""
        self._job = job
        job.watch(self._hear)
        if self._stop:
            job.cancel()
        return job.result

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _begin(self, work: Callable[[], None], words: str) -> None:
        with self._lock:
            if self.activity.busy:
                return
            self._stop = False
            self._over.clear()
            self.say(words)
        self._thread = threading.Thread(target=self._conduct, args=(work,), daemon=True, name="onnx_lab dashboard")
        self._thread.start()
        threading.Thread(target=self._tick, daemon=True, name="onnx_lab dashboard clock").start()

    def _conduct(self, work: Callable[[], None]) -> None:
        ended = Activity()
        try:
            work()
        except Stopped:
            ended = Activity(error="cancelled; what was made stays", calm=True)
        except BaseException as e:  # nothing may end the thread without a word
            ended = Activity(error=told(e))
        self.store.learn(lambda s: _looked_at(judged(_settled(s))))
        self.activity = ended
        self._over.set()
        self._on_news()

    def _tick(self) -> None:
        """Time goes on without news."""
        while not self._over.wait(1.0):
            self._on_news()

    def _hear(self, job: Job) -> None:
        event = job.progress
        if job.done or event is None or event["kind"] == "end":
            return
        ends = self._left.end(event, time.monotonic())
        share = event["done"] / event["of"] if event.get("of") and "done" in event else None
        self.activity = replace(self.activity, more=worded(event), share=share, ends=ends)
        self._on_news()


def _looked_at(state: State) -> State:
    """Who looks at no row in particular looks at the one to take."""
    own = state.baseline is None or state.selected in ("", state.baseline.id)
    return replace(state, selected=state.best.id) if own and state.best else state


def _settled(state: State) -> State:
    """Nothing is under way any more."""
    return replace(state, variants=tuple(v.settled() for v in state.variants))
