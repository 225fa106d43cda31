"""A real JupyterLab in a real Chromium, shared by the browser tests of a process.

    def test_something(shared):                         # the newest ipykernel, where SETUP has run in cell 0
        notebook = shared("%onnx_inspect m")
        notebook.run(1)
        assert "MatMul" in notebook.text(1)

    def test_on_each_kernel(on_each_kernel):            # three times: ipykernel 6.31, 7.3, the newest
        notebook = on_each_kernel("job = ...")

    def test_alone(open_notebook):                      # a page, a kernel and cells of its own
        notebook = open_notebook([SETUP, "..."])

A page and its kernel take five seconds to come, so the tests of a file share them, and each puts its own cells there.
At its end every test fails that asked for something outside loopback or left an error in the console, and leaves a
picture of each of its notebooks in artifacts/browser. The methods of a notebook are in lab_notebook.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import lab_kernels
import lab_server
import pytest
from lab_notebook import SETUP, Notebook
from lab_server import LabServer
from playwright.sync_api import BrowserContext, sync_playwright

#: Root in a container may not open Chromium's sandbox; all it shows is ours. Nothing but loopback can be reached.
_CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Notes whether the test itself passed: what it shared with others is used again only then."""
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """JupyterLab, with a workspace of its own."""
    with lab_server.running(tmp_path_factory.mktemp("jupyterlab")) as server:
        yield server


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Chromium keeps what it compiled: JupyterLab is there a second sooner the next time."""
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture(scope="module")
def browser(profile: Path) -> Iterator[BrowserContext]:
    """Chromium, one for each file: while it runs, this thread has an event loop, and asyncio.run() of other tests
    could have none."""
    chromium = lab_server.find_chromium()
    if chromium is None:
        pytest.fail(
            "the browser tests need Chromium: apt-get install chromium, or CHROMIUM=/path/to/it (Chrome serves too)",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, args=_CHROMIUM, viewport={"width": 1280, "height": 900}
        )
        context.set_default_timeout(30_000)
        yield context
        context.close()


@pytest.fixture(scope="module", params=lab_kernels.ALL)
def kernel(request: pytest.FixtureRequest) -> str:
    """Each ipykernel in turn."""
    version: str = request.param
    return version


class Desk:
    """Where the notebooks of some tests are open."""

    def __init__(self, lab: LabServer, browser: BrowserContext, root: Path, kernel: str, name: str) -> None:
        self._lab, self._browser, self._root, self._kernel, self._name = lab, browser, root, kernel, name
        self.opened: list[Notebook] = []

    def open(self, cells: Sequence[str], picture: str, width: int = 1280, height: int = 900) -> Notebook:
        stem = f"{self._name}-{len(self.opened) + 1}" if self.opened else self._name
        spec = _kernelspec(self._kernel, self._lab, self._root / "artifacts/kernels")
        Notebook.write(self._lab.files / f"{stem}.ipynb", cells, spec)
        page = self._browser.new_page()
        page.set_viewport_size({"width": width, "height": height})
        pictures = self._root / "artifacts/browser"
        self.opened.append(Notebook(page, self._lab, f"{stem}.ipynb", pictures / f"{picture}.png"))
        return self.opened[-1].open()

    def close(self) -> list[str]:
        """End all; what was wrong with any, in sentences."""
        wrong = [sentence for notebook in self.opened for sentence in _close(notebook)]
        self.opened.clear()
        return wrong


@pytest.fixture
def open_notebook(
    lab: LabServer, browser: BrowserContext, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """``open_notebook(cells, width=1280, height=900)``: a `Notebook` made of these code cells, on the newest kernel."""
    name = _stem(request)
    desk = Desk(lab, browser, request.config.rootpath, lab_kernels.NEWEST, name)
    yield lambda cells, **size: desk.open(cells, name, **size)
    wrong = desk.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def _newest(lab: LabServer, browser: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from _kept_open(Desk(lab, browser, request.config.rootpath, lab_kernels.NEWEST, f"{request.node.path.stem}"))


@pytest.fixture(scope="module")
def _each(lab: LabServer, browser: BrowserContext, request: pytest.FixtureRequest, kernel: str) -> Iterator[Desk]:
    name = re.sub(r"\W+", "-", f"{request.node.path.stem}-{kernel}")
    yield from _kept_open(Desk(lab, browser, request.config.rootpath, kernel, name))


def _kept_open(desk: Desk) -> Iterator[Desk]:
    yield desk
    wrong = desk.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def shared(_newest: Desk, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """``shared("code", "more", width=1280, height=900)``: the file's notebook, with these cells behind `SETUP`."""
    yield from _lent(_newest, request)


@pytest.fixture
def on_each_kernel(_each: Desk, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    """As `shared`, once on each kernel."""
    yield from _lent(_each, request)


def _lent(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Callable[..., Notebook]]:
    lent: list[Notebook] = []

    def lend(*cells: str, width: int = 1280, height: int = 900) -> Notebook:
        if not desk.opened:
            desk.open([SETUP], _stem(request)).run(0)
        lent.append(desk.opened[0].reuse(cells, _stem(request), width, height))
        return lent[0]

    yield lend
    wrong = [sentence for notebook in lent for sentence in _tidied(notebook)]
    if wrong or not request.node.stash.get(PASSED, False):
        desk.close()  # the next test begins with a fresh page
    assert not wrong, "\n".join(wrong)


def _stem(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name).strip("-")  # JupyterLab takes no dot in a workspace's name


def _kernelspec(version: str, lab: LabServer, cache: Path) -> str:
    try:
        return lab_kernels.write_kernelspec(version, lab.jupyter_path, cache)
    except lab_kernels.NoKernel as e:
        pytest.fail(str(e), pytrace=False)


def _tidied(notebook: Notebook) -> list[str]:
    """Picture, verdict, light theme: what a test owes the next."""
    notebook.screenshot()
    if notebook.page.evaluate("() => document.body.dataset.jpThemeLight") == "false":
        notebook.theme("light")  # the server would keep it, too
    return notebook.watch.verdict()


def _close(notebook: Notebook) -> list[str]:
    """As `_tidied`; then the kernel ends."""
    try:
        _tidied(notebook)
        notebook.shutdown()
    finally:
        verdict = notebook.watch.verdict()
        notebook.page.close()
    return verdict
