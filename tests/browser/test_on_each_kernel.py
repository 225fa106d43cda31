"""Work beside three ipykernels in a real JupyterLab: the kernel stays free, a cancel is heard, what is seen stays."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import nbformat
import pytest
from lab_dashboard import SHOW, button, status
from lab_notebook import Notebook

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]

LONG = "job = %onnx_bench m w --budget-s 60 --background"


def begin(notebook: Notebook, index: int) -> None:
    """Run a cell that starts a long benchmark; it comes back at once, and the panel shows figures."""
    notebook.run(index, timeout_s=10)
    notebook.output(index).get_by_role("progressbar").wait_for()
    notebook.wait_seen(index, "left")


def test_the_kernel_answers_while_a_job_runs(on_each_kernel: Opener) -> None:
    notebook = on_each_kernel(LONG)
    begin(notebook, 1)
    answers = [notebook.ask("1+1") for _ in range(15)]
    assert {a.text for a in answers} == {"2"}
    assert statistics.median(a.seconds for a in answers) < 0.3, answers
    assert notebook.value("job.state") == "'running'"
    bar = notebook.output(1).get_by_role("progressbar")
    seen = bar.get_attribute("aria-valuenow")
    notebook.wait(lambda: bar.get_attribute("aria-valuenow") != seen, "a bar that moves", 20)


def test_a_job_is_cancelled_within_a_second(on_each_kernel: Opener) -> None:
    notebook = on_each_kernel(LONG, "job.cancel()")
    took = []
    for way in ("button", "code", "button"):
        begin(notebook, 1)
        if way == "button":
            notebook.output(1).get_by_role("button", name="Cancel").click()
        else:
            notebook.start(2)
        took.append(notebook.wait(lambda: "cancelled after" in notebook.text(1), "the word on the page", 10))
        assert notebook.value("job.state") == "'cancelled'"
        assert notebook.output(1).get_by_role("progressbar").count() == 0
        notebook.wait(lambda: notebook.output(1).get_by_role("button").count() == 0, "no button is left", 5)
    assert statistics.median(took) < 1, took


def test_an_interrupt_ends_a_benchmark_in_about_a_second(on_each_kernel: Opener) -> None:
    notebook = on_each_kernel("%onnx_bench m w --budget-s 60")
    took = []
    for _ in range(3):
        run = notebook.start(1)
        notebook.output(1).get_by_role("progressbar").wait_for()
        began = time.monotonic()
        notebook.interrupt()
        notebook.finish(run)
        took.append(time.monotonic() - began)
        shown = notebook.outputs(1)
        assert [o["ename"] for o in shown if o["output_type"] == "error"] == ["Stopped"]
        assert "Traceback" not in notebook.text(1)
        assert notebook.value("1+1") == "2"
    assert statistics.median(took) < 1.5, took


def test_the_kernel_stays_free_beside_a_dashboard_and_a_cancel_is_heard(on_each_kernel: Opener) -> None:
    notebook = on_each_kernel(SHOW)
    notebook.run(1)
    took: list[float] = []
    while len(took) < 3 and (not took or took[-1] >= 1):
        button(notebook, "Run").click()
        notebook.wait(lambda: status(notebook).startswith("measuring"), "a measurement", 120)
        if not took:
            answers = [notebook.ask("1+1").seconds for _ in range(9)]
            assert statistics.median(answers) < 0.3, answers
        button(notebook, "Cancel").click()
        took.append(notebook.wait(lambda: "cancelled" in status(notebook), "the end", 10))
    assert min(took) < 1, took


def test_a_reload_brings_the_view_back(on_each_kernel: Opener) -> None:
    notebook = on_each_kernel(LONG)
    begin(notebook, 1)
    notebook.save()
    notebook.reload()
    bar = notebook.output(1).get_by_role("progressbar")
    bar.wait_for()
    seen = bar.get_attribute("aria-valuenow")
    notebook.screenshot("after")
    notebook.wait(lambda: bar.get_attribute("aria-valuenow") != seen, "a bar that moves", 10)
    notebook.output(1).get_by_role("button", name="Cancel").click()
    notebook.output(1).get_by_text("cancelled after").first.wait_for()
    assert notebook.value("job.state") == "'cancelled'"
    assert notebook.value("f'lab.jobs()[{job.number}]'").strip("'") in notebook.output(1).inner_text(), "how to keep it"
    kept = notebook.add("job")
    notebook.run(kept)
    assert "measuring m w: cancelled after" in notebook.text(kept)


def test_two_jobs_keep_to_their_cells_and_outlive_the_kernel(on_each_kernel: Opener) -> None:
    jobs = ["a = %onnx_bench m w --budget-s 5 --background", "b = %onnx_bench w m --budget-s 2 --background"]
    notebook = on_each_kernel(*jobs, "print('other work')")
    begin(notebook, 1)
    notebook.run(2)
    notebook.run(3)
    notebook.wait_seen(2, "waiting", 10)  # one measures at a time
    notebook.wait_text(1, "done in")
    notebook.wait_text(2, "done in")
    for cell in (1, 2):  # the picture comes last
        notebook.output(cell).locator(".jp-RenderedPlotly svg.main-svg").first.wait_for()
    assert notebook.text(3) == "other work\n", "nothing landed in another cell"

    path = notebook.save()
    assert path.stat().st_size < 200_000
    nbformat.validate(nbformat.read(path, as_version=4))
    notebook.restart()
    notebook.reload()
    assert notebook.ask("'a' in globals()").text == "False", "the kernel is a new one"
    for cell, (first, second) in {1: "mw", 2: "wm"}.items():
        shown = notebook.output(cell)
        shown.locator(".jp-RenderedPlotly").locator("svg, img").first.wait_for()
        words = shown.inner_text()
        assert f"measuring {first} {second}: done in" in words
        assert f"benchmark against {first}" in words
        assert "model not found" not in words
        assert shown.get_by_role("progressbar").count() == 0
