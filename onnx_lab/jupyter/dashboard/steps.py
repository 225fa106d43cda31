"""The steps: tick them, order them, open the options of one; each shows its magic line."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import traitlets as t
from anywidget import AnyWidget

from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.forms import Form
from onnx_lab.jupyter.dashboard.lines import first, line, own, signature_of
from onnx_lab.jupyter.dashboard.parts import script
from onnx_lab.jupyter.dashboard.state import State, Step
from onnx_lab.surgery import EDITS, NO_STEPS


class StepList(AnyWidget):
    """Rows in; ticks and moves out, as messages ``{"do": "tick" or "move", "verb": ..., "value": ...}``.

    Attributes
    ----------
    rows : list of dict
        ``verb``, ``label``, ``line``, ``on``, in the order in which they are done.
    opened : str
        The verb whose options are shown; "" for none.
    """

    _esm = script("steps")
    rows = t.List().tag(sync=True)
    opened = t.Unicode("").tag(sync=True)


class Steps:
    """All steps, the options of the one that is open, and a list of edits to add.

    Attributes
    ----------
    list : StepList
    forms : dict of str to Form
        By verb, of the steps that were opened: reading a signature imports the step's module.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, kit = desk, desk.kit
        self.forms: dict[str, Form] = {}
        self.list = kit.make(StepList)
        hear = desk.heard(self._hear)
        self.list.on_msg(lambda _widget, said, _buffers: hear(said))
        self.list.observe(desk.heard(lambda _: self._draw_form(desk.store.state)), "opened")
        self.place = kit.column()
        edits = [
            ("add an edit of the graph", ""),
            *((f"{e}: {what}", e) for e, what in EDITS.items() if e not in NO_STEPS),
        ]
        self.edits = kit.field(w.Dropdown, "Edit", tip="Edit: one change of the graph more", options=edits)
        self.edits.observe(desk.heard(self._add), "value")
        title = kit.heading("Steps", "ticked ones are done from top to bottom")
        self.widget = kit.column(title, self.list, self.place, self.edits, name="part wide")

    def draw(self, state: State) -> int:
        """Set all rows, in the order of the state, and the form that is open."""
        of, rows = first(state), []
        for draft in state.drafts:
            verb = draft.step.verb
            words, label = self.desk.words(line(draft.step, of)), verb.removeprefix("surgery.")
            rows.append({"verb": verb, "label": label, "line": words, "on": draft.on})
            of = own(state) if draft.on else of
        self._draw_form(state)
        return put(self.list, rows=rows)

    def _hear(self, said: dict[str, Any]) -> None:
        verb, value = said["verb"], said["value"]
        if said["do"] == "tick":
            self._change(verb, lambda s, i: changes.tick(s, i, value))
        elif said["do"] == "move":
            self._change(verb, lambda s, i: changes.move(s, i, value))

    def _add(self, change: Any) -> None:
        if change["new"]:
            self.desk.choose(lambda s: changes.add_edit(s, change["new"]))
            self.edits.value = ""

    def _draw_form(self, state: State) -> None:
        verb = self.list.opened
        draft = next((d for d in state.drafts if d.step.verb == verb), None)
        if draft is None:
            shown: list[Any] = []
        else:
            if verb not in self.forms:
                self.forms[verb] = self._form(draft.step, state)
            self.forms[verb].show(draft.step)
            shown = [self.forms[verb].widget]
        if list(self.place.children) != shown:
            self.place.children = shown

    def _form(self, step: Step, state: State) -> Form:
        return Form(
            signature_of(step.verb),
            step,
            lambda name, text: self._change(step.verb, lambda s, i: changes.set_option(s, i, name, text)),
            feeds=self.desk.sources.feeds(state.source),
            providers=[target for target, runs, _ in self.desk.providers if runs] or ["cpu"],
            names=self.desk.sources.names,
            heard=self.desk.heard,
            kit=self.desk.kit,
        )

    def _change(self, verb: str, how: Any) -> None:
        def changed(state: State) -> State:
            index = next(i for i, d in enumerate(state.drafts) if d.step.verb == verb)
            result: State = how(state, index)
            return result

        self.desk.choose(changed)
