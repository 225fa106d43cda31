"""The magics in a real JupyterLab: errors that stop Run All, the live panel, interrupts, what a saved file shows."""

from __future__ import annotations

import time
from collections.abc import Callable

import nbformat
import pytest
from lab_contrast import too_faint
from lab_notebook import Notebook

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]

#: A 60 s benchmark may send 2 MB.
BYTES_A_SECOND = 2e6 / 60


def test_run_all_stops_on_a_bad_path(shared: Opener) -> None:
    notebook = shared("%onnx_inspect nowhere.onnx", "print('not reached')")
    notebook.run_all()
    (error,) = notebook.outputs(1)
    assert error["output_type"] == "error"
    assert error["ename"] == "BadModel"
    assert len(error["traceback"]) <= 3, "what came, what is accepted, what to do"
    assert "Traceback" not in notebook.output(1).inner_text()
    assert notebook.executed(2) is None
    assert notebook.outputs(2) == []


def test_a_benchmark_shows_itself_while_it_runs(shared: Opener) -> None:
    notebook = shared("b = %onnx_bench m w --budget-s 5", "print('below')")
    before, began = notebook.watch.bytes_in + notebook.watch.bytes_out, time.monotonic()
    run = notebook.start(1)
    bar = notebook.output(1).get_by_role("progressbar")
    bar.wait_for()
    seen = set()
    notebook.wait(lambda: seen.add(bar.get_attribute("aria-valuenow")) or len(seen) >= 3, "a bar that moves", 20)  # type: ignore[func-returns-value]
    assert len(notebook.outputs(1)) == 1, "one display, rewritten"
    notebook.finish(run)
    seconds = time.monotonic() - began
    assert notebook.watch.bytes_in + notebook.watch.bytes_out - before < BYTES_A_SECOND * seconds + 20e3
    assert bar.count() == 0
    assert "done in" in notebook.text(1)
    notebook.run(2)
    assert notebook.text(2) == "below\n", "nothing landed in another cell"


def test_a_saved_notebook_reads_after_restart_and_reload(shared: Opener) -> None:
    notebook = shared("b = %onnx_bench m w --budget-s 2\nb", "lab.inspect(m).plot()")
    notebook.run_all()
    path = notebook.save()
    assert path.stat().st_size < 200_000
    nbformat.validate(nbformat.read(path, as_version=4))
    notebook.restart()
    notebook.reload()
    card = notebook.output(1).locator(".onnx-lab-card")
    card.wait_for()
    assert "benchmark against m" in card.inner_text()
    assert "done in" in notebook.output(1).inner_text()
    figure = notebook.output(2).locator(".jp-RenderedPlotly")
    figure.locator("svg, img").first.wait_for()  # JupyterLab saves a picture of it
    assert "model not found" not in notebook.page.locator(".jp-Notebook").inner_text()
    assert notebook.ask("'b' in globals()").text == "False", "the kernel is a new one"


def test_cards_read_in_both_themes(shared: Opener) -> None:
    cells = [
        *("m", "%onnx_inspect m", "%onnx_bench m w --budget-s 2", "%onnx_compare m w data", "%onnx_doctor"),
        *("%onnx_quantize -h", "%onnx_quantize m --code", "lab.inspect(m).plot()"),
    ]
    feeds = "import numpy as np\ndata = [{m.inputs[0].name: np.ones((1, 8), np.float32)}]"
    notebook = shared(feeds, *cells, height=2400)
    notebook.run_all()
    for i in range(2, len(cells) + 2):
        assert not [o for o in notebook.outputs(i) if o["output_type"] == "error"], notebook.text(i)
    for theme in ("light", "dark"):
        notebook.theme(theme)
        notebook.screenshot(theme)
        assert too_faint(notebook.page, ".onnx-lab-card, .jp-OutputArea-output [role=status]") == []
        # a figure is saved for a page that it cannot know: no one colour has 4.5 on white and on #111
        assert too_faint(notebook.page, ".jp-RenderedPlotly .main-svg", 4.0) == []
