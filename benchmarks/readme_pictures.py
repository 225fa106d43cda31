"""The README's pictures of the dashboard and of a benchmark at work, taken anew in a real JupyterLab. Three minutes.

    python benchmarks/readme_pictures.py

The machine has to be quiet: the intervals are in the picture.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))

import lab_server
from dashboard import chromium, opened
from lab_dashboard import button, field, rows

if TYPE_CHECKING:
    from lab_notebook import Notebook

HERE = Path(__file__).parents[1] / "docs" / "images"
FILES = """import onnx_lab as lab
%load_ext onnx_lab
fp32 = lab.export(lab.samples.bert().model, name='fp32')
int8 = lab.quantize(lab.optimize(fp32), name='int8')"""
BENCH = "job = %onnx_bench fp32 int8 --batch 1,4,8 --seq 32,64,128 --budget-s 120 --background"


def main() -> None:
    """Both pictures."""
    with tempfile.TemporaryDirectory() as folder, lab_server.running(Path(folder)) as lab, chromium() as browser:
        dashboard(opened(lab, browser, "dashboard", ["%load_ext onnx_lab", "board = %onnx_lab\nboard"]))
        live(opened(lab, browser, "live", [FILES, BENCH]))


def dashboard(notebook: Notebook) -> None:
    """The walk on the BERT sample, with its defaults."""
    _wide(notebook, 1240, 1800)
    notebook.run(1)
    model = field(notebook, "Model")
    model.fill("lab.samples.bert()")
    model.press("Tab")
    notebook.wait(lambda: field(notebook, "Task").input_value() != "", "its task")
    button(notebook, "Run").click()
    notebook.wait(lambda: button(notebook, "Cancel").is_enabled(), "a beginning")
    notebook.wait(lambda: button(notebook, "Cancel").is_disabled(), "an end", 600)
    rows(notebook).locator("th", has_text="take").first.click()
    notebook.page.wait_for_timeout(2000)
    notebook.page.locator(".ol-board").screenshot(path=str(HERE / "dashboard.png"))
    notebook.shutdown()


def live(notebook: Notebook) -> None:
    """A grid that fills, in the middle of its budget."""
    _wide(notebook, 1000, 700)
    notebook.start(1)
    notebook.wait_seen(1, "9 of 9 shapes", 120)
    notebook.wait_seen(1, " 70 s left", 120)
    cell = notebook.page.locator(".jp-Notebook .jp-Cell").nth(1)
    cell.screenshot(path=str(HERE / "live.png"))
    notebook.ask("job.cancel()")
    notebook.shutdown()


def _wide(notebook: Notebook, width: int, height: int) -> None:
    notebook.page.set_viewport_size({"width": width, "height": height})
    notebook.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")


if __name__ == "__main__":
    main()
