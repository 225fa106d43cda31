"""The first part of the page: which model, what its answers are judged by, where it runs, what is timed."""

from __future__ import annotations

import functools
from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets as w

from onnx_lab.errors import BadInput
from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.lines import bench_line, judge_line, source_line, verdict_line
from onnx_lab.jupyter.dashboard.numbers import number_or_none, plain
from onnx_lab.jupyter.dashboard.parts import pairs, show
from onnx_lab.jupyter.dashboard.sources import SAMPLES, sample_name
from onnx_lab.jupyter.dashboard.state import Budget, State

_OWN = "<span class='ol-dim'>The outputs are compared with the model's own.</span>"
_WAITING = "<span class='ol-dim'>looking what runs here …</span>"
_RANDOM, _COMPARED = "none: compare outputs on random feeds", "none: compare outputs on {}"


class Setup:
    """Model, answers, target."""

    def __init__(self, desk: Desk) -> None:
        self.desk, kit = desk, desk.kit
        state = desk.store.state
        self.model = kit.field(
            w.Combobox, "Model", "lead", tip="Model: a variable, a path, a sample or a hub name",
            placeholder="a variable, a path, a sample, a hub name", options=desk.sources.models(),
            value=state.source, continuous_update=False,
        )  # fmt: skip
        self.task = kit.field(
            w.Dropdown, "Task", "lead", tip="Task: what accuracy means, or data to compare outputs on",
            options=self._judges(state), value=state.task or state.data,
        )  # fmt: skip
        self.target = kit.field(
            w.Dropdown, "Target", "lead", tip="Target: where it runs", options=pairs([state.target]), value=state.target
        )
        self.model_line, self.task_note, self.providers = kit.magic(), kit.magic(), kit.html(_WAITING)
        self.model.observe(desk.heard(self._pick), "value")
        self.task.observe(desk.heard(self._judge), "value")
        self.target.observe(desk.heard(lambda c: desk.choose(lambda s: replace(s, target=c["new"]))), "value")
        self.widget = kit.row(
            kit.column(self.model, self.model_line, name="part"),
            kit.column(self.task, self.task_note, name="part"),
            kit.column(self.target, self.providers, name="part"),
            name="line",
        )

    def draw(self, state: State) -> int:
        """Set the controls to the state."""
        sent = put(self.model, value=state.source)
        sent += put(self.model_line, value=self.desk.code(source_line(state)))
        busy = self.desk.conductor.activity.busy
        sent += put(self.model, disabled=busy)
        if not busy:  # a cell may have made new ones; while a job tells news, none looks
            sent += put(self.model, options=tuple(self.desk.sources.models()))
            judges = self._judges(state)
            if tuple(self.task.options) != tuple(judges):
                self.task.options = judges
        sent += put(self.task, value=state.task or state.data)
        sent += put(self.task_note, value=self.desk.code(judge_line(state)) or _OWN)
        return sent + self._draw_target(state)

    def _draw_target(self, state: State) -> int:
        runs = [t for t, runs, _ in self.desk.providers if runs] or ["cpu"]
        offered = pairs([*runs, *([state.target] if state.target not in runs else [])])
        if tuple(self.target.options) != tuple(offered):
            self.target.options = offered
        return put(self.target, value=state.target) + put(self.providers, value=_others(self.desk.providers))

    def _pick(self, change: Any) -> None:
        source = change["new"].strip()
        own = sample_name(source)
        task = f"{own}.task" if own and SAMPLES[own].with_task else ""
        ready = self.desk.sources.is_model(source)
        still = task or _still(self.desk.store.state, self.desk)
        self.desk.choose(lambda s: changes.pick_source(s, source, task=still, is_model=ready))

    def _judge(self, change: Any) -> None:
        name = change["new"]
        kind = "data" if name in self.desk.sources.feeds("") else "task"
        self.desk.choose(lambda s: changes.pick_judge(s, **{kind: name}))

    def _judges(self, state: State) -> list[tuple[str, str]]:
        """Tasks, then lists of Feeds; what is chosen is among them also when its name is gone."""
        tasks, feeds = self.desk.sources.tasks(state.source), self.desk.sources.feeds("")
        tasks += [state.task] if state.task and state.task not in tasks else []
        feeds += [state.data] if state.data and state.data not in feeds else []
        return [*pairs(tasks, _RANDOM), *((_COMPARED.format(d), d) for d in feeds)]


class Asked:
    """What is timed, and the budget."""

    def __init__(self, desk: Desk) -> None:
        self.desk, kit = desk, desk.kit
        m, b = desk.store.state.measuring, desk.store.state.budget
        self.fields: dict[str, Any] = {}
        for name, label, tip, value in (
            ("batch", "batch", "Batch size that is timed", m.batch),
            ("seq", "sequence", "Sequence length that is timed", m.seq),
            ("seconds", "seconds", "Seconds that one benchmark may take", m.seconds),
            ("points", "points ≤", "Budget: accuracy points that may be lost", b.points),
            ("cosine", "cosine ≥", "Budget: cosine to the model's own outputs that must be kept", b.cosine),
            ("ms", "ms ≤", "Budget: median latency in milliseconds, empty for none", b.ms),
            ("mb", "MB ≤", "Budget: file size in MB, empty for none", b.mb),
        ):
            field = kit.field(w.Text, label, "short", tip=tip, value=plain(value), continuous_update=False)
            field.observe(desk.heard(functools.partial(self._set, name)), "value")
            self.fields[name] = field
        self.bench_line, self.verdict_line = kit.magic(), kit.magic()
        f = self.fields
        self.widget = kit.column(
            kit.heading("Budget", "what a variant has to meet"),
            kit.row(f["points"], f["cosine"], f["ms"], f["mb"], name="buttons"),
            self.verdict_line,
            kit.heading("Measure at"),
            kit.row(f["batch"], f["seq"], f["seconds"], name="buttons"),
            self.bench_line,
            name="part",
        )

    def draw(self, state: State) -> int:
        """Set the fields to the state; of points and cosine the one that counts is shown."""
        known = {**vars(state.measuring), **vars(state.budget)}
        sent = sum(put(field, value=plain(known[name])) for name, field in self.fields.items())
        show(self.fields["points"], bool(state.task))
        show(self.fields["cosine"], not state.task)
        sent += put(self.bench_line, value=self.desk.code(bench_line(state)))
        return sent + put(self.verdict_line, value=self.desk.code(verdict_line(state)))

    def _set(self, name: str, change: Any) -> None:
        text = change["new"]
        value = number_or_none(text, name)
        if hasattr(Budget(), name):
            if value is None and name in ("points", "cosine"):
                value = getattr(Budget(), name)
            limit: dict[str, Any] = {name: value}
            self.desk.choose(lambda s: replace(s, budget=replace(s.budget, **limit)))
            return
        if value is None or value <= 0 or (name != "seconds" and value != int(value)):
            raise BadInput(f"{name} {text!r}", accepted="a whole number, 1 or more" if name != "seconds" else "above 0")
        number: dict[str, Any] = {name: value if name == "seconds" else int(value)}
        self.desk.choose(lambda s: replace(s, measuring=replace(s.measuring, **number)))


def _still(state: State, desk: Desk) -> str:
    """The task that was chosen, where it is one of the notebook and not of another sample."""
    return state.task if state.task in desk.sources.tasks("") else ""


def _others(providers: tuple[tuple[str, bool, str], ...]) -> str:
    """What does not run here, greyed, each with the reason."""
    if not providers:
        return _WAITING
    items = "".join(
        f"<li aria-disabled='true'><s>{escape(t)}</s>: {escape(why)}</li>" for t, runs, why in providers if not runs
    )
    count = sum(not runs for _, runs, _ in providers)
    head = f"<summary>{count} more do not run here</summary>"
    return f"<details>{head}<ul class='ol-providers'>{items}</ul></details>" if count else ""
