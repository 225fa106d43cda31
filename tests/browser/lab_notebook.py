"""One notebook, open in a real JupyterLab: run its cells, read their outputs, reload, restart, look at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from lab_watch import Watch

if TYPE_CHECKING:
    from lab_server import LabServer
    from playwright.sync_api import Locator, Page

SCRIPT = Path(__file__).with_name("lab.js")

#: What most notebooks begin with; `m` and `w` are two small Models.
SETUP = """import onnx_lab as lab
%load_ext onnx_lab
m, w = lab.samples.tiny(), lab.samples.tiny(seed=1)"""


@dataclass(frozen=True)
class Answer:
    """A kernel's reply to code that is in no cell: the seconds to it, ``"ok"`` or ``"error"``, and what it printed."""

    seconds: float
    status: str
    text: str


class Notebook:
    """A notebook in a page of its own; made by the fixture ``open_notebook``.

    Cells are counted from 0. What takes a while waits for its end, at most ``timeout_s``, and raises
    ``playwright.sync_api.TimeoutError`` after that.

    Attributes
    ----------
    page : playwright.sync_api.Page
        For clicks and looks that are not below. Text is found in the code of a cell as well as in its output: use
        `output`, and roles and names there.
    watch : Watch
        ``watch.bytes_in`` and ``.bytes_out`` of the kernel's messages, requests outside, console errors.
    path : Path
        The file on disk; `save` writes it.
    home : Path
        The workspace that its kernel uses.
    """

    def __init__(self, page: Page, server: LabServer, name: str, picture: Path) -> None:
        self.page, self.name = page, name
        self.path, self.home = server.files / name, server.home
        self.watch = Watch()
        self._picture = picture
        self._address = f"{server.base}/lab/workspaces/{Path(name).stem}/tree/{name}"
        self.watch.follow(page)
        page.add_init_script(path=SCRIPT)

    @staticmethod
    def write(path: Path, cells: Sequence[str], kernelspec: str) -> None:
        """Make the file that is opened."""
        book = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(c) for c in cells],
            # without it JupyterLab asks for a kernel in a dialog
            metadata={"kernelspec": {"name": kernelspec, "display_name": kernelspec, "language": "python"}},
        )
        nbformat.write(book, path)

    # -- opening and looking ----------------------------------------------------------------------------------------

    def open(self) -> Notebook:
        """Show the page; its kernel answers afterwards."""
        self.page.goto(self._address, wait_until="domcontentloaded")
        self._ready()
        self.ask("None", timeout_s=60)
        return self

    def reuse(self, cells: Sequence[str], picture: str, width: int, height: int) -> Notebook:
        """The same page and kernel for another test: its jobs are ended, and these cells stand behind the first."""
        self.ask("[job.cancel() for job in lab.jobs()] if 'lab' in globals() else None")
        self.page.set_viewport_size({"width": width, "height": height})
        self._picture = self._picture.with_stem(picture)
        self._call("replace", list(cells))
        if self.value("'w' in globals()") == "False":  # a test before restarted the kernel: `SETUP` is gone
            self.run(0)
        return self

    def reload(self) -> Notebook:
        """As F5: a new page on the file as it was last saved, with the same kernel, which may be busy."""
        self.page.reload(wait_until="domcontentloaded")
        return self._ready()

    def theme(self, name: str) -> None:
        """``"light"`` or ``"dark"``, without a reload."""
        self._call("theme", f"JupyterLab {name.capitalize()}")
        light = "true" if name == "light" else "false"
        self.page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
        self.page.wait_for_timeout(300)  # the style sheet has come; colours move for a moment

    def screenshot(self, name: str = "") -> Path:
        """A picture of the page, in artifacts/browser; `name` is put behind the test's."""
        place = self._picture.with_stem(f"{self._picture.stem}-{name}") if name else self._picture
        place.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(place))
        return place

    def output(self, index: int) -> Locator:
        """The output area of a cell, as it is on the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")

    # -- cells ------------------------------------------------------------------------------------------------------

    def run(self, index: int, timeout_s: float = 60) -> list[dict[str, Any]]:
        """Run one cell to its end; its outputs."""
        self._over(self.start(index), timeout_s)
        return self.outputs(index)

    def start(self, index: int) -> int:
        """Run one cell and come back at once; give the value to `finish`."""
        return int(self._call("start", index))

    def finish(self, started: int, timeout_s: float = 60) -> None:
        """Wait for the end of what `start` began."""
        self._over(started, timeout_s)

    def run_all(self, timeout_s: float = 120) -> None:
        """Run All, until the last cell ended or one failed."""
        self._over(int(self._call("startAll")), timeout_s)

    def add(self, source: str) -> int:
        """A new cell at the end; its index."""
        return int(self._call("add", source))

    def set_source(self, index: int, source: str) -> None:
        """Put other code into a cell."""
        self._call("source", index, source)

    def executed(self, index: int) -> int | None:
        """The cell's number in brackets; None when it has not run."""
        number = self._call("executed", index)
        return None if number is None else int(number)

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """What JupyterLab holds as the outputs of a cell, as nbformat has them."""
        return list(self._call("outputs", index))

    def text(self, index: int) -> str:
        """All that a cell put out, as text: streams, ``text/plain``, and errors as they are shown."""
        return "\n".join(_text(o) for o in self.outputs(index))

    def wait_text(self, index: int, part: str, timeout_s: float = 60) -> None:
        """Wait until the outputs of a cell have `part` in their text."""
        self.wait(lambda: part in self.text(index), f"{part!r} in cell {index}", timeout_s)

    def wait_seen(self, index: int, part: str, timeout_s: float = 60) -> None:
        """Wait until `part` is seen below a cell, also in a widget."""
        self.wait(lambda: part in self.output(index).inner_text(), f"{part!r} below cell {index}", timeout_s)

    # -- kernel -----------------------------------------------------------------------------------------------------

    def ask(self, code: str, timeout_s: float = 30) -> Answer:
        """Send code to the kernel outside all cells, from the page, and time its reply there."""
        told = self._call("ask", code, timeout_s)
        return Answer(told["ms"] / 1e3, told["status"], told["text"])

    def value(self, code: str) -> str:
        """What an expression is in the kernel, as text; fails the test when it fails there."""
        answer = self.ask(code)
        assert answer.status == "ok", answer.text
        return answer.text

    def interrupt(self) -> None:
        """As the square in the toolbar."""
        self._call("interrupt")

    def restart(self) -> None:
        """A new kernel for this notebook, without the question; it answers afterwards."""
        self._call("restart")
        self.ask("None", timeout_s=60)

    def shutdown(self) -> None:
        """End the kernel; the page has none then."""
        self._call("shutdown")

    def save(self) -> Path:
        """Ctrl-S; the file."""
        self._call("save")
        return self.path

    # -- waiting ----------------------------------------------------------------------------------------------------

    def wait(self, happened: Callable[[], bool], what: str, timeout_s: float = 60) -> float:
        """Look ten times a second until something happened; the seconds that took.

        Raises
        ------
        AssertionError
            When it did not happen in time.
        """
        began = time.monotonic()
        while not happened():
            assert time.monotonic() - began < timeout_s, f"{what}: not in {timeout_s:.0f} s"
            self.page.wait_for_timeout(100)
        return time.monotonic() - began

    def _ready(self) -> Notebook:
        self.page.wait_for_function("() => window.lab.ready()", timeout=90_000)
        # the news and "kernel is starting" of JupyterLab lie over what is looked at
        self.page.add_style_tag(content=".Toastify, .jp-Notification-Toast { display: none !important }")
        return self

    def _over(self, run: int, timeout_s: float) -> None:
        self.page.wait_for_function("run => window.lab.over(run)", arg=run, timeout=timeout_s * 1e3)

    def _call(self, function: str, *arguments: Any) -> Any:
        return self.page.evaluate("([name, given]) => window.lab[name](...given)", [function, list(arguments)])


def _text(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _joined(output["text"])
    if output["output_type"] == "error":
        return "\n".join(output["traceback"])
    return _joined(output["data"].get("text/plain", ""))


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
