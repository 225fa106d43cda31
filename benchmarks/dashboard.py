"""The dashboard in a real JupyterLab in Chromium: how soon it is there, what it sends, how fast it follows. 3 minutes.

    python benchmarks/dashboard.py [--json FILE] [--seconds 60]

a. From Shift+Enter on ``%onnx_lab m`` to the painted page, in a new kernel, five times.
b. All messages between page and kernel while three variants are measured for 60 s.
c. From a click on a row to its mark in a chart, with 40 variants, ten times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))

import lab_kernels
import lab_server
from claims import Claim, claims_table
from lab_dashboard import FORTY, SELECT, SHOW, button, field, rows, status
from lab_notebook import SETUP, Notebook
from playwright.sync_api import BrowserContext, sync_playwright


def main() -> int:
    """Measure and print; 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, lab_server.running(Path(folder)) as lab, chromium() as browser:
        claims = [
            first_paint(opened(lab, browser, f"paint{i}") for i in range(5)),
            traffic(opened(lab, browser, "traffic"), options.seconds),
            selection(opened(lab, browser, "rows")),
        ]
    print(claims_table("the dashboard in JupyterLab", claims))
    if options.json:
        options.json.write_text(json.dumps([asdict(c) for c in claims], indent=1))
    return int(any(c.met is False for c in claims))


def first_paint(notebooks: Iterable[Notebook]) -> Claim:
    """Each in a kernel that has only set up two small Models."""
    took = []
    for notebook in notebooks:
        began = time.monotonic()
        notebook.start(1)
        button(notebook, "Run").wait_for()
        took.append(time.monotonic() - began)
        notebook.shutdown()
    middle = statistics.median(took)
    return Claim("first paint", "under 1.5 s", f"{middle:.2f} s ({min(took):.2f} to {max(took):.2f})", middle < 1.5)


def traffic(notebook: Notebook, seconds: int) -> Claim:
    """Counted from the beginning of the benchmark to its end, both ways."""
    notebook.run(1)
    field(notebook, "seconds").fill(str(seconds))
    field(notebook, "seconds").press("Tab")
    button(notebook, "Run").click()
    notebook.wait(lambda: status(notebook).startswith("measuring"), "a measurement", 120)
    before, began = notebook.watch.bytes_in + notebook.watch.bytes_out, time.monotonic()
    notebook.wait(lambda: button(notebook, "Cancel").is_disabled(), "an end", 2 * seconds + 60)
    sent, took = notebook.watch.bytes_in + notebook.watch.bytes_out - before, time.monotonic() - began
    notebook.shutdown()
    told = f"{sent / 1e6:.2f} MB in {took:.0f} s"
    return Claim(f"messages of a benchmark of {seconds} s", "under 2 MB", told, sent < 2e6 * seconds / 60)


def selection(notebook: Notebook) -> Claim:
    """Forty rows, as after a run."""
    notebook.run(1)
    notebook.ask(FORTY)
    notebook.wait(lambda: rows(notebook).count() == 40, "forty rows")
    notebook.wait(lambda: notebook.page.locator(".ol-chart .js-plotly-plot").count() == 3, "three charts")
    took = [notebook.page.evaluate(SELECT, row) for row in (7, 3, 11, 5, 9, 21, 2, 38, 17, 30)]
    marked, drawn = (statistics.median(t[i] for t in took) for i in (0, 1))
    told = f"{marked:.0f} ms; all three charts drawn anew after {drawn:.0f} ms"
    return Claim("click to mark in a chart, 40 variants", "under 200 ms", told, marked < 200)


def opened(
    lab: lab_server.LabServer, browser: BrowserContext, name: str, cells: Sequence[str] = (SETUP, SHOW)
) -> Notebook:
    """A notebook whose first cell has run; the second shows the dashboard."""
    spec = lab_kernels.write_kernelspec(lab_kernels.NEWEST, lab.jupyter_path, lab.files)
    Notebook.write(lab.files / f"{name}.ipynb", cells, spec)
    notebook = Notebook(browser.new_page(), lab, f"{name}.ipynb", lab.files / f"{name}.png").open()
    notebook.run(0, timeout_s=300)
    return notebook


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """The system's, without a window."""
    path = lab_server.find_chromium()
    if path is None:
        raise SystemExit("Chromium is needed: apt-get install chromium, or CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser.new_context(viewport={"width": 1280, "height": 900})
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
