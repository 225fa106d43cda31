"""The page: its parts, one place that hears of changes, and one that draws them."""

from __future__ import annotations

import contextlib
import threading
from html import escape
from typing import Any

from onnx_lab.errors import OnnxLabError
from onnx_lab.jupyter.dashboard import store
from onnx_lab.jupyter.dashboard.activity import told
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.pace import Pace
from onnx_lab.jupyter.dashboard.results import Results, RunBar
from onnx_lab.jupyter.dashboard.setup import Asked, Setup
from onnx_lab.jupyter.dashboard.state import State
from onnx_lab.jupyter.dashboard.steps import Steps
from onnx_lab.jupyter.dashboard.takehome import TakeHome

_FAILED = "drawing failed"


class View:
    """All widgets of one dashboard.

    Attributes
    ----------
    widget : ipywidgets.VBox
    pace : Pace
        ``pace.settle()`` waits until everything is drawn.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        kit = desk.kit
        self.title = kit.html()
        self.undo, self.redo = kit.button("", "Undo", icon="undo"), kit.button("", "Redo", icon="repeat")
        self.undo.on_click(desk.heard(lambda _: desk.store.undo()))
        self.redo.on_click(desk.heard(lambda _: desk.store.redo()))
        self.setup, self.steps, self.asked = Setup(desk), Steps(desk), Asked(desk)
        self.run, self.results, self.home = RunBar(desk), Results(desk), TakeHome(desk)
        head = kit.row(self.title, self.undo, self.redo, name="head")
        work = kit.row(self.steps.widget, self.asked.widget, name="line section")
        parts = [head, self.setup.widget, work, self.run.widget, self.results.widget, self.home.widget]
        self.widget = kit.column(*parts, name="board")
        self.pace = Pace(self.draw)
        self._lock = threading.Lock()
        self._saved: State | None = None
        self._folder = store.folder()
        self._judged: Any = None
        # what needs no import of plotly is there at once
        self._draw_parts(desk.store.state, charts=False)
        desk.store.subscribe(self.pace.ask)
        desk.redraw = lambda: self.pace.ask(urgent=True)

    def draw(self) -> int:
        """Draw what changed, and keep the state; about how many bytes that sent."""
        with self._lock, self.desk.drawing():
            try:
                state = self._rejudged()
                sent = self._draw_parts(state)
                self._keep(state)
                if self.desk.said.startswith(_FAILED):  # it does not any more
                    self.desk.said = ""
                    sent += self.run.draw(state)
            except Exception as e:  # a thread's error would be lost
                self.desk.said, self.desk.went_wrong = f"{_FAILED}: {told(e)}", True
                with contextlib.suppress(Exception):
                    self.run.draw(self.desk.store.state)
                return 0
            return sent

    def _draw_parts(self, state: State, *, charts: bool = True) -> int:
        self.desk.look(state.source)
        name = state.baseline.name if state.baseline else state.source
        title = f"<h2 class='ol-title'>onnx_lab{' · ' + escape(name) if name else ''}</h2>"
        sent = put(self.title, value=title)
        busy = self.desk.conductor.activity.busy
        sent += put(self.undo, disabled=busy or not self.desk.store.can_undo)
        sent += put(self.redo, disabled=busy or not self.desk.store.can_redo)
        drawn: list[Any] = [
            self.setup,
            self.steps,
            self.asked,
            self.run,
            self.home,
            *([self.results] if charts else []),
        ]
        return sent + sum(int(part.draw(state)) for part in drawn)

    def _rejudged(self) -> State:
        """The verdict follows the budget at once."""
        state = self.desk.store.state
        key = (state.budget, state.task, state.data, tuple(v.id for v in state.variants))
        if key != self._judged:
            self._judged = key
            state = self.desk.store.learn(judged)
        return state

    def _keep(self, state: State) -> None:
        """Write the state where a restarted kernel finds it; not at each round of a benchmark."""
        if state == self._saved or not state.source or self.desk.conductor.activity.words.startswith("measuring"):
            return
        self._saved = state
        try:
            store.save(state, self._folder)
        except OnnxLabError as e:
            self.desk.said, self.desk.went_wrong = told(e), True
