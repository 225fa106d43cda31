"""The live panel of a step: what is known so far, as HTML and as one line of text. Lays out, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from onnx_lab.background._words import told
from onnx_lab.card import DIM, LINE, Table, megabytes, milliseconds, panel
from onnx_lab.jupyter._grid import grids

#: Rows of a long list that are shown while it runs; the result shows all.
_MOST_ROWS = 24


def render(
    title: str, event: Mapping[str, Any], *, left_s: float | None = None, foot: str = "", note: str = ""
) -> tuple[str, str]:
    """The panel for one event of a step, as HTML and as text.

    Parameters
    ----------
    title : str
        What is being done: ``"measuring fp32 int8"``.
    event : mapping
        As `onnx_lab.bench` and its like tell them.
    left_s : float, optional
        Seconds that are left, where that can be told.
    foot, note : str
        Lines below: how to end it, and what it printed last.
    """
    state = told(event)
    if left_s is not None:
        state += f" · {span(left_s)} left"
    head = (
        f"<div style='display:flex;justify-content:space-between;gap:24px'><strong>{escape(title)}</strong>"
        f"<span role='status' style='color:{DIM}'>{escape(state)}</span></div>{_bar(share(event))}"
    )
    lines = [_line(text) for text in (note, foot) if text]
    return panel(head + _body(event) + "".join(lines)), f"{title} … {state}"


def share(event: Mapping[str, Any]) -> float:
    """How much is done, 0 to 1."""
    if event.get("kind") in ("start", "waiting") or not event.get("of"):
        return 0.0
    return min(1.0, float(event.get("done", 0.0)) / float(event["of"]))


def span(seconds: float) -> str:
    """Seconds in words.

    Examples
    --------
    >>> span(48.4), span(125)
    ('48 s', '2 min 05 s')
    """
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"


def _body(event: Mapping[str, Any]) -> str:
    """Figures that are known so far: bars for one shape, grids for several."""
    rows, grid = event.get("rows", ()), event.get("grid", ())
    if len(grid) > 1:
        return grids(rows, grid)
    body = _table(rows).html() if rows else ""
    return body + (_line(f"and {len(rows) - _MOST_ROWS} more rows") if len(rows) > _MOST_ROWS else "")


def _line(text: str) -> str:
    return f"<div style='color:{DIM};overflow-wrap:anywhere;max-width:90ch'>{escape(text)}</div>"


def _bar(done: float) -> str:
    percent = round(100 * done)
    return (
        f"<div role='progressbar' aria-label='progress' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{percent}' "
        f"style='height:4px;border-radius:2px;background:{LINE};margin:6px 0 2px;overflow:hidden'>"
        f"<div style='height:100%;width:{percent}%;background:#237ec7'></div></div>"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Provisional rows. A bar is as long as the latency next to the others'; the line below it is its interval."""
    slowest = max(r["p50"] for r in rows)
    # one contestant that little is known of would squeeze all bars to lines: its interval runs out of the picture
    full = min(max(r["high"] for r in rows), 1.5 * slowest) or 1.0
    cells, bars, spans = [], {}, {}
    for i, r in enumerate(rows[:_MOST_ROWS]):
        bars[i, 5], spans[i, 5] = r["p50"] / full, (r["low"] / full, r["high"] / full)
        shape = f"{r['batch']} × {r['seq']}" if r["seq"] else f"{r['batch']}"
        latency = f"{milliseconds(r['p50'])} [{_ms(r['low'])}, {_ms(r['high'])}]"
        cells.append((r["name"], r["target"], megabytes(r["size_bytes"]), shape, latency, "", _ratio(r)))
    header = ("so far", "on", "size", "batch × seq", "latency [99 %]", "", "speed [99 %]")
    return Table(header, tuple(cells), bars=bars, spans=spans)


def _ms(seconds: float) -> str:
    return milliseconds(seconds).removesuffix(" ms")


def _ratio(r: Mapping[str, Any]) -> str:
    if r["verdict"] == "reference":
        return "reference"
    return f"{r['ratio']:.2f} [{r['ratio_low']:.2f}, {r['ratio_high']:.2f}]"
