"""The batch x sequence grid of a benchmark that still runs: a table for each contestant, filled cell by cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from onnx_lab.card import DIM, Table, megabytes, milliseconds

#: Contestants that are shown while it runs; the result shows all.
_MOST_GRIDS = 8
Key = tuple[Any, Any]


def grids(rows: Sequence[Mapping[str, Any]], shapes: Sequence[Sequence[Any]]) -> str:
    """Each contestant's table beside the others: how many times faster than the reference, and where it is the best."""
    best: dict[Key, Mapping[str, Any]] = {}
    for r in rows:
        key = (r["batch"], r["seq"])
        if key not in best or r["p50"] < best[key]["p50"]:
            best[key] = r
    contestants: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for r in rows:
        contestants.setdefault((r["name"], r["target"]), []).append(r)
    compared = len(contestants) > 1
    tables = [
        f"<div>{_grid(own, shapes, {k for k, r in best.items() if compared and r in own}).html()}</div>"
        for own in list(contestants.values())[:_MOST_GRIDS]
    ]
    more = len(contestants) - _MOST_GRIDS
    rest = f"<div style='color:{DIM}'>and {more} more contestants</div>" if more > 0 else ""
    measured = len({(r["batch"], r["seq"]) for r in rows})
    words = f"{measured} of {len(shapes)} shapes measured" + "; 2.00×: twice as fast as the reference" * compared
    said = f"<div style='color:{DIM}'>{escape(words)}</div>"
    return f"<div style='display:flex;flex-wrap:wrap;gap:4px 28px'>{''.join(tables)}</div>{rest}{said}"


def _grid(own: Sequence[Mapping[str, Any]], shapes: Sequence[Sequence[Any]], best: set[Key]) -> Table:
    batches = sorted({s[0] for s in shapes})
    seqs = sorted({s[1] for s in shapes}, key=lambda s: s or 0)
    asked = {(b, s) for b, s in shapes}
    known = {(r["batch"], r["seq"]): r for r in own}
    lines, heat = [], {}
    for i, b in enumerate(batches):
        cells = [str(b)]
        for j, s in enumerate(seqs):
            r = known.get((b, s))
            cells.append(_cell(r, (b, s) in best) if r else "…" if (b, s) in asked else "")
            if r and r["verdict"] != "reference":
                heat[i, j + 1] = math.log2(r["ratio"]) / 2  # four times as fast is as warm as it gets
        lines.append(tuple(cells))
    first = own[0]
    what = " (reference)" if first["verdict"] == "reference" else ""
    caption = f"{first['name']} on {first['target']}, {megabytes(first['size_bytes'])}{what}"
    header = ("batch ↓ seq →", *("any" if s is None else str(s) for s in seqs))
    return Table(header, tuple(lines), caption, heat=heat)


def _cell(r: Mapping[str, Any], is_best: bool) -> str:
    figure = milliseconds(r["p50"]) if r["verdict"] == "reference" else f"{r['ratio']:.2f}×"
    return f"{figure} best" if is_best else figure
