"""The live panel of a benchmark: what is known so far, as HTML and as one line of text. Lays out, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from onnx_lab.card import DIM, LINE, Table, milliseconds, panel

#: Rows of a big grid that are shown while it runs; the result shows all.
_MOST_ROWS = 24


def render(title: str, event: Mapping[str, Any]) -> tuple[str, str]:
    """The panel for one event of `onnx_lab.bench` or `onnx_lab.best`, as HTML and as text."""
    kind = event["kind"]
    if kind == "waiting":
        state, done = f"waiting {event['seconds']:.0f} s for {event['for']}, which is measuring", 0.0
    elif kind in ("making", "profiling"):
        state, done = f"{kind} {event['name']}", 0.0
    elif kind == "start":
        state, done = f"starting processes for {', '.join(event['contestants'])}", 0.0
    elif "state" in event:  # a search says in words where it stands
        state, done = event["state"], event["done"] / event["of"]
    else:
        state, done = f"{event['done']:.0f} of {event['of']:.0f} s", event["done"] / event["of"]
    rows = event.get("rows", ())
    head = (
        f"<div style='display:flex;justify-content:space-between;gap:24px'><strong>{escape(title)}</strong>"
        f"<span role='status' style='color:{DIM}'>{escape(state)}</span></div>{_bar(done)}"
    )
    body = _table(rows).html() if rows else ""
    more = f"<div style='color:{DIM}'>and {len(rows) - _MOST_ROWS} more rows</div>" if len(rows) > _MOST_ROWS else ""
    return panel(head + body + more), f"{title} … {state}"


def _bar(share: float) -> str:
    percent = round(100 * min(1.0, share))
    return (
        f"<div role='progressbar' aria-label='benchmark' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{percent}' "
        f"style='height:4px;border-radius:2px;background:{LINE};margin:6px 0 2px;overflow:hidden'>"
        f"<div style='height:100%;width:{percent}%;background:#237ec7'></div></div>"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Provisional rows; the bar behind a latency is its length next to the slowest of the same shape."""
    slowest: dict[Any, float] = {}
    for r in rows:
        key = (r["batch"], r["seq"])
        slowest[key] = max(slowest.get(key, 0.0), r["p50"])
    cells, bars = [], {}
    for i, r in enumerate(rows[:_MOST_ROWS]):
        ratio = (
            "reference"
            if r["verdict"] == "reference"
            else f"{r['ratio']:.2f} [{r['ratio_low']:.2f}, {r['ratio_high']:.2f}]"
        )
        shape = f"{r['batch']} × {r['seq']}" if r["seq"] else f"{r['batch']}"
        cells.append((r["name"], r["target"], shape, milliseconds(r["p50"]), ratio))
        bars[i, 3] = r["p50"] / slowest[r["batch"], r["seq"]]
    return Table(("so far", "on", "batch × seq", "latency", "speed [99 %]"), tuple(cells), bars=bars)
