"""The dashboard in a real JupyterLab: by clicks and keys alone, through a reload, a restart, and in both themes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from lab_contrast import too_faint
from lab_dashboard import FORTY, SELECT, SHOW, button, field, rows, status
from lab_notebook import SETUP, Notebook
from nbconvert import HTMLExporter

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]


def shown(lend: Opener, **size: int) -> Notebook:
    notebook = lend(SHOW, **size)
    notebook.run(1)
    notebook.page.locator(".ol-board").wait_for()
    return notebook


def run_to_the_end(notebook: Notebook, timeout_s: float = 240) -> None:
    notebook.page.locator(".ol-board button", has_text="Run").first.click()
    notebook.wait(lambda: button(notebook, "Cancel").is_enabled(), "a beginning")
    notebook.wait(lambda: button(notebook, "Cancel").is_disabled(), "an end", timeout_s)


def seconds(notebook: Notebook, value: str) -> None:
    field(notebook, "seconds").fill(value)
    field(notebook, "seconds").press("Tab")


def test_the_first_paint_comes_soon(open_notebook: Opener) -> None:
    took: list[float] = []
    while len(took) < 3 and (not took or took[-1] >= 1.5):  # something else may have had the machine
        notebook = open_notebook([SETUP, SHOW])
        notebook.run(0)
        before, began = notebook.watch.bytes_in, time.monotonic()
        notebook.start(1)
        notebook.page.locator(".ol-board button", has_text="Run").first.wait_for()
        took.append(time.monotonic() - began)
        assert notebook.watch.bytes_in - before < 250_000
    assert min(took) < 1.5, took


def test_keys_select_a_row_and_the_charts_follow(shared: Opener) -> None:
    notebook = shown(shared)
    notebook.ask(FORTY)
    notebook.wait(lambda: rows(notebook).count() == 40, "forty rows")
    notebook.wait(lambda: notebook.page.locator(".ol-chart .js-plotly-plot").count() == 3, "three charts")
    for width in (1280, 1024, 640):
        if width < 1024:
            notebook.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        notebook.page.set_viewport_size({"width": width, "height": 900})
        notebook.page.wait_for_timeout(300)
        over = notebook.page.locator(".ol-table").evaluate("e => e.scrollWidth - e.clientWidth")
        assert over <= 1, f"{over} px of the table are cut off in a window of {width} px"
        notebook.screenshot(f"{width}")
    notebook.page.set_viewport_size({"width": 1280, "height": 900})
    rows(notebook).nth(3).click()
    notebook.wait(lambda: rows(notebook).nth(3).get_attribute("aria-selected") == "true", "the click")
    rows(notebook).nth(3).press("ArrowDown")
    notebook.wait(lambda: rows(notebook).nth(4).get_attribute("aria-selected") == "true", "the key")
    name = notebook.value("board.state.variant(board.state.selected).name").strip("'")
    chart = notebook.page.locator(".ol-chart .js-plotly-plot").first
    notebook.wait(lambda: f"▸ {name}" in (chart.text_content() or ""), "the chart", 5)
    rows(notebook).nth(4).press("End")
    notebook.wait(lambda: rows(notebook).nth(39).get_attribute("aria-selected") == "true", "the last row")
    took = [notebook.page.evaluate(SELECT, row) for row in (7, 3, 11, 5, 9)]
    assert statistics.median(first for first, _ in took) < 200, took
    assert statistics.median(last for _, last in took) < 1000, took


def test_steps_are_moved_and_opened_by_keys(shared: Opener) -> None:
    notebook = shown(shared)
    page = notebook.page
    order = "[d.step.verb for d in board.state.drafts][:3]"
    down = page.get_by_role("button", name="Move simplify down")
    down.press("Enter")
    notebook.wait(lambda: notebook.value(order) == "['optimize', 'simplify', 'quantize']", "the step's new place")
    notebook.wait(lambda: down.evaluate("e => e === document.activeElement"), "the keyboard on the same button", 5)
    page.get_by_role("checkbox", name="simplify").press(" ")
    notebook.wait(lambda: notebook.value("[s.verb for s in board.state.steps]").count("simplify") == 1, "the tick")
    options = page.get_by_role("button", name="Options of quantize")
    assert options.get_attribute("aria-expanded") == "false"
    options.press(" ")
    field(notebook, "method").select_option("int4")
    line = page.locator(".ol-step", has=options).locator("pre")
    notebook.wait(lambda: line.inner_text() == "%onnx_quantize m2 --method int4", "its line")
    assert options.get_attribute("aria-expanded") == "true"
    options.press("Enter")
    notebook.wait(lambda: field(notebook, "method").count() == 0, "the form closed")
    # the notebook's own keys did nothing beside
    assert page.locator(".jp-Notebook.jp-mod-editMode").count() == 0


def test_a_reload_and_a_restart(shared: Opener) -> None:
    notebook = shown(shared)
    seconds(notebook, "2")
    run_to_the_end(notebook)
    names = rows(notebook).locator("th").all_inner_texts()
    assert len(names) == 3
    assert not notebook.output(1).locator(".ol-saved").is_visible(), "what is for later is not seen beside it"
    notebook.save()
    notebook.reload()
    notebook.wait(lambda: rows(notebook).count() == 3, "the rows after a reload")
    assert not notebook.output(1).locator(".ol-saved").is_visible()
    assert field(notebook, "seconds").input_value() == "2"
    notebook.restart()
    notebook.reload()
    # the live page died with its kernel, and JupyterLab says so in the console; what follows is why that is no harm
    notebook.wait(lambda: any("widget model not found" in e for e in notebook.watch.errors), "the dead widget")
    notebook.watch.errors[:] = [e for e in notebook.watch.errors if "widget model not found" not in e]
    saved = notebook.output(1).locator(".ol-saved")
    assert saved.is_visible()
    assert "m-optimized-int8" in saved.inner_text()
    notebook.screenshot("restarted")
    notebook.set_source(1, "import onnx_lab as lab\nboard = lab.dashboard(resume=True)\nboard")
    notebook.run(1)
    notebook.wait(lambda: rows(notebook).count() == 3, "the rows after a restart")
    assert field(notebook, "seconds").input_value() == "2"


def test_plain_html_has_cards_and_tables(shared: Opener, browser: BrowserContext) -> None:
    notebook = shared(SHOW, "job = %onnx_bench m w --budget-s 1 --background\njob.wait()", "%onnx_view m")
    notebook.run_all()
    seconds(notebook, "1")
    run_to_the_end(notebook)
    notebook.wait_text(2, "done in")
    html, _ = HTMLExporter().from_filename(notebook.save())
    plain = notebook.path.with_suffix(".html")
    plain.write_text(html)
    page = browser.new_page()
    page.goto(plain.as_uri(), wait_until="domcontentloaded")
    words = page.locator("body").inner_text()
    for seen in ("m-optimized-int8", "keeps the answers", "benchmark against m", "graph of tiny"):
        assert seen in words, seen
    assert page.locator("details img").evaluate("async i => { await i.decode(); return i.naturalWidth; }") > 100
    page.close()


def test_two_dashboards_in_one_notebook(shared: Opener) -> None:
    notebook = shown(shared)
    notebook.run(notebook.add("other = %onnx_lab w\nother"))
    notebook.page.locator(".ol-board").nth(1).wait_for()
    second = notebook.page.locator(".ol-board").nth(1)
    second.get_by_role("checkbox", name="fp16").click()
    notebook.wait(lambda: notebook.value("[s.verb for s in other.state.steps]").count("fp16") == 1, "the tick")
    assert "fp16" not in notebook.value("[s.verb for s in board.state.steps]")


@pytest.mark.parametrize("width", [1024, 640])
def test_it_fits_and_reads(shared: Opener, width: int) -> None:
    notebook = shown(shared, width=width, height=1400)
    notebook.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    for theme in ("light", "dark"):
        notebook.theme(theme)
        notebook.screenshot(theme)
        board = notebook.page.locator(".ol-board")
        assert board.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
        assert too_faint(notebook.page, ".ol-board") == []


def test_the_walk_on_the_bert_sample_by_clicks_alone(open_notebook: Opener) -> None:
    notebook = open_notebook([SETUP, "board = %onnx_lab\nboard"], height=1400)
    notebook.run(0)
    notebook.run(1)
    model = field(notebook, "Model")
    model.fill("lab.samples.bert()")
    model.press("Tab")
    seconds(notebook, "3")
    notebook.wait(lambda: field(notebook, "Task").input_value() != "", "its task")
    run_to_the_end(notebook, timeout_s=600)
    assert status(notebook).startswith("Take bert-optimized"), status(notebook)
    rows(notebook).locator("th", has_text="take").first.click()
    notebook.wait(lambda: field(notebook, "File").input_value().startswith("bert-optimized"), "its file")
    file = field(notebook, "File").input_value()
    button(notebook, "Save .onnx").click()
    notebook.wait(lambda: "Saved" in status(notebook), "the file")
    assert notebook.value(f"lab.load({file!r}).digest == board.best.digest") == "True"
    notebook.screenshot("done")
