"""A real JupyterLab in a real Chromium, shared by the browser tests of a process.

    def test_something(open_notebook):                  # the newest ipykernel
        notebook = open_notebook([SETUP, "%onnx_inspect m"])
        notebook.run_all()
        assert "MatMul" in notebook.text(1)

    def test_on_each_kernel(open_notebook, kernel):     # three times: ipykernel 6.31, 7.3, the newest
        notebook = open_notebook([SETUP], kernel=kernel)

At its end every test fails that asked for something outside loopback or left an error in the console, and leaves a
picture of each of its notebooks in artifacts/browser. The methods of a notebook are in lab_notebook.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lab_kernels
import lab_server
import pytest
from lab_notebook import Notebook
from lab_server import LabServer
from playwright.sync_api import BrowserContext, sync_playwright

#: Root in a container may not open Chromium's sandbox; all it shows is ours. Nothing but loopback can be reached.
_CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab, with a workspace of its own."""
    with lab_server.running(tmp_path_factory.mktemp("jupyterlab")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    """Chromium, one for each file: while it runs, this thread has an event loop, and asyncio.run() of other tests
    could have none."""
    chromium = lab_server.find_chromium()
    if chromium is None:
        pytest.fail(
            "the browser tests need Chromium: apt-get install chromium, or CHROMIUM=/path/to/it (Chrome serves too)",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(30_000)
        yield context
        browser.close()


@pytest.fixture(params=lab_kernels.ALL)
def kernel(request: pytest.FixtureRequest) -> str:
    """Each ipykernel in turn, for ``open_notebook(..., kernel=kernel)``."""
    version: str = request.param
    return version


@pytest.fixture
def open_notebook(
    lab: LabServer, browser: BrowserContext, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """``open_notebook(cells, kernel="newest", width=1280, height=900)``: a `Notebook` made of these code cells."""
    root = request.config.rootpath
    opened: list[Notebook] = []
    name = re.sub(r"\W+", "-", request.node.name).strip("-")  # JupyterLab takes no dot in a workspace's name

    def open_(cells: Sequence[str], kernel: str = lab_kernels.NEWEST, width: int = 1280, height: int = 900) -> Notebook:
        stem = f"{name}-{len(opened) + 1}" if opened else name
        spec = _kernelspec(kernel, lab, root / "artifacts/kernels")
        Notebook.write(lab.files / f"{stem}.ipynb", cells, spec)
        page = browser.new_page()
        page.set_viewport_size({"width": width, "height": height})
        notebook = Notebook(page, lab, f"{stem}.ipynb", root / "artifacts/browser" / f"{stem}.png")
        opened.append(notebook)
        return notebook.open()

    yield open_
    wrong = [sentence for notebook in opened for sentence in _close(notebook)]
    assert not wrong, "\n".join(wrong)


def _kernelspec(version: str, lab: LabServer, cache: Path) -> str:
    try:
        return lab_kernels.write_kernelspec(version, lab.jupyter_path, cache)
    except lab_kernels.NoKernel as e:
        pytest.fail(str(e), pytrace=False)


def _close(notebook: Notebook) -> list[str]:
    """Picture, verdict, end of the kernel."""
    try:
        notebook.screenshot()
        if notebook.page.evaluate("() => document.body.dataset.jpThemeLight") == "false":
            notebook.theme("light")  # the server would keep it for the next test
        notebook.shutdown()
    finally:
        verdict = notebook.watch.verdict()
        notebook.page.close()
    return verdict
