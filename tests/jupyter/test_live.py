from __future__ import annotations

import time
from typing import Any

import pytest

from onnx_lab.errors import Stopped
from onnx_lab.jupyter import _live, _panel
from onnx_lab.jupyter._live import Live

ROW = {"name": "fp32", "target": "cpu", "batch": 1, "seq": 128, "p50": 0.02, "low": 0.019, "high": 0.021,
       "ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0, "verdict": "reference", "size_bytes": 4_000_000}  # fmt: skip
FAST = {**ROW, "name": "int8", "p50": 0.005, "ratio": 4.0, "ratio_low": 3.9, "ratio_high": 4.1, "verdict": "faster"}
ROUND = {"kind": "round", "done": 12.0, "of": 30.0, "grid": [[1, 128]], "rows": [ROW, FAST]}


class FakeKernelShell:
    kernel = object()


class Screen:
    """Takes the place of IPython's display: keeps what was shown and what replaced it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[dict[str, str]] = []
        self.places = 0
        monkeypatch.setattr("IPython.display.display", self.display)

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Screen:
        assert raw
        assert display_id
        self.places += 1
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def work(ends_with: type[BaseException]) -> None:
    with Live(FakeKernelShell(), "measuring m") as live:
        live.progress(ROUND)
        raise ends_with


def test_a_search_says_in_words_where_it_stands() -> None:
    state = "evaluation 5 of at most 64: 7 nodes in float16"
    html, text = _panel.render("searching m", {"kind": "evaluation", "state": state, "done": 4, "of": 64})
    assert text == f"searching m … {state}"
    assert "aria-valuenow='6'" in html


def test_short_work_shows_nothing(screen: Screen) -> None:
    with Live(FakeKernelShell(), "exporting net"):
        pass
    assert screen.shown == []


def test_long_work_shows_a_heartbeat_and_ends_as_one_line(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "PATIENCE_SECONDS", 0.02)
    with Live(FakeKernelShell(), "exporting net"):
        time.sleep(0.1)
    assert screen.places == 1, "one place, rewritten"
    assert screen.shown[0]["text/plain"].startswith("exporting net …")
    assert screen.shown[-1]["text/plain"].startswith("exporting net: done in")
    assert "text/html" in screen.shown[-1]


def test_at_most_five_updates_a_second(screen: Screen) -> None:
    with Live(FakeKernelShell(), "measuring m") as live:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            live.progress(ROUND)
    assert screen.places == 1
    assert len(screen.shown) <= 2 + 0.5 * 5


def test_silent_and_terminal_show_nothing(screen: Screen) -> None:
    for live in (Live(FakeKernelShell(), "x", silent=True), Live(object(), "x")):
        with live:
            live.progress(ROUND)
    assert screen.shown == []


def test_failure_is_said_and_passed_on(screen: Screen) -> None:
    with pytest.raises(ZeroDivisionError):
        work(ZeroDivisionError)
    assert "failed after" in screen.shown[-1]["text/plain"]


def test_an_interrupt_is_said(screen: Screen) -> None:
    with pytest.raises(Stopped):
        work(KeyboardInterrupt)
    assert "stopped after" in screen.shown[-1]["text/plain"]


def test_nothing_is_drawn_after_the_end(screen: Screen) -> None:
    with Live(FakeKernelShell(), "measuring m") as live:
        live.progress(ROUND)
    count = len(screen.shown)
    live._draw()
    assert len(screen.shown) == count


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"kind": "waiting", "seconds": 3.0, "for": "process 7"}, "waiting 3 s for process 7"),
        ({"kind": "start", "of": 30.0, "contestants": ["a", "b"], "grid": [[1, None]]}, "starting processes for a, b"),
        (ROUND, "12 of 30 s"),
    ],
)
def test_the_panel_says_where_things_stand(event: dict[str, Any], told: str) -> None:
    html, text = _panel.render("measuring fp32 int8", event)
    assert told in text
    assert told in html
    assert "role='progressbar'" in html
    assert "aria-valuenow" in html


def test_the_panel_shows_provisional_figures_and_bars() -> None:
    html, _ = _panel.render("<b>", ROUND)
    assert "4.00 [3.90, 4.10]" in html
    assert "transparent 24%" in html, "a bar a quarter as long as the slowest, which leaves room for its interval"
    assert html.count(" 3px no-repeat") == 2, "and a line for each interval"
    assert "<b>" not in html.replace("<body>", ""), "names are escaped"


def test_a_big_grid_is_cut_while_it_runs() -> None:
    html, _ = _panel.render("x", {**ROUND, "rows": [ROW] * 40})
    assert html.count("<tr") == _panel._MOST_ROWS + 1
    assert "and 16 more rows" in html


def test_a_grid_fills_cell_by_cell_and_names_the_best() -> None:
    grid = [[b, s] for b in (1, 8) for s in (64, 128)]
    html, _ = _panel.render("x", {**ROUND, "grid": grid})
    assert html.count("<table") == 2, "one for each contestant"
    assert html.count("…</td>") == 6, "three shapes are still to come for each"
    assert "4.00× best" in html
    assert "1 of 4 shapes measured" in html
    assert "4.0 MB" in html


@pytest.mark.parametrize(("event", "left"), [(ROUND, " · 18 s left"), ({"kind": "making", "name": "int8"}, "")])
def test_the_time_left_is_said_where_it_is_known(event: dict[str, Any], left: str) -> None:
    live = Live(object(), "x")
    live.progress(event)
    assert live._content()[1].endswith(left or "making int8")


def test_counts_give_a_time_left_by_their_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(_live.time, "monotonic", lambda: now[0])
    live = Live(object(), "x")
    for done in range(3):
        live.progress({"kind": "counting", "state": f"batch {done + 1} of 12", "done": done, "of": 12})
        now[0] += 4
    now[0] -= 4
    assert live._content()[1] == "x … batch 3 of 12 · 40 s left"


def test_large_panels_are_drawn_less_often(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of a minute sends less than 2 MB, whatever its size."""
    now = [100.0]
    monkeypatch.setattr(_live.time, "monotonic", lambda: now[0])
    live = Live(FakeKernelShell(), "x")
    live._started = now[0]
    many = {**ROUND, "rows": [{**FAST, "name": f"contestant {i}"} for i in range(40)]}
    for _ in range(300):
        now[0] += 0.2
        live.progress(many)
    assert sum(len(data["text/html"]) for data in screen.shown) < 2_000_000
    assert len(screen.shown) >= 60


def test_what_a_child_printed_last_is_shown_while_nothing_else_is_known() -> None:
    live = Live(object(), "exporting net")
    live.printed = lambda: "Fetching weights:  10%\rFetching weights:  20%"
    assert live._content()[1].endswith(" · Fetching weights:  20%")
    live.progress(ROUND)
    assert "Fetching" not in live._content()[0]


def test_short_work_that_counts_shows_nothing(screen: Screen) -> None:
    with Live(FakeKernelShell(), "comparing a b") as live:
        for done in range(3):
            live.progress({"kind": "counting", "state": f"batch {done + 1} of 3", "done": done, "of": 3})
    assert screen.shown == []


def test_a_step_that_only_says_where_it_is_says_how_long_it_took(screen: Screen) -> None:
    live = Live(FakeKernelShell(), "exporting net")
    live._started = time.monotonic() - 12
    live.progress({"kind": "step", "state": "writing the graph"})
    assert screen.shown[-1]["text/plain"] == "exporting net … writing the graph · 12 s"
