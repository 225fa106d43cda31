"""What the browser tests click and read in a dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_notebook import Notebook
    from playwright.sync_api import Locator

SHOW = "board = %onnx_lab m\nboard"
#: Forty rows as after a run, without the run.
FORTY = """
from onnx_lab.jupyter.dashboard import changes
def forty(s):
    s = changes.planned(s)
    for i in range(37):
        s = changes.planned(changes.set_option(s, 2, "block_size", str(i + 1)))
    for i, v in enumerate(s.variants):
        s = changes.learn(s, v.id, state="done", asked="random feeds", cosine=1.0, size_bytes=10**6 * (i + 1), p50=0.01,
                          low=0.009, high=0.011, ratio=1.0, ratio_low=0.9, ratio_high=1.1)
    return s
_ = board._store.change(forty)"""

#: Select a row; milliseconds until a chart marks it. Comes back when all charts are drawn anew.
SELECT = """async index => {
  const row = document.querySelectorAll("[role=grid] tbody tr")[index];
  const name = row.querySelector("th").innerText.replace(/^[↳\\s]+/, "").split("\\n")[0].trim();
  const charts = [...document.querySelectorAll(".ol-chart")];
  const drawn = c => c.textContent.includes("▸ " + name);
  const picked = c => drawn(c) || c.querySelector("text.ol-picked")?.textContent.includes(name);
  const until = async there => {
    while (!there() && performance.now() - began < 5000) await new Promise(r => requestAnimationFrame(r));
    return performance.now() - began;
  };
  const began = performance.now();
  row.click();
  const first = await until(() => charts.some(picked));
  const last = await until(() => charts.every(drawn));
  return [first, last];
}"""


def button(notebook: Notebook, name: str) -> Locator:
    # by its words: the accessible name is its tooltip, which says more
    return notebook.page.locator(".ol-board button", has_text=name).first


def rows(notebook: Notebook) -> Locator:
    return notebook.page.get_by_role("grid", name="Variants").locator("tbody tr")


def field(notebook: Notebook, name: str) -> Locator:
    return notebook.page.locator(".ol-board").get_by_label(name, exact=True).first


def status(notebook: Notebook) -> str:
    return notebook.page.locator(".ol-board [role=status]").inner_text()
