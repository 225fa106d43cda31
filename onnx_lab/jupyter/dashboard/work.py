"""What "run" and "find it for me" do: each file is made, its answers judged, and all timed in turns with each other.

What comes in goes into the store at once. A variant that fails is marked with the reason, and the rest goes on. One
whose answers cannot be judged is timed all the same, and one that cannot be timed beside the others is judged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_lab.background.job import Job, start
from onnx_lab.errors import BadInput, BadModel, ProviderError, Stopped
from onnx_lab.jupyter._where import made_before
from onnx_lab.jupyter.dashboard import changes, facts
from onnx_lab.jupyter.dashboard.activity import told
from onnx_lab.jupyter.dashboard.asking import Asking
from onnx_lab.jupyter.dashboard.lines import arguments, takes_target
from onnx_lab.jupyter.dashboard.sources import is_file
from onnx_lab.jupyter.dashboard.state import Step, Variant
from onnx_lab.jupyter.magics import function
from onnx_lab.model import Model

if TYPE_CHECKING:
    from onnx_lab.jupyter.dashboard.conductor import Conductor


class Work:
    """One run, or one search, in the thread of its conductor."""

    def __init__(self, conductor: Conductor) -> None:
        self._c, self._store, self._sources = conductor, conductor.store, conductor.sources
        self._asking = Asking(conductor)
        self._runs_here = functools.cache(facts.runs_here)  # once in a run: the doctor takes seconds

    def run(self) -> None:
        """Make what the ticked steps ask for, judge it, and measure all rows."""
        self._store.change(changes.planned)
        base = self._made_baseline()
        judge = self._asking.judge()
        for v in self._store.state.variants:
            self._attempt(v, self._make)
        for v in self._store.state.variants:
            self._attempt(v, lambda v: self._asking.ask(v, base, judge))
        self._measure(base)

    def search(self) -> None:
        """Let `onnx_lab.best` choose what to try; what it tried becomes rows."""
        self._store.change(changes.with_baseline)
        base, judge, state = self._made_baseline(), self._asking.judge(), self._store.state
        feeds, m, b = next(iter(self._sources.feeds(state.source)), ""), state.measuring, state.budget
        self._c.say("looking for the best")
        job = start(
            "best", base, judge.on, target="auto", calibration=self._sources.value(feeds) if feeds else None,
            batch=m.batch, seq=m.seq, max_points_lost=b.points, min_cosine=b.cosine, max_ms=b.ms, max_mb=b.mb,
            budget_s=m.search_seconds, explain=False,
        )  # fmt: skip
        ranking = self._c.result(job)
        self._first()
        self._store.change(lambda s: facts.from_ranking(s, ranking, feeds, judge.asked))

    # -- the model as it came ---------------------------------------------------------------------------------------

    def _made_baseline(self) -> Model:
        """What is called so may be another model by now: then all rows begin anew."""
        state, v = self._store.state, self._first()
        before = self._c.model(v) if _there(v) else None
        self._c.learn(v.id, state="making", error="")
        self._c.say(f"getting {state.source}")
        try:
            if why := self._runs_here(v.target):
                raise ProviderError(why, do="another target")
            model = self._from_source(state.source, before)
            another = before is not None and not _same(before, model)
        except Stopped:
            raise
        except BaseException as e:
            self._c.learn(v.id, state="failed", error=told(e))
            raise
        self._store.learn(lambda s: replace(s, is_model=self._sources.is_model(s.source)))
        if another:
            self._c.models.clear()
            self._store.change(changes.begin_anew)
        self._keep(self._first(), model)
        return model

    def _first(self) -> Variant:
        """The row of the model as it came. Raises Stopped where somebody has taken it away meanwhile."""
        if (v := self._store.state.baseline) is None:
            raise Stopped("another model was picked")
        return v

    def _from_source(self, source: str, before: Model | None) -> Model:
        thing = self._sources.resolve(source)
        if isinstance(thing, Model):
            return thing
        if isinstance(thing, str) and is_file(thing):
            from onnx_lab._load import load

            return load(thing)
        if isinstance(thing, str) and before is not None:  # a name on a hub means what it meant
            return before
        made = made_before("export", functools.partial(function("export"), thing), {"obj": thing})
        if made is None:
            self._c.say(f"exporting {source}")
            made = self._c.result(start("export", thing, job_name=source))
        if not isinstance(made, Model):
            raise BadInput(
                f"{source} became a {type(made).__name__}", do="export it in a cell and pick one of its parts"
            )
        return made

    # -- each row ---------------------------------------------------------------------------------------------------

    def _attempt(self, v: Variant, work: Callable[[Variant], None]) -> None:
        """Do one thing for one variant; what goes wrong is its own."""
        if (v := self._now(v)).state == "failed":
            return
        try:
            work(v)
        except Stopped:
            raise
        except Exception as e:
            self._c.learn(v.id, state="failed", error=told(e), verdict="", taken=False, qualifies=False)

    def _make(self, v: Variant) -> None:
        if v.parent is None:
            return
        if _there(v):
            self._c.learn(v.id, state="measuring", error="")
            return
        parent = self._store.state.variant(v.parent)
        if parent is None or not _there(parent):
            why = parent.name if parent else "its parent"
            raise BadInput(f"{why} was not made", do="see the reason in its row")
        step = v.steps[-1]
        self._c.learn(v.id, state="making", error="")
        self._c.say(f"{step.verb}: making {v.name}")
        for _, text in step.options:
            self._sources.value(text)  # loads a sample whose feeds are named
        options = arguments(_for_target(step, v.target), self._sources.names())
        self._keep(v, self._c.result(start(step.verb, self._c.model(parent), job_name=v.name, **options)))

    # -- all rows together ------------------------------------------------------------------------------------------

    def _measure(self, base: Model) -> None:
        state, first = self._store.state, self._first()
        m = state.measuring
        rows = [v for v in state.variants if v.path and v.state != "failed"]
        for v in rows:
            if v is not first:
                why = self._runs_here(v.target) or facts.misfit(base, self._c.model(v), m.batch, m.seq)
                self._c.learn(v.id, untimed=why)
        contestants = {v.name: (self._c.model(v), v.target) for v in rows if not self._now(v).untimed}
        self._c.say("measuring", 0.0)
        job = start("bench", contestants, batch=m.batch, seq=m.seq, budget_s=m.seconds, against=first.name)
        job.watch(self._hear_bench)
        speed = self._c.result(job)
        self._store.learn(lambda s: facts.timed(s, [vars(r) for r in speed.rows], clear=True))

    def _hear_bench(self, job: Job) -> None:
        event = job.progress or {}
        if event.get("kind") == "round" and not job.done:
            self._store.learn(lambda s: facts.timed(s, event["rows"]))

    # -- small things -----------------------------------------------------------------------------------------------

    def _keep(self, v: Variant, model: Model) -> None:
        self._c.models[v.id] = model
        self._c.learn(v.id, state="measuring", error="", **facts.of_model(model))

    def _now(self, v: Variant) -> Variant:
        return self._store.state.variant(v.id) or v


def _same(before: Model, now: Model) -> bool:
    """Whether the file is what it was; one that was written again is another."""
    try:
        return before.digest == now.digest
    except BadModel:
        return False


def _there(v: Variant) -> bool:
    """Whether its file is there; what the workspace cleaned away is made again."""
    return bool(v.path) and Path(v.path).is_file()


def _for_target(step: Step, target: str) -> Step:
    """Steps that are made for a target are made for that of the row, unless their own option says otherwise."""
    if target == "cpu" or "target" in dict(step.options) or not takes_target(step.verb):
        return step
    return step.with_option("target", target)
