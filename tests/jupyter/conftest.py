"""An IPython shell in this process, as a notebook's kernel has one, with the extension loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.history import HistoryAccessor
from IPython.core.interactiveshell import InteractiveShell

from onnx_lab import samples


class Notebook:
    """Runs cells and asks for completions; keeps the values that cells showed."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.ns: dict[str, Any] = shell.user_ns

    def run(self, cell: str) -> Any:
        """The value of the cell; raises what the cell raised."""
        done = self.shell.run_cell(cell, store_history=True)
        done.raise_error()
        return done.result

    def tab(self, text: str) -> list[str]:
        with provisionalcompleter():
            return [c.text for c in self.shell.Completer.completions(text, len(text))]


@pytest.fixture(scope="session")
def shell() -> Iterator[InteractiveShell]:
    HistoryAccessor.enabled = False
    shell = InteractiveShell.instance()
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def notebook(shell: InteractiveShell) -> Iterator[Notebook]:
    before = dict(shell.user_ns)
    shell.run_line_magic("load_ext", "onnx_lab")
    shell.user_ns.update(m=samples.tiny(), wide=samples.tiny(features=16))
    yield Notebook(shell)
    shell.run_line_magic("unload_ext", "onnx_lab")
    for name in set(shell.user_ns) - set(before):
        del shell.user_ns[name]


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., Any]], None]:
    """Put a function in the place of a core function, behind the same magic."""
    import onnx_lab
    from onnx_lab.jupyter import magics

    def spy(verb: str, function: Callable[..., Any]) -> None:
        monkeypatch.setitem(vars(onnx_lab), verb, function)
        magics.signature_of.cache_clear()

    yield spy
    magics.signature_of.cache_clear()
