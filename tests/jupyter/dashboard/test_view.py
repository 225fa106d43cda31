"""The page without a browser: set what a person would set, look at what is drawn and sent."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any

import ipywidgets as w
import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.jupyter.dashboard import changes, lines, store
from onnx_lab.jupyter.dashboard.activity import Activity
from onnx_lab.jupyter.dashboard.board import Dashboard
from onnx_lab.jupyter.dashboard.forms import Form
from onnx_lab.jupyter.dashboard.pace import SHORTEST_GAP, Pace
from onnx_lab.jupyter.dashboard.state import Budget, Measuring, State, Step
from onnx_lab.plots.chart import PLOTLY_MIME


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    from onnx_lab.runtime import doctor

    class Proof:
        def __init__(self, target: str, runs: bool, why: str) -> None:
            self.target, self.runs, self.why = target, runs, why

    found = type("Found", (), {"providers": (Proof("cpu", True, ""), Proof("cuda", False, "no NVIDIA GPU here"))})
    monkeypatch.setattr(doctor, "doctor", found)
    board = lab.dashboard(lab.samples.tiny())
    drawn(board)
    yield board
    board.cancel()


def drawn(board: Dashboard) -> State:
    board._view.pace.ask(urgent=True)
    assert board._view.pace.settle()
    assert not board._desk.said.startswith("drawing failed"), board._desk.said
    return board.state


def words(html: Any) -> str:
    """What is read in an HTML widget."""
    return unescape(re.sub(r"<[^>]*>", "", html.value))


def with_variants(board: Dashboard, count: int) -> None:
    """Rows as after a run."""

    def made(state: State) -> State:
        state = changes.planned(state)
        for i in range(count - len(state.variants)):
            state = changes.planned(changes.set_option(state, 2, "block_size", str(16 * (i + 1))))
        for i, v in enumerate(state.variants):
            facts: dict[str, Any] = {"p50": 0.02 / (i + 1), "low": 0.018 / (i + 1), "high": 0.022 / (i + 1)}
            ratio = {"ratio": 1.0 + i, "ratio_low": 0.9 + i, "ratio_high": 1.1 + i}
            worth = {"asked": "random feeds", "cosine": 1.0 - 0.003 * i, "size_bytes": 9_000_000 // (i + 1)}
            state = changes.learn(state, v.id, state="done", path="/x.onnx", nodes=5, **facts, **ratio, **worth)
        return state

    board._store.change(made)
    drawn(board)


def test_every_control_has_a_name_and_every_step_its_line(board: Dashboard) -> None:
    seen = list(widgets(board._view.widget))
    for control in seen:
        if isinstance(control, w.Button | w.ToggleButton | w.Text | w.Dropdown | w.Checkbox):
            assert control.tooltip, control
    named = [c.tooltip for c in seen if isinstance(c, w.Button)]
    assert len(named) == len(set(named))  # a screen reader and a test can tell them apart
    lines = [r["line"] for r in board._view.steps.list.rows]
    assert lines[1:3] == ["%onnx_optimize {board.source}", "%onnx_quantize m"]


def widgets(root: Any) -> Iterator[Any]:
    yield root
    for child in getattr(root, "children", ()):
        yield from widgets(child)


def pressed(board: Dashboard, what: str, verb: str, value: Any) -> None:
    """What the page sends when a person does it."""
    board._view.steps.list._handle_custom_msg({"do": what, "verb": verb, "value": value}, [])


def opened(board: Dashboard, verb: str) -> Form:
    board._view.steps.list.opened = verb
    drawn(board)
    form = board._view.steps.forms[verb]
    assert board._view.steps.place.children == (form.widget,)
    return form


def row(board: Dashboard, verb: str) -> dict[str, Any]:
    return next(r for r in board._view.steps.list.rows if r["verb"] == verb)


@pytest.mark.slow
def test_a_tick_and_an_option_change_the_line_and_can_be_undone(board: Dashboard) -> None:
    steps = board._view.steps
    form = opened(board, "quantize")
    form.controls["method"].value = "int4"
    assert dict(drawn(board).drafts[2].step.options) == {"method": "int4"}
    assert "--method int4" in row(board, "quantize")["line"]
    pressed(board, "tick", "quantize", False)
    assert [s.verb for s in drawn(board).steps] == ["optimize"]
    assert not row(board, "quantize")["on"]
    board._view.undo.click()
    drawn(board)
    assert row(board, "quantize")["on"]
    board._view.undo.click()
    drawn(board)
    assert form.controls["method"].value == ""
    assert "--method" not in row(board, "quantize")["line"]
    steps.list.opened = "fp16"
    drawn(board)
    assert steps.place.children == (steps.forms["fp16"].widget,), "one form at a time"
    steps.list.opened = ""
    assert steps.place.children == ()
    board._view.redo.click()
    assert dict(drawn(board).drafts[2].step.options) == {"method": "int4"}


def test_steps_move(board: Dashboard) -> None:
    pressed(board, "move", "quantize", -1)
    assert [s.verb for s in drawn(board).steps] == ["quantize", "optimize"]
    assert [r["verb"] for r in board._view.steps.list.rows][:3] == ["simplify", "quantize", "optimize"]


def test_what_is_wrong_is_said_in_the_status_line(board: Dashboard) -> None:
    board._view.asked.fields["ms"].value = "fast"
    drawn(board)
    assert "Accepted: a number, or nothing" in board._view.run.status.value
    board._view.asked.fields["ms"].value = "20"
    assert drawn(board).budget.ms == 20
    assert "fast" not in board._view.run.status.value
    assert "--max-ms 20" in words(board._view.asked.verdict_line)
    for endless in ("inf", "nan"):
        board._view.asked.fields["batch"].value = endless
        drawn(board)
        assert "a number of 0 or more" in board._view.run.status.value
    board._view.asked.fields["cosine"].value = "0.999999999"
    drawn(board)
    assert board._view.asked.fields["cosine"].value == "0.999999999"
    assert "--min-cosine 0.999999999" in words(board._view.asked.verdict_line)


def test_an_error_goes_with_the_next_choice(board: Dashboard) -> None:
    board._conductor.activity = Activity(error="no file at nowhere.onnx")
    drawn(board)
    assert "ol-bad" in board._view.run.status.value
    board._view.steps._hear({"do": "tick", "verb": "fp16", "value": True})
    drawn(board)
    assert "nowhere.onnx" not in board._view.run.status.value
    board._conductor.activity = Activity(error="cancelled; what was made stays", calm=True)
    drawn(board)
    assert "cancelled" in board._view.run.status.value
    assert "ol-bad" not in board._view.run.status.value


def test_what_would_pull_the_rug_is_off_while_it_works(board: Dashboard) -> None:
    board._view.steps._hear({"do": "tick", "verb": "fp16", "value": True})
    drawn(board)
    view = board._view
    assert [view.undo.disabled, view.setup.model.disabled] == [False, False]
    board._conductor.activity = Activity("measuring")
    drawn(board)
    assert [view.undo.disabled, view.redo.disabled, view.setup.model.disabled] == [True, True, True]


def test_a_redo_after_the_end_shows_nothing_under_way(board: Dashboard) -> None:
    board._store.change(lambda s: changes.planned(s))
    board._store.learn(
        lambda s: replace(s, variants=tuple(replace(v, state="measuring", path="/x.onnx") for v in s.variants))
    )
    board._view.undo.click()
    board._view.redo.click()
    assert {v.state for v in drawn(board).variants} == {"done"}


def test_only_what_runs_is_offered_and_the_rest_has_its_reason(board: Dashboard) -> None:
    for _ in range(100):
        if board._desk.providers:
            break
        time.sleep(0.05)
    drawn(board)
    assert [v for _, v in board._view.setup.target.options] == ["cpu"]
    assert "no NVIDIA GPU here" in board._view.setup.providers.value
    assert "aria-disabled" in board._view.setup.providers.value


@pytest.mark.slow
def test_the_selected_row_is_picked_out_in_every_chart(board: Dashboard) -> None:
    with_variants(board, 3)
    name = board.state.variants[1].name
    board._view.results.table.selected = board.state.variants[1].id
    drawn(board)
    for out in board._view.results.charts.outputs.values():
        (shown,) = out.outputs
        assert f"▸ {name}" in json.dumps(shown["data"][PLOTLY_MIME], ensure_ascii=False)
        assert name in shown["data"]["text/html"]  # a table stands beside the figure
    assert name in board._view.home.facts.value
    assert not board._store.state.variants[1].taken
    assert board._view.home.path.value == f"{name}.onnx"
    board._view.undo.click()  # looking is no choice: this takes the rows back
    assert drawn(board).variants == ()


@pytest.mark.slow
def test_a_budget_marks_and_takes(board: Dashboard) -> None:
    with_variants(board, 3)
    assert board.state.best is not None
    assert board.state.best.name == "tiny-optimized-int8"
    board._view.asked.fields["cosine"].value = "0.999"
    best = drawn(board).best
    assert best is not None
    assert best.name == "tiny"
    rows = board._view.results.table.rows
    assert [r["taken"] for r in rows] == [True, False, False]
    assert rows[2]["tone"] == "bad"
    assert "cosine 0.9940 on random feeds" in rows[2]["cells"][-1]


@pytest.mark.slow
def test_a_fork_and_a_removal(board: Dashboard) -> None:
    with_variants(board, 3)
    board._view.results.table.selected = board.state.variants[1].id
    board._view.home.fork.click()
    assert [s.verb for s in drawn(board).steps] == ["optimize"]
    board._view.home.drop.click()
    assert [v.name for v in drawn(board).variants] == ["tiny"]


@pytest.mark.slow
def test_forty_rows_are_drawn_in_a_moment(board: Dashboard) -> None:
    with_variants(board, 40)
    assert len(board._view.results.table.rows) == 40
    sizes = [len(json.dumps(out.outputs)) for out in board._view.results.charts.outputs.values()]
    assert max(sizes) < 32_000
    assert len(json.dumps(board._view.results.table.rows)) < 20_000


def test_a_page_is_few_messages() -> None:
    before = set(w.widgets.widget._instances)
    lab.dashboard("x.onnx")
    assert len(set(w.widgets.widget._instances) - before) < 60


@pytest.mark.slow
def test_news_are_drawn_at_most_five_times_a_second_and_bytes_make_it_slower() -> None:
    at: list[float] = []

    def draw() -> int:
        at.append(time.monotonic())
        return 0 if len(at) < 4 else 1_000_000

    pace = Pace(draw)
    while len(at) < 4:
        pace.ask()
        time.sleep(0.002)
    assert min(b - a for a, b in itertools.pairwise(at)) >= SHORTEST_GAP * 0.99
    pace.ask()
    assert not pace.settle(2 * SHORTEST_GAP)  # after a megabyte it waits
    pace.ask(urgent=True)  # but not for a person
    assert pace.settle()
    assert len(at) == 5


@pytest.mark.slow
def test_without_widgets_it_is_a_card_with_tables(board: Dashboard) -> None:
    with_variants(board, 3)
    bundle = board._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    for text in (bundle["text/html"], bundle["text/plain"]):
        for v in board.state.variants:
            assert v.name in text
        assert "%onnx_quantize" in text
        assert "random feeds" in text
    assert "<details class='ol-saved' open>" in board._saved()["text/html"]


@pytest.mark.slow
def test_it_comes_back_from_the_workspace(board: Dashboard) -> None:
    with_variants(board, 3)
    board._view.asked.fields["mb"].value = "5"
    drawn(board)
    assert store.newest() == board.state
    again = lab.dashboard(resume=True)
    assert again.state.id == board.state.id
    assert again.state.budget.mb == 5
    assert [v.p50 for v in again.state.variants] == [v.p50 for v in board.state.variants]
    assert again._view.asked.fields["mb"].value == "5"


def test_what_a_dashboard_is_not_given() -> None:
    with pytest.raises(BadInput, match="task of type str"):
        lab.dashboard(lab.samples.tiny(), task="bert")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="data is a list"):
        lab.dashboard(lab.samples.tiny(), data=[1, 2])
    with pytest.raises(BadInput, match="target 'gpu'"):
        lab.dashboard(lab.samples.tiny(), target="gpu")


@pytest.mark.slow
def test_another_model_brings_its_own_task(board: Dashboard) -> None:
    with_variants(board, 3)
    board._view.setup.model.value = "lab.samples.bert()"
    state = drawn(board)
    assert (state.task, state.variants) == ("bert.task", ())
    assert "%onnx_export bert.model" in board._view.setup.model_line.value
    assert "bert.task" in [v for _, v in board._view.setup.task.options]
    board._view.undo.click()
    assert len(drawn(board).variants) == 3


def test_answers_are_judged_by_data_of_the_notebook(notebook: Any) -> None:
    notebook.ns["texts"] = [{"x": np.zeros((2, 8), np.float32)}]
    board = notebook.run("board = %onnx_lab m --data texts\nboard")
    assert (board.state.task, board.state.data) == ("", "texts")
    setup = board._view.setup
    assert [v for _, v in setup.task.options] == ["", "texts"]
    assert "%onnx_compare m m2 texts" in setup.task_note.value
    assert "--data texts --min-cosine 0.99" in words(board._view.asked.verdict_line)
    setup.task.value = ""
    assert drawn(board).data == ""
    setup.task.value = "texts"
    assert drawn(board).data == "texts"
    assert "on texts" in repr(board)


@pytest.mark.slow
def test_lines_can_be_pasted_and_say_what_the_dashboard_says(notebook: Any) -> None:
    notebook.run("import onnx_lab as lab\nmine = lab.dashboard(lab.samples.tiny(features=64))")
    board = notebook.ns["mine"]
    drawn(board)
    assert [s.verb for s in notebook.run(row(board, "optimize")["line"]).lineage] == ["tiny", "optimize"]
    board._store.change(lambda s: replace(s, measuring=replace(s.measuring, seconds=1.0)))
    board.run().wait(120)
    drawn(board)
    asked = board._view.asked
    bench, verdict = words(asked.bench_line), words(asked.verdict_line)
    assert "{mine.contestants}" in bench
    notebook.run(bench)
    found = notebook.run(verdict)
    names = [v.name for v in board.state.variants]
    assert [r.name for r in found.rows] == names
    assert all(r.p50 for r in found.rows)
    assert found.taken in names
    assert board.source == lab.samples.tiny(features=64)
    assert (board.task, board.data) == (None, None)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State("a", source="m", is_model=True), "m2 = %onnx_optimize m"),
        (State("a", source="m"), "m2 = %onnx_export m\nm2 = %onnx_optimize m2"),
        (State("a", source="net", task="m.task"), "m2 = %onnx_export net\nm2 = %onnx_optimize m2"),
        (State("a", source="tiny", is_model=True, given=("tiny",)), "m = %onnx_optimize {board.source}"),
        (State("a", source="net", given=("net",)), "m = %onnx_export {board.source}\nm = %onnx_optimize m"),
    ],
)
def test_lines_leave_what_is_there_as_it_is(state: State, expected: str) -> None:
    assert lines.walk(state, (Step("optimize"),)) == expected


def test_the_line_of_the_search_is_what_it_does() -> None:
    budget = Budget(ms=5, mb=3)
    state = State("a", source="net", is_model=True, data="texts", budget=budget, measuring=Measuring(seconds=2))
    assert lines.best_line(state, "texts") == (
        "%onnx_best net texts --calibration texts --batch 1 --seq 128 --min-cosine 0.99 --max-ms 5 --max-mb 3 "
        "--budget-s 6 --no-explain"
    )


@pytest.mark.slow
def test_what_was_handed_over_in_another_session_is_asked_for(board: Dashboard) -> None:
    with_variants(board, 2)
    model = lab.samples.tiny()
    first = board.state.variants[0]
    board._store.learn(lambda s: changes.learn(changes.pick_judge(s, task="task"), first.id, path=str(model.path)))
    board._store.learn(lambda s: replace(s, given=("tiny", "task")))
    drawn(board)
    again = lab.dashboard(resume=True)
    assert again.state.given == ("tiny", "task")
    assert again.source == model
    assert "{board.task}" in again._view.setup.task_note.value
    with pytest.raises(BadInput, match=r"hand it over: lab\.dashboard\(task="):
        _ = again.task


@pytest.mark.slow
def test_the_python_of_a_calibrated_row_asks_for_the_data(board: Dashboard) -> None:
    feeds = [{"x": np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)}]
    small = lab.quantize(lab.samples.tiny(features=32), method="static", data=feeds)
    step = Step("quantize", (("method", "static"), ("data", "few")))

    def made(state: State) -> State:
        first = changes.with_baseline(state).variants[0]
        own = replace(first, id="x", parent=first.id, steps=(step,), state="done", path=str(small.path), size_bytes=1)
        return replace(state, variants=(first, own), selected="x")

    board._store.change(made)
    drawn(board)
    board._view.home.show.value = True
    drawn(board)
    shown = words(board._view.home.code)
    assert "data = ...  # what it was calibrated on: few" in shown
    compile(shown, "shown", "exec")


def test_the_magic_is_the_function(notebook: Any) -> None:
    board = notebook.run("board = %onnx_lab m\nboard")
    assert isinstance(board, Dashboard)
    assert board.state.source == "m"
    assert board.state.is_model
    assert row(board, "optimize")["line"] == "%onnx_optimize m"
    assert "--resume" in repr(notebook.run("%onnx_lab -h"))


@pytest.mark.slow
def test_the_file_the_recipe_and_the_python(board: Dashboard, tmp_path: Any) -> None:
    model = lab.optimize(lab.samples.tiny(features=32))
    key = "x"

    def made(state: State) -> State:
        first = changes.with_baseline(state).variants[0]
        found = replace(first, id=key, state="done", path=str(model.path), size_bytes=model.size_bytes)
        return replace(state, variants=(found,), selected=key)

    board._store.change(made)
    drawn(board)
    home = board._view.home
    home.path.value = str(tmp_path / "mine.onnx")
    home.save.click()
    assert lab.load(tmp_path / "mine.onnx").digest == model.digest
    drawn(board)
    for place in (home.told, board._view.run.status):
        assert "mine.onnx (" in place.value
        assert "ol-bad" not in place.value, "no error"
    home.save.click()
    drawn(board)
    assert "in place of the file that was there" in home.told.value
    home.recipe.click()
    recipe = lab.Recipe.from_json((tmp_path / "mine.recipe.json").read_text())
    assert [verb for verb, _ in recipe.steps] == ["optimize"]
    drawn(board)
    assert "mine.recipe.json" in board._view.run.status.value
    home.show.value = True
    drawn(board)
    assert "optimize" in home.code.value
    home.path.value = "mine.txt"
    home.save.click()
    drawn(board)
    for place in (home.told, board._view.run.status):
        assert "ends in .onnx" in place.value
        assert "ol-bad" in place.value
    home.path.value = "/proc/nowhere/mine.onnx"
    home.recipe.click()
    drawn(board)
    assert "could not write" in home.told.value


@pytest.mark.slow
def test_an_edit_of_the_graph_is_a_step_with_its_line_and_form(board: Dashboard) -> None:
    steps = board._view.steps
    steps.edits.value = "expose"
    state = drawn(board)
    assert steps.edits.value == "", "ready for the next one"
    assert [s.verb for s in state.steps] == ["surgery.expose", "optimize", "quantize"]
    assert (steps.list.rows[0]["verb"], steps.list.rows[0]["label"]) == ("surgery.expose", "expose")
    opened(board, "surgery.expose").controls["tensor"].value = "h1"
    drawn(board)
    assert row(board, "surgery.expose")["line"] == "%onnx_edit {board.source} expose --tensor h1"
    board._store.change(lambda s: replace(s, measuring=replace(s.measuring, seconds=1.0)))
    board.run()
    board.wait(120)
    made = drawn(board).variants
    assert [v.name for v in made][:2] == ["tiny", "tiny-expose"]
    assert [o.name for o in board.models["tiny-expose"].outputs] == ["logits", "h1"]
