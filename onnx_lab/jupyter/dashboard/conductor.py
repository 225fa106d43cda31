"""Turns "run" into jobs, one after the other: each file is made, asked, and timed in turns with all others.

One thread conducts; the work itself is in child processes, so the kernel stays free. What comes in goes into the
store at once. A variant that fails is marked with the reason, and the rest goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from onnx_lab.background._words import told as worded
from onnx_lab.background.job import Job, start
from onnx_lab.errors import BadInput, OnnxLabError, Stopped
from onnx_lab.jupyter._left import TimeLeft
from onnx_lab.jupyter._panel import span
from onnx_lab.jupyter.dashboard import changes, facts
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.lines import arguments, takes_target
from onnx_lab.jupyter.dashboard.sources import Sources, is_file
from onnx_lab.jupyter.dashboard.state import State, Step, Variant
from onnx_lab.jupyter.dashboard.store import Store
from onnx_lab.model import Model

#: Seconds that a search may measure, for each second that one benchmark may.
_SEARCH = 3
_RANDOM = "random feeds"


@dataclass(frozen=True)
class Activity:
    """What is being done now, in words, and how much of it is behind (0 to 1; None where nobody knows).

    `more` is what it told last, `since` when it began and `ends` when it will be over, on the clock of
    ``time.monotonic``; None where that cannot be told yet.
    """

    words: str = ""
    share: float | None = None
    error: str = ""
    more: str = ""
    since: float = 0.0
    ends: float | None = None

    @property
    def busy(self) -> bool:
        """Whether there is anything under way."""
        return bool(self.words)

    def far(self, now: float) -> str:
        """How far it is: what it told, and the time it has left, or has taken.

        Examples
        --------
        >>> Activity("asking m", more="batch 3 of 9", since=0, ends=20).far(8), Activity("exporting", since=0).far(8)
        ('batch 3 of 9 · 12 s left', '8 s')
        """
        took = now - self.since
        time_ = f"{span(self.ends - now)} left" if self.ends is not None else span(took) if took >= 1 else ""
        return " · ".join(filter(None, [self.more, time_]))


class Conductor:
    """Runs one thing at a time for one dashboard.

    Parameters
    ----------
    store : Store
    sources : Sources
    on_news : callable
        Called at each change of `activity`, from the thread that conducts.
    """

    def __init__(self, store: Store, sources: Sources, on_news: Callable[[], None] = lambda: None) -> None:
        self.store, self.sources, self._on_news = store, sources, on_news
        self.activity = Activity()
        self._models: dict[str, Model] = {}
        self._lock = threading.Lock()
        self._stop = False
        self._over = threading.Event()
        self._left = TimeLeft()
        self._job: Job | None = None
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Make what the ticked steps ask for, and measure all rows."""
        self._begin(self._run, "planning")

    def search(self) -> None:
        """Let `onnx_lab.best` choose what to try; what it tried becomes rows."""
        self._begin(self._search, "looking for the best")

    def cancel(self) -> None:
        """End what is under way; what was made stays."""
        self._stop = True
        if self._job is not None:
            self._job.cancel()
        if self.activity.words.startswith("getting"):
            self._say(f"{self.activity.words}: it ends when that is read")

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
        if v.id not in self._models:
            from onnx_lab._load import load

            self._models[v.id] = load(v.path)
        return self._models[v.id]

    # -- the thread's side ------------------------------------------------------------------------------------------

    def _begin(self, work: Callable[[], None], words: str) -> None:
        with self._lock:
            if self.activity.busy:
                return
            self._stop = False
            self._over.clear()
            self._say(words)
        self._thread = threading.Thread(target=self._conduct, args=(work,), daemon=True, name="onnx_lab dashboard")
        self._thread.start()
        threading.Thread(target=self._tick, daemon=True, name="onnx_lab dashboard clock").start()

    def _conduct(self, work: Callable[[], None]) -> None:
        error = ""
        try:
            work()
        except Stopped:
            error = "cancelled; what was made stays"
        except BaseException as e:  # nothing may end the thread without a word
            error = told(e)
        self.store.learn(lambda s: _looked_at(judged(_settled(s))))
        self.activity = Activity(error=error)
        self._over.set()
        self._on_news()

    def _tick(self) -> None:
        """Time goes on without news."""
        while not self._over.wait(1.0):
            self._on_news()

    def _run(self) -> None:
        self.store.change(changes.planned)
        base = self._made_baseline()
        for v in self.store.state.variants:
            self._attempt(v, self._make)
        for v in self.store.state.variants:
            self._attempt(v, lambda v: self._ask(v, base))
        self._measure()

    def _attempt(self, v: Variant, work: Callable[[Variant], None]) -> None:
        """Do one thing for one variant; what goes wrong is its own."""
        if (v := self._now(v)).state == "failed":
            return
        try:
            work(v)
        except Stopped:
            raise
        except Exception as e:
            self._learn(v.id, state="failed", error=told(e), verdict="", taken=False, qualifies=False)

    def _made_baseline(self) -> Model:
        state = self.store.state
        v = state.baseline
        assert v is not None
        if not self._there(v):
            self._learn(v.id, state="making", error="")
            self._say(f"getting {state.source}")
            try:
                model = self._from_source(state.source)
            except BaseException as e:
                self._learn(v.id, state="failed", error=told(e))
                raise
            self._keep(v, model)
        return self.model(self._now(v))

    def _from_source(self, source: str) -> Model:
        thing = self.sources.resolve(source)
        if isinstance(thing, Model):
            return thing
        if isinstance(thing, str) and is_file(thing):
            from onnx_lab._load import load

            return load(thing)
        self._say(f"exporting {source}")
        made = self._result(start("export", thing, job_name=source))
        if not isinstance(made, Model):
            raise BadInput(
                f"{source} became a {type(made).__name__}", do="export it in a cell and pick one of its parts"
            )
        return made

    def _make(self, v: Variant) -> None:
        if v.parent is None or self._there(v):
            return
        state = self.store.state
        parent = state.variant(v.parent)
        if parent is None or not self._there(parent):
            why = parent.name if parent else "its parent"
            raise BadInput(f"{why} was not made", do="see the reason in its row")
        step = v.steps[-1]
        self._learn(v.id, state="making", error="")
        self._say(f"{step.verb}: making {v.name}")
        for _, text in step.options:
            self.sources.value(text)  # loads a sample whose feeds are named
        options = arguments(_for_target(step, v.target), self.sources.names())
        self._keep(v, self._result(start(step.verb, self.model(parent), job_name=v.name, **options)))

    def _ask(self, v: Variant, base: Model) -> None:
        """Accuracy on the task, or cosine to the first row's outputs; what was asked before is not asked again."""
        data, task = self.store.state.data, self.sources.task(self.store.state.task)
        asked = task.name if task else data or _RANDOM
        if v.asked == asked or not v.path:
            return
        self._say(f"asking {v.name}")
        if task is not None:
            found = self._result(start("accuracy", self.model(v), task, target=v.target, job_name=v.name))
            self._learn(v.id, asked=asked, accuracy=found.value, cosine=None, changed=None)
        else:
            from onnx_lab.measure._judging import random_batches

            feeds = self.sources.data(data) if data else random_batches(base)
            found = self._result(start("compare", base, self.model(v), feeds, target=v.target, job_name=v.name))
            self._learn(v.id, asked=asked, accuracy=None, **facts.of_comparison(found))
        self.store.learn(judged)

    def _measure(self) -> None:
        state = self.store.state
        rows = [v for v in state.variants if v.path and v.state != "failed"]
        if not rows:
            return
        contestants = {v.name: (self.model(v), v.target) for v in rows}
        m = state.measuring
        self._say("measuring", 0.0)
        job = start("bench", contestants, batch=m.batch, seq=m.seq, budget_s=m.seconds, against=rows[0].name)
        job.watch(self._hear_bench)
        speed = self._result(job)
        self.store.learn(lambda s: facts.timed(s, [vars(r) for r in speed.rows], clear=True))

    def _hear_bench(self, job: Job) -> None:
        event = job.progress or {}
        if event.get("kind") == "round" and not job.done:
            self.store.learn(lambda s: facts.timed(s, event["rows"]))

    def _search(self) -> None:
        self.store.change(changes.with_baseline)
        base, state = self._made_baseline(), self.store.state
        task, m, b = self.sources.task(state.task), state.measuring, state.budget
        data = self.sources.data(state.data) if state.data else None
        feeds = next(iter(self.sources.feeds(state.source)), "")
        job = start(
            "best", base, task or data, target="auto", calibration=self.sources.value(feeds) if feeds else None,
            batch=m.batch, seq=m.seq, max_points_lost=b.points, min_cosine=b.cosine, max_ms=b.ms, max_mb=b.mb,
            budget_s=_SEARCH * m.seconds, explain=False,
        )  # fmt: skip
        ranking = self._result(job)
        self.store.change(lambda s: facts.from_ranking(s, ranking, feeds, task.name if task else state.data or _RANDOM))

    # -- small things -----------------------------------------------------------------------------------------------

    def _result(self, job: Job) -> Any:
        self._job = job
        job.watch(self._hear)
        if self._stop:
            job.cancel()
        return job.result

    def _hear(self, job: Job) -> None:
        event = job.progress
        if job.done or event is None or event["kind"] == "end":
            return
        ends = self._left.end(event, time.monotonic())
        share = event["done"] / event["of"] if event.get("of") and "done" in event else None
        self.activity = replace(self.activity, more=worded(event), share=share, ends=ends)
        self._on_news()

    def _keep(self, v: Variant, model: Model) -> None:
        self._models[v.id] = model
        self._learn(v.id, state="measuring", error="", **facts.of_model(model))

    def _there(self, v: Variant) -> bool:
        """Whether its file is there; what the workspace cleaned away is made again."""
        from pathlib import Path

        return bool(v.path) and Path(v.path).is_file()

    def _now(self, v: Variant) -> Variant:
        return self.store.state.variant(v.id) or v

    def _learn(self, id: str, **found: Any) -> None:  # noqa: A002  (the field's name)
        self.store.learn(lambda s: changes.learn(s, id, **found))

    def _say(self, words: str, share: float | None = None) -> None:
        self._left = TimeLeft()
        self.activity = Activity(words, share, since=time.monotonic())
        self._on_news()


def told(e: BaseException) -> str:
    """An error in one line: what came, and what to do."""
    if isinstance(e, OnnxLabError):
        return " ".join(filter(None, [e.came.rstrip(".") + ".", e.accepted and f"Accepted: {e.accepted}.", e.do]))
    return f"{type(e).__name__}: {e}"


def _for_target(step: Step, target: str) -> Step:
    """Steps that are made for a target are made for that of the row, unless their own option says otherwise."""
    if target == "cpu" or "target" in dict(step.options) or not takes_target(step.verb):
        return step
    return step.with_option("target", target)


def _looked_at(state: State) -> State:
    """Who looks at no row in particular looks at the one to take."""
    own = state.baseline is None or state.selected in ("", state.baseline.id)
    return replace(state, selected=state.best.id) if own and state.best else state


def _settled(state: State) -> State:
    """Nothing is under way any more."""
    after = {"making": "planned", "measuring": "done"}
    return replace(state, variants=tuple(replace(v, state=after.get(v.state, v.state)) for v in state.variants))
