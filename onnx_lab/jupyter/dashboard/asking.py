"""What the answers of each row are worth: asked once, by whatever the notebook has under the name of the judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.background.job import start
from onnx_lab.errors import Stopped
from onnx_lab.jupyter.dashboard import facts
from onnx_lab.jupyter.dashboard.activity import told
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.state import Variant
from onnx_lab.model import Model
from onnx_lab.task import Task

if TYPE_CHECKING:
    from onnx_lab.jupyter.dashboard.conductor import Conductor

#: Steps that run what they made beside what they made it of, and fail where the answers differ.
_SAME_ANSWERS = ("fix_shapes",)


@dataclass(frozen=True)
class Judge:
    """What answers are judged by: a task, or feeds on which outputs are compared, or neither for random ones."""

    asked: str
    task: Task | None = None
    feeds: Any = None

    @property
    def on(self) -> Any:
        """What `onnx_lab.best` judges by."""
        return self.feeds if self.task is None else self.task


class Asking:
    """Asks in the thread of a conductor."""

    def __init__(self, conductor: Conductor) -> None:
        self._c = conductor

    def judge(self) -> Judge:
        """What the answers are judged by; another object than last time, under whatever name, judges all anew."""
        state = self._c.store.state
        if (task := self._c.sources.task(state.task)) is not None:
            judge = Judge(task.name, task)
        else:
            judge = Judge(state.compared_on, feeds=self._c.sources.data(state.data) if state.data else None)
        it = self._c.sources.value(state.task or state.data) if state.task or state.data else None
        if self._c.judge is not None and it is not self._c.judge:
            for v in state.variants:
                self._c.learn(v.id, asked="")
        self._c.judge = it
        return judge

    def ask(self, v: Variant, base: Model, judge: Judge) -> None:
        """What its answers are worth, or why nobody can tell; what was asked before is not asked again."""
        if v.asked == judge.asked or not v.path:
            return
        try:
            worth = self._as_its_parent(v, judge) or self._worth(v, base, judge)
        except Stopped:
            raise
        except Exception as e:
            self._c.learn(v.id, asked="", accuracy=None, cosine=None, changed=None, unjudged=told(e))
        else:
            self._c.learn(v.id, asked=judge.asked, unjudged="", **worth)
        self._c.store.learn(judged)

    def _worth(self, v: Variant, base: Model, judge: Judge) -> dict[str, Any]:
        """Accuracy on the task, or cosine to the first row's outputs."""
        self._c.say(f"asking {v.name}")
        model = self._c.model(v)
        if judge.task is not None:
            found = self._c.result(start("accuracy", model, judge.task, target=v.target, job_name=v.name))
            return {"accuracy": found.value, "cosine": None, "changed": None}
        feeds = judge.feeds if judge.feeds is not None else facts.random_for(base, model)
        found = self._c.result(start("compare", base, model, feeds, target=v.target, job_name=v.name))
        return {"accuracy": None, **facts.of_comparison(found)}

    def _as_its_parent(self, v: Variant, judge: Judge) -> dict[str, Any] | None:
        """What its parent's answers are worth, where it was made with a proof that it answers the same."""
        twin = self._c.store.state.variant(v.parent or "")
        if twin is None or twin.asked != judge.asked or v.steps[-1].verb not in _SAME_ANSWERS:
            return None
        return {"accuracy": twin.accuracy, "cosine": twin.cosine, "changed": twin.changed}
