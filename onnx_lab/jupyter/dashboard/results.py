"""What came out: run and cancel, how far it is, the table of variants, the charts."""

from __future__ import annotations

import time
from dataclasses import replace
from html import escape
from typing import Any

from onnx_lab.jupyter.dashboard import table
from onnx_lab.jupyter.dashboard.charts import Charts
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.lines import best_line
from onnx_lab.jupyter.dashboard.state import State


class RunBar:
    """Run, search, cancel, and what is being done."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        kit = desk.kit
        self.run = kit.button("Run", "Run: make and measure the ticked steps", icon="play", style="primary")
        self.search = kit.button("Find it for me", "Find it for me: try what pays for this model here", icon="search")
        self.cancel = kit.button("Cancel", "Cancel what is running", icon="stop")
        self.line, self.status = kit.magic(), kit.html("", "status")
        self.run.on_click(desk.heard(lambda _: desk.conductor.run()))
        self.search.on_click(desk.heard(lambda _: desk.conductor.search()))
        self.cancel.on_click(desk.heard(lambda _: desk.conductor.cancel()))
        buttons = kit.row(self.run, self.search, self.cancel, self.line, name="buttons")
        self.widget = kit.column(buttons, self.status, name="section")

    def draw(self, state: State) -> int:
        """Buttons that can be pressed, and the words of the moment."""
        now, nothing = self.desk.conductor.activity, not state.source
        sent = put(self.run, disabled=now.busy or nothing) + put(self.search, disabled=now.busy or nothing)
        sent += put(self.cancel, disabled=not now.busy)
        sent += put(self.line, value=self.desk.code(best_line(state, next(iter(self.desk.feeds), ""))))
        return sent + put(self.status, value=self._status(state))

    def _status(self, state: State) -> str:
        now = self.desk.conductor.activity
        words, wrong = now.words, False
        if self.desk.said:
            words, wrong = self.desk.said, self.desk.went_wrong
        elif now.error:
            words, wrong = now.error, not now.calm
        elif not now.busy:
            words = _outcome(state)
        tone = " class='ol-bad'" if wrong else ""
        said = f"<span role='status' aria-live='polite'{tone}>{escape(words)}</span>"
        if not now.busy:
            return said
        if far := now.far(time.monotonic()):  # no part of the status: a screen reader would read each second
            said += f"<span class='ol-dim'> · {escape(far)}</span>"
        percent = round(100 * (now.share or 0.0))
        known = "" if now.share is None else f" aria-valuenow='{percent}'"
        width = "" if now.share is None else f" style='width:{percent}%'"
        kind = "ol-bar ol-some" if now.share is None else "ol-bar"
        role = "role='progressbar' aria-label='progress' aria-valuemin='0' aria-valuemax='100'"
        bar = f"<div class='{kind}' {role}{known}>"
        return f"{said}{bar}<div{width}></div></div>"


class Results:
    """The table and the charts, linked by the row that is selected."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.table = desk.kit.make(table.VariantTable)
        self.charts = Charts(desk.kit)

        def select(change: Any) -> None:
            # looking at another row is no choice that an undo takes back
            desk.store.learn(lambda s: replace(s, selected=change["new"]))

        self.table.observe(desk.heard(select), "selected")
        self.widget = desk.kit.column(self.table, self.charts.widget, name="section")

    def draw(self, state: State) -> int:
        """The rows, then the charts."""
        sent = put(self.table, columns=table.columns(state), rows=table.rows(state), selected=state.selected)
        return sent + self.charts.draw(state, busy=self.desk.conductor.activity.busy)


def _outcome(state: State) -> str:
    """One sentence on where things stand."""
    if not state.source:
        return "Pick a model to begin."
    if not state.variants:
        return "Press Run: the ticked steps are made one from the other, asked, and timed in turns."
    best = judged(state).best
    failed = sum(v.state == "failed" for v in state.variants)
    more = f" {failed} could not be made: the last column says why." if failed else ""
    if best is not None:
        return f"Take {best.name}: {best.verdict}.{more}"
    if state.baseline is not None and state.baseline.unjudged:
        return f"The answers cannot be judged: {state.baseline.unjudged}{more}"
    waiting = [v for v in state.variants if v.state == "planned"]
    if waiting:
        return f"{len(waiting)} of {len(state.variants)} are planned.{more}"
    return f"None qualifies: allow more in the budget, or try other steps.{more}"
