"""Where each box of a group and each of its lines goes, with all boxes closed.

The view opens a box by stretching the space around it: what is left of it goes left, what is below goes down, and
nothing changes sides. So one layout per group is enough, whatever is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from onnx_lab.plots.graph.layers import Layers, layered
from onnx_lab.plots.graph.wires import Wiring

GAP_X, GAP_Y, HEIGHT = 26, 38, 40
_LINE_GAP = 16
_SWEEPS, _STRAIGHTER = 6, 4
#: How much more a line over several ranks holds on to its place than a box.
_STRAIGHT = 12.0
_PORT = 14.0

K = TypeVar("K", int, tuple[int, int])


@dataclass
class Line:
    """From one box (or what enters) to another (or what leaves), with the line of each that it continues."""

    source: int
    target: int
    out_line: int
    in_line: int
    points: list[tuple[float, float]]
    up: bool = False


@dataclass
class Layout:
    """Middles of boxes, and lines; the middle of the first rank's top is about (0, 0)."""

    x: list[float]
    y: list[float]
    width: float
    height: float
    ins: list[float]
    outs: list[float]
    lines: list[Line] = field(default_factory=list)


def laid_out(widths: Sequence[float], wiring: Wiring) -> Layout:
    """The layout of a group whose boxes are so wide.

    Examples
    --------
    >>> from onnx_lab.plots.graph.wires import Cable
    >>> made = laid_out([80, 80], Wiring([], [], [Cable(0, [1], [3])]))
    >>> made.y, made.lines[0].points
    ([20.0, 98.0], [(0.0, 40.0), (0.0, 78.0)])
    """
    n, ins, outs = len(widths), len(wiring.ins), len(wiring.outs)
    layers = layered(n, ins, outs, wiring.cables)
    wide = [*widths, *[2.0] * (len(layers.rank) - n)]
    x = _across(layers, wide, n)
    left = min((x[v] - wide[v] / 2 for v in range(len(x))), default=0.0)
    right = max((x[v] + wide[v] / 2 for v in range(len(x))), default=0.0)
    middle = (left + right) / 2
    x = [a - middle for a in x]
    tops, heights = _down(layers, n)
    y = [tops[layers.rank[v]] + heights[layers.rank[v]] / 2 for v in range(n)]
    bottom = tops[-1] + heights[-1] if tops else 0.0
    layout = Layout(x[:n], y, right - left, bottom, x[n : n + ins], x[n + ins : n + ins + outs])
    _draw(layout, layers, wiring, x, wide, tops, heights)
    return layout


def _down(layers: Layers, n: int) -> tuple[list[float], list[float]]:
    """Top and height of each rank; a rank without boxes is the border."""
    tops, heights, y = [], [], 0.0
    for row in layers.rows:
        height = float(HEIGHT) if any(v < n for v in row) else 0.0
        tops.append(y)
        heights.append(height)
        y += height + GAP_Y
    return tops, heights


def _across(layers: Layers, wide: Sequence[float], n: int) -> list[float]:
    """Middles: each rank as near to its neighbours' as its order and widths allow, down and up."""
    x = [0.0] * len(layers.rank)
    apart = [_apart(row, wide, n) for row in layers.rows]
    for row, at in zip(layers.rows, apart, strict=True):
        for v, p in zip(row, at, strict=True):
            x[v] = p - at[-1] / 2
    above: list[list[int]] = [[] for _ in x]
    below: list[list[int]] = [[] for _ in x]
    for u, v in layers.links:
        above[v].append(u)
        below[u].append(v)
    both = [a + b for a, b in zip(above, below, strict=True)]
    rows = list(zip(layers.rows, apart, strict=True))
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = both if sweep >= _SWEEPS - 2 else above if down else below
        for row, at in rows if down else reversed(rows):
            wish = [sum([x[u] for u in near[v]]) / len(near[v]) if near[v] else x[v] for v in row]
            _move(x, row, wish, [len(near[v]) or 0.01 for v in row], at)
    _straighten(x, layers, rows, both)
    return x


def _straighten(
    x: list[float], layers: Layers, rows: Sequence[tuple[list[int], list[float]]], near: Sequence[list[int]]
) -> None:
    """Lines over several ranks become straight where that is possible; boxes make room for them."""
    chains = [c for c in layers.trunks if len(c) > 1]
    if not chains:
        return
    straight: dict[int, float] = {}
    for step in range(_STRAIGHTER):
        for chain in chains:
            own = [x[v] for v in chain]
            middle = sum(own) / len(own)
            high, low = max(own), min(own)
            wish = middle if not step else high if high - middle > middle - low else low  # to the side it is pushed to
            straight.update(dict.fromkeys(chain, wish))
        for row, at in rows if step % 2 else reversed(rows):
            wishes = [
                straight[v] if v in straight else sum([x[u] for u in near[v]]) / len(near[v]) if near[v] else x[v]
                for v in row
            ]
            _move(x, row, wishes, [_STRAIGHT if v in straight else 1.0 for v in row], at)


def _move(
    x: list[float], row: Sequence[int], wish: Sequence[float], weight: Sequence[float], at: Sequence[float]
) -> None:
    for v, p in zip(row, _nearest(wish, weight, at), strict=True):
        x[v] = p


def _apart(row: Sequence[int], wide: Sequence[float], n: int) -> list[float]:
    """The least places of a rank's vertices, from 0."""
    at, last = [], 0.0
    for k, v in enumerate(row):
        if k:
            u = row[k - 1]
            last += (wide[u] + wide[v]) / 2 + (GAP_X if u < n and v < n else _LINE_GAP)
        at.append(last)
    return at


def _nearest(wish: Sequence[float], weight: Sequence[float], at: Sequence[float]) -> list[float]:
    """Places nearest to `wish` in the sense of squares that keep order and distance: isotonic regression."""
    pools: list[list[float]] = []  # mean, mass, count
    for w, m, a in zip(wish, weight, at, strict=True):
        pools.append([w - a, m, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, mass, count = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * mass) / (last[1] + mass)
            last[1] += mass
            last[2] += count
    free = [mean for mean, _, count in pools for _ in range(int(count))]
    return [f + a for f, a in zip(free, at, strict=True)]


def _draw(
    layout: Layout,
    layers: Layers,
    wiring: Wiring,
    x: Sequence[float],
    wide: Sequence[float],
    tops: Sequence[float],
    heights: Sequence[float],
) -> None:
    """Lines from ports to ports through the places of their cables."""
    pairs = [(k, t) for k, c in enumerate(wiring.cables) for t in c.targets]
    up = set(layers.up)

    def before(p: tuple[int, int]) -> float:  # where a line comes from, which orders the ports
        k, t = p
        trunk, source = layers.trunks[k], wiring.cables[k].source
        step = layers.rank[t] - layers.rank[source] - 2
        return x[trunk[step]] if 0 <= step < len(trunk) else x[source]

    def after(k: int) -> float:
        trunk, targets = layers.trunks[k], wiring.cables[k].targets
        return x[trunk[0]] if trunk else sum(x[t] for t in targets) / max(1, len(targets))

    starts = _ports(range(len(wiring.cables)), lambda k: wiring.cables[k].source, after, x, wide)
    ends = _ports(pairs, lambda p: p[1], before, x, wide)
    out_lines, in_lines = _counted([c.source for c in wiring.cables]), _counted([t for _, t in pairs])
    for (k, t), into in zip(pairs, in_lines, strict=True):
        c = wiring.cables[k]
        r = layers.rank[c.source]
        points = [(starts[k], tops[r] + heights[r])]
        for v in layers.trunks[k][: max(0, layers.rank[t] - r - 1)]:
            q = layers.rank[v]
            points += [(x[v], tops[q]), (x[v], tops[q] + heights[q])]
        points.append((ends[k, t], tops[layers.rank[t]]))
        layout.lines.append(Line(c.source, t, out_lines[k], into, points, (k, t) in up))


def _counted(boxes: Sequence[int]) -> list[int]:
    """How often each was met before."""
    seen: Counter[int] = Counter()
    found = []
    for b in boxes:
        found.append(seen[b])
        seen[b] += 1
    return found


def _ports(
    lines: Iterable[K], box: Callable[[K], int], wish: Callable[[K], float], x: Sequence[float], wide: Sequence[float]
) -> dict[K, float]:
    """Where each line meets its box: beside each other around the middle, in the order of what they go to."""
    met: dict[int, list[K]] = {}
    for line in lines:
        met.setdefault(box(line), []).append(line)
    found = {}
    for b, own in met.items():
        own.sort(key=wish)
        step = min(_PORT, wide[b] * 0.7 / len(own))
        for i, line in enumerate(own):
            found[line] = x[b] + (i - (len(own) - 1) / 2) * step
    return found
