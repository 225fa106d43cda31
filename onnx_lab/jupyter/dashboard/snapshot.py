"""The dashboard as cards and tables: what is left of it without a kernel, on GitHub, and where widgets do not show."""

from __future__ import annotations

from onnx_lab.card import Card, Table
from onnx_lab.jupyter._stays import saved
from onnx_lab.jupyter.dashboard import table
from onnx_lab.jupyter.dashboard.judge import answers, words
from onnx_lab.jupyter.dashboard.lines import walk
from onnx_lab.jupyter.dashboard.state import RANDOM_FEEDS, State

_COLUMNS = ("variant", "size, MB", "latency, ms [99 %]", "speed", "answers", "nodes", "ran by", "verdict")


def card(state: State) -> Card:
    """The state as a card: what was asked, the rows, and how to make the best one again."""
    facts = [
        ("model", state.source or "none yet"),
        ("answers", state.task or f"compared with the model's own, on {state.compared_on}"),
        ("target", state.target),
    ]
    if state.variants:
        facts.append(("asked", words(state.budget, task=bool(state.task))))
        facts.append(("measured at", table.measured_at(state) or "not measured yet"))
    tables = [_table(state)] if state.variants else []
    notes = []
    if (best := state.best) is not None:
        facts += [("to make it", lines)] if (lines := walk(state, best.steps)) else []
    if answers(state.variants) == RANDOM_FEEDS:
        notes.append("Without a task the outputs are compared with the model's own on random feeds.")
    return Card(title(state), facts, tables, notes)


def title(state: State) -> str:
    """``dashboard of bert: take bert-optimized-int8``."""
    name = state.baseline.name if state.baseline else state.source or "no model yet"
    done = [v for v in state.variants if v.verdict]
    verdict = f": take {state.best.name}" if state.best else ": none qualifies" if done else ""
    return f"dashboard of {name}{verdict}"


def html(state: State) -> str:
    """What is left where the live dashboard is gone."""
    return saved(title(state), card(state).html())


def _table(state: State) -> Table:
    cells = tuple(tuple(table.cells(v, state)) for v in state.variants)
    tones = {(i, 7): t for i, v in enumerate(state.variants) if (t := table.tone(v)) in ("good", "bad")}
    return Table(_COLUMNS, cells, "", tones)
