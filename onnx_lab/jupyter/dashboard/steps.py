"""The steps: tick them, order them, open their options; each shows its magic line."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.forms import Form
from onnx_lab.jupyter.dashboard.lines import first, line, signature_of
from onnx_lab.jupyter.dashboard.parts import code_html
from onnx_lab.jupyter.dashboard.state import Draft, State
from onnx_lab.surgery import EDITS, NO_STEPS


class StepRow:
    """One step of the form. Its place may change, its verb does not."""

    def __init__(self, desk: Desk, draft: Draft) -> None:
        self.desk, self.verb, kit = desk, draft.step.verb, desk.kit
        self.tick = kit.make(
            w.Checkbox,
            "tick",
            value=draft.on,
            description=self.verb.removeprefix("surgery."),
            tooltip=f"Take the step {self.verb}",
            indent=False,
        )
        self.up = kit.button("", f"Move {self.verb} up", icon="arrow-up")
        self.down = kit.button("", f"Move {self.verb} down", icon="arrow-down")
        self.open = kit.toggle("options", f"Options of {self.verb}")
        self.line = kit.magic(line(draft.step))
        self.form: Form | None = None
        self.tick.observe(desk.heard(lambda c: self._change(lambda s, i: changes.tick(s, i, c["new"]))), "value")
        self.up.on_click(desk.heard(lambda _: self._change(lambda s, i: changes.move(s, i, -1))))
        self.down.on_click(desk.heard(lambda _: self._change(lambda s, i: changes.move(s, i, 1))))
        self.open.observe(desk.heard(self._toggle), "value")
        self.head = kit.row(self.tick, self.line, self.open, self.up, self.down, name="step")
        self.widget = kit.column(self.head)

    def draw(self, draft: Draft, of: str, *, first: bool, last: bool) -> int:
        """Set the row to a draft."""
        sent = put(self.tick, value=draft.on) + put(self.up, disabled=first) + put(self.down, disabled=last)
        sent += put(self.line, value=code_html(line(draft.step, of), off=not draft.on))
        if self.form is not None:
            self.form.show(draft.step)
        return sent

    def _toggle(self, change: Any) -> None:
        if change["new"] and self.form is None:
            self._build()
        assert self.form is not None
        self.widget.children = [self.head, self.form.widget] if change["new"] else [self.head]

    def _build(self) -> None:
        """The form is made when it is asked for: reading a signature imports the step's module."""
        state = self.desk.store.state
        draft = next(d for d in state.drafts if d.step.verb == self.verb)
        self.form = Form(
            signature_of(self.verb),
            draft.step,
            lambda name, text: self._change(lambda s, i: changes.set_option(s, i, name, text)),
            feeds=self.desk.sources.feeds(state.source),
            providers=[t for t, runs, _ in self.desk.providers if runs] or ["cpu"],
            names=self.desk.sources.names,
            heard=self.desk.heard,
            kit=self.desk.kit,
        )

    def _change(self, how: Any) -> None:
        def changed(state: State) -> State:
            index = next(i for i, d in enumerate(state.drafts) if d.step.verb == self.verb)
            result: State = how(state, index)
            return result

        self.desk.choose(changed)


class Steps:
    """All steps, in the order in which they are done, and a list of edits to add."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.rows = {d.step.verb: StepRow(desk, d) for d in desk.store.state.drafts}
        self.list = desk.kit.column(*(r.widget for r in self.rows.values()))
        title = desk.kit.heading("Steps", "ticked ones are done from top to bottom")
        edits = [
            ("add an edit of the graph", ""),
            *((f"{e}: {what}", e) for e, what in EDITS.items() if e not in NO_STEPS),
        ]
        self.edits = desk.kit.field(w.Dropdown, "Edit", tip="Edit: one change of the graph more", options=edits)
        self.edits.observe(desk.heard(self._add), "value")
        self.widget = desk.kit.column(title, self.list, self.edits, name="part wide")
        self._order = tuple(self.rows)

    def _add(self, change: Any) -> None:
        if change["new"]:
            self.desk.choose(lambda s: changes.add_edit(s, change["new"]))
            self.edits.value = ""

    def draw(self, state: State) -> int:
        """Set all rows, in the order of the state."""
        order = tuple(d.step.verb for d in state.drafts)
        if order != self._order:
            self._order = order
            for draft in state.drafts:  # an edit that was added, or came with a fork
                if draft.step.verb not in self.rows:
                    self.rows[draft.step.verb] = StepRow(self.desk, draft)
            self.list.children = [self.rows[v].widget for v in order]
        sent, of = 0, first(state)
        for i, draft in enumerate(state.drafts):
            row = self.rows[draft.step.verb]
            sent += row.draw(draft, of, first=i == 0, last=i == len(order) - 1)
            of = "m" if draft.on else of
        return sent
