"""The graph in the cell, in a real JupyterLab: soon there, never stalling, and read back from Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from lab_contrast import too_faint
from lab_notebook import Notebook

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]

#: A graph of 10,000 nodes without any names to group by, as a file.
LARGE = """from onnx import TensorProto, helper, save
nodes, last = [], "x"
for i in range(1000):
    names = [f"t{i}_{k}" for k in range(10)]
    ops = ["Relu", "Neg", "Abs", "Exp", "Tanh", "Mul", "Add", "Sigmoid", "Max", "Add"]
    for k, op in enumerate(ops):
        first = names[k - 1] if k else last
        two = op in ("Mul", "Add", "Max")
        nodes.append(helper.make_node(op, [first, names[k - 3] if k > 3 else last] if two else [first], [names[k]]))
    last = names[-1]
spec = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("x", last)]
save(helper.make_model(helper.make_graph(nodes, "large", spec[:1], spec[1:]), ir_version=10,
                       opset_imports=[helper.make_opsetid("", 20)]), "large.onnx")"""

VIEW = "document.querySelector('.olv').view"
KNOWN = f"() => {VIEW}.graph.layouts.size > 100"

#: Milliseconds between frames while the mouse moves, the longest; the moves come from outside.
GAPS = f"""() => {{
  let last = performance.now();
  window.gaps = [];
  const tick = now => {{ window.gaps?.push(now - last); last = now; if (window.gaps) requestAnimationFrame(tick); }};
  requestAnimationFrame(tick);
  return {VIEW}.scene.boxes.length;
}}"""

#: Where a closed group is in sight, on the page; null when there is none.
CLOSED = f"""() => {{
  const view = {VIEW}, {{ k, x, y }} = view.camera, area = view.canvas.getBoundingClientRect();
  const at = b => [area.left + (b.x + b.w / 2) * k + x, area.top + (b.y + b.h / 2) * k + y];
  const seen = view.scene.boxes.filter(b => view.graph.isGroup(b.id)).map(b => [b.id, ...at(b)])
    .filter(([, X, Y]) => X > area.left + 9 && X < area.right - 9 && Y > area.top + 90 && Y < area.bottom - 9);
  return seen[Math.floor(seen.length / 2)] ?? null;
}}"""

#: Milliseconds from the next click until that group is drawn open.
OPENING = f"""group => {{
  window.opening = new Promise(done => window.addEventListener("pointerup", () => {{
    const began = performance.now(), view = {VIEW};
    const open = () => view.scene.at.get(group)?.frame || performance.now() - began > 5000;
    const look = () => open() ? done(performance.now() - began) : requestAnimationFrame(look);
    requestAnimationFrame(look);
  }}, {{ once: true, capture: true }}));
  setTimeout(() => document.dispatchEvent(new Event("pointerup", {{ bubbles: true }})), 6000);
}}"""


def test_ten_thousand_nodes(shared: Opener) -> None:
    notebook = shared(LARGE, "big = lab.load('large.onnx')", "", height=1300)
    notebook.run(1)
    notebook.run(2)
    took: list[float] = []
    while len(took) < 3 and (not took or took[-1] >= 2):  # something else may have had the machine
        notebook.set_source(3, "")
        notebook.run(3)
        notebook.set_source(3, "v = lab.view(big)\nv")
        before, began = notebook.watch.bytes_in, time.monotonic()
        notebook.start(3)
        notebook.page.locator(".olv[data-painted]").wait_for()
        took.append(time.monotonic() - began)
        notebook.page.wait_for_function(KNOWN)
    assert min(took) < 2, took
    assert notebook.watch.bytes_in - before < 1_000_000
    opened = [opening(notebook) for _ in range(4)]
    assert sorted(opened)[-2] < 300, opened
    stalls = [panning(notebook) for _ in range(3)]
    assert min(stalls) < 100, stalls
    print(f"\nfirst paint {took} s, {notebook.watch.bytes_in - before} bytes, opened in {opened} ms, gaps {stalls} ms")


def opening(notebook: Notebook) -> float:
    """Click the group in the middle; milliseconds until it is open."""
    group, x, y = notebook.page.evaluate(CLOSED)
    notebook.page.evaluate(OPENING, group)
    notebook.page.mouse.click(x, y)
    took = float(notebook.page.evaluate("() => window.opening"))
    notebook.page.wait_for_timeout(300)
    return took


def panning(notebook: Notebook) -> float:
    """Drag to and fro; the longest time without a frame."""
    box = notebook.page.locator(".olv canvas").bounding_box()
    assert box
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 15, box["y"] + box["height"] / 2)
    mouse.down()
    notebook.page.evaluate(GAPS)
    for step in range(40):
        mouse.move(box["x"] + 15 + 6 * step, box["y"] + box["height"] / 2 + (step % 7) * 9)
    mouse.up()
    gaps: list[Any] = notebook.page.evaluate("() => { const g = window.gaps; window.gaps = null; return g; }")
    return float(max(gaps[1:]))


def test_search_keys_selection_themes_and_what_stays(shared: Opener) -> None:
    notebook = shared("slim = lab.simplify(m)\nv = %onnx_view m slim\nv")
    notebook.run(1)
    page = notebook.page
    page.locator(".olv[data-painted]").wait_for()
    page.get_by_label("Search nodes").fill("relu")
    page.get_by_label("Search nodes").press("Enter")
    notebook.wait(lambda: notebook.value("v.selected") == "('first/relu',)", "the selection")
    notebook.wait(lambda: "Relu" in page.locator(".olv-panel").inner_text(), "the panel")
    page.locator(".olv canvas").press("ArrowDown")
    notebook.wait(lambda: notebook.value("v.node.op") in ("'Identity'", "'MatMul'"), "a node below")
    notebook.ask("v.select('first/identity')")
    notebook.wait(lambda: "removed" in page.locator(".olv-panel").inner_text(), "what Python selected")
    page.get_by_role("button", name="removed 1").click()
    for theme in ("light", "dark"):
        notebook.theme(theme)
        assert too_faint(page, ".olv") == []
        notebook.screenshot(theme)
    assert not notebook.output(1).locator(".ol-saved").is_visible(), "what is for later is not seen beside it"
    notebook.save()
    notebook.restart()
    notebook.reload()
    # the widget died with its kernel, and JupyterLab says so; what follows is why that is no harm
    notebook.wait(lambda: any("widget model not found" in e for e in notebook.watch.errors), "the dead widget")
    notebook.watch.errors[:] = [e for e in notebook.watch.errors if "widget model not found" not in e]
    saved = notebook.output(1).locator(".ol-saved")
    assert "graph of tiny → tiny-simplified" in saved.inner_text()
    assert saved.locator("img").evaluate("async i => { await i.decode(); return i.naturalWidth; }") > 100
