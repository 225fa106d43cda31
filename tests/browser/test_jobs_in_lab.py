"""Jobs in a real JupyterLab, on three ipykernels: the kernel stays free, a cancel is heard, what is seen stays."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import nbformat
import pytest
from lab_notebook import SETUP, Notebook

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]

LONG = "job = %onnx_bench m w --budget-s 60 --background"


def begin(notebook: Notebook, index: int) -> None:
    """Run a cell that starts a long benchmark; it comes back at once, and the panel shows figures."""
    notebook.run(index, timeout_s=10)
    notebook.output(index).get_by_role("progressbar").wait_for()
    notebook.wait_seen(index, "left")


def test_the_kernel_answers_while_a_job_runs(open_notebook: Opener, kernel: str) -> None:
    notebook = open_notebook([SETUP, LONG], kernel=kernel)
    notebook.run(0)
    begin(notebook, 1)
    answers = [notebook.ask("1+1") for _ in range(15)]
    assert {a.text for a in answers} == {"2"}
    assert statistics.median(a.seconds for a in answers) < 0.3, answers
    assert notebook.value("job.state") == "'running'"
    bar = notebook.output(1).get_by_role("progressbar")
    seen = bar.get_attribute("aria-valuenow")
    notebook.wait(lambda: bar.get_attribute("aria-valuenow") != seen, "a bar that moves", 20)


@pytest.mark.parametrize("way", ["button", "code"])
def test_a_job_is_cancelled_within_a_second(open_notebook: Opener, kernel: str, way: str) -> None:
    notebook = open_notebook([SETUP, LONG, "job.cancel()"], kernel=kernel)
    notebook.run(0)
    took = []
    for _ in range(3):
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


def test_two_jobs_keep_to_their_cells_and_outlive_the_kernel(open_notebook: Opener, kernel: str) -> None:
    jobs = ["a = %onnx_bench m w --budget-s 8 --background", "b = %onnx_bench w m --budget-s 3 --background"]
    notebook = open_notebook([SETUP, *jobs, "print('other work')"], kernel=kernel)
    notebook.run(0)
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


def test_a_reload_brings_the_view_back(open_notebook: Opener, kernel: str) -> None:
    notebook = open_notebook([SETUP, LONG], kernel=kernel)
    notebook.run(0)
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
