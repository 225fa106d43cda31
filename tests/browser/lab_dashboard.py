"""What the browser tests click and read in a dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_notebook import Notebook
    from playwright.sync_api import Locator

SHOW = "board = %onnx_lab m\nboard"


def button(notebook: Notebook, name: str) -> Locator:
    # by its words: the accessible name is its tooltip, which says more
    return notebook.page.locator(".ol-board button", has_text=name).first


def rows(notebook: Notebook) -> Locator:
    return notebook.page.get_by_role("grid", name="Variants").locator("tbody tr")


def field(notebook: Notebook, name: str) -> Locator:
    return notebook.page.locator(".ol-board").get_by_label(name, exact=True).first


def status(notebook: Notebook) -> str:
    return notebook.page.locator(".ol-board [role=status]").inner_text()
