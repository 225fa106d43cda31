"""The front: who is on it, what a marker says, and that the chart has its table."""

from __future__ import annotations

import pytest

import onnx_lab as lab
from onnx_lab.measure._result import this_machine
from onnx_lab.measure.verdict import Verdict, VerdictRow
from onnx_lab.plots._front import front, front_chart


def row(name: str, ms: float, mb: float, *, good: bool = True, why: str = "keeps the answers") -> VerdictRow:
    return VerdictRow(
        *(name, "cpu", int(mb * 1e6), 1.0, ms / 1e3, 1.0, 1.0, 1.0, 0.9, 0.0, 0.0, None), qualifies=good, why=why
    )


ROWS = (
    row("net", 90, 400, good=False, why=""),
    row("fp32", 60, 400),
    row("fp16", 70, 200),
    row("int8", 20, 100),
    row("wrong", 5, 50, good=False, why="loses 9.0 points"),
    row("int4", 80, 60),
)


@pytest.fixture
def judged() -> Verdict:
    best = lab.load(lab.samples.tiny().path, name="int8")
    return Verdict(ROWS, best, "fp32", "batch 1", "at most 1 point lost", this_machine())


def test_only_what_keeps_the_answers_and_is_not_beaten_in_both_is_on_it() -> None:
    assert [r.name for r in front(ROWS)] == ["int8", "int4"]
    assert front(()) == []


def test_form_and_table_say_what_colour_says(judged: Verdict) -> None:
    chart = front_chart(judged)
    forms = {t.name: t.marker.symbol for t in chart.figure.data if t.mode == "markers+text"}
    assert forms == {
        "taken": "star",
        "keeps the answers": "circle",
        "does not qualify": "x",
        "for orientation": "diamond",
    }
    cells = chart.tables[0].rows
    assert [c[0] for c in cells if c[4] == "yes"] == ["int8", "int4"]
    assert chart.title.startswith("Take int8")
