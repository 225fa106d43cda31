"""Who stands above whom in a group, and in which order from left to right: Sugiyama's method, with lines that branch.

Boxes get ranks, so that lines go down. A line over several ranks gets a place in each of them; all branches of one
cable share these places, so that what feeds twelve layers is one line with twelve turns and not twelve lines.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from onnx_lab.plots.graph.wires import Cable

_SWEEPS = 6


@dataclass
class Layers:
    """Ranks of a group.

    Vertices are boxes first, then the places that cables take in ranks that they pass.

    Attributes
    ----------
    rows : list of list of int
        Vertices of each rank, from left to right.
    links : list of (int, int)
        Vertices of neighbouring ranks that a line joins, upper first.
    trunks : list of list of int
        For each cable, its places rank by rank below its source.
    up : list of (int, int)
        Cable and target of lines that go up, against the ranks.
    """

    rank: list[int]
    rows: list[list[int]]
    links: list[tuple[int, int]]
    trunks: list[list[int]]
    up: list[tuple[int, int]] = field(default_factory=list)


def layered(boxes: int, ins: int, outs: int, cables: Sequence[Cable]) -> Layers:
    """Rank and order `boxes` boxes, with `ins` lines from above and `outs` lines to below.

    Examples
    --------
    >>> chain = [Cable(0, [1, 2], [7]), Cable(1, [2], [8])]
    >>> found = layered(3, 0, 0, chain)
    >>> found.rank[:3], found.rows
    ([0, 1, 2], [[0], [1, 3], [2]])
    """
    ranks = _ranks(boxes, ins, outs, cables)
    layers = Layers(ranks, [[] for _ in range(max(ranks, default=0) + 1)], [], [])
    for v, r in enumerate(ranks):
        layers.rows[r].append(v)
    for k, cable in enumerate(cables):
        _route(layers, k, cable)
    _order(layers)
    return layers


def _ranks(boxes: int, ins: int, outs: int, cables: Sequence[Cable]) -> list[int]:
    """Longest path from above; what goes against the order of the boxes does not count."""
    first = 1 if ins else 0
    rank = [first] * boxes + [0] * (ins + outs)
    below: list[set[int]] = [set() for _ in range(boxes)]
    fed = {t for c in cables if c.source >= boxes for t in c.targets}
    for c in cables:
        if c.source < boxes:
            below[c.source].update(t for t in c.targets if t < boxes and t != c.source)
    order = _sorted(below)
    at = {v: k for k, v in enumerate(order)}
    down = [[t for t in below[v] if at[t] > at[v]] for v in range(boxes)]
    for v in order:
        for t in down[v]:
            rank[t] = max(rank[t], rank[v] + 1)
            fed.add(t)
    for v in reversed(order):  # what hangs on nothing stands just above who needs it
        if down[v] and v not in fed:
            rank[v] = max(first, min(rank[t] for t in down[v]) - 1)
    rank[boxes + ins :] = [max(rank[:boxes], default=0) + 1] * outs
    return rank


def _sorted(below: Sequence[set[int]]) -> list[int]:
    """Boxes so that lines go down; in a circle, which only groups can make, the earliest is first."""
    waits = [0] * len(below)
    for targets in below:
        for t in targets:
            waits[t] += 1
    ready = [v for v in range(len(below)) if not waits[v]]
    left, order = set(range(len(below))), []
    while left:
        v = heapq.heappop(ready) if ready else min(left)
        if v not in left:
            continue
        left.remove(v)
        order.append(v)
        for t in below[v]:
            waits[t] -= 1
            if not waits[t] and t in left:
                heapq.heappush(ready, t)
    return order


def _route(layers: Layers, k: int, cable: Cable) -> None:
    """Give a cable its places in the ranks it passes, and note what it joins."""
    rank = layers.rank
    start = rank[cable.source]
    down = [t for t in cable.targets if rank[t] > start]
    layers.up += [(k, t) for t in cable.targets if rank[t] <= start]
    trunk: list[int] = []
    above = cable.source
    for r in range(start + 1, max((rank[t] for t in down), default=0)):
        v = len(rank)
        rank.append(r)
        layers.rows[r].append(v)
        layers.links.append((above, v))
        trunk.append(v)
        above = v
    for t in down:
        step = rank[t] - start - 2
        layers.links.append((trunk[step] if step >= 0 else cable.source, t))
    layers.trunks.append(trunk)


def _order(layers: Layers) -> None:
    """Fewer crossings: each rank sorted by where its neighbours stand, down and up; the best order seen is kept."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for u, v in layers.links:
        above.setdefault(v, []).append(u)
        below.setdefault(u, []).append(v)
    best, least = [list(r) for r in layers.rows], _crossings(layers.rows, below)
    for sweep in range(_SWEEPS):
        if not least:
            break
        down = sweep % 2 == 0
        rows, near = (layers.rows, above) if down else (layers.rows[::-1], below)
        at = {v: k / max(1, len(rows[0]) - 1) for k, v in enumerate(rows[0])} if rows else {}
        for row in rows[1:]:
            own = {v: k / max(1, len(row) - 1) for k, v in enumerate(row)}
            middle = {v: _mean([at[u] for u in near.get(v, ()) if u in at], own[v]) for v in row}
            row.sort(key=lambda v: middle[v])
            at |= {v: k / max(1, len(row) - 1) for k, v in enumerate(row)}
        count = _crossings(layers.rows, below)
        if count < least:
            best, least = [list(r) for r in layers.rows], count
    layers.rows[:] = best


def _mean(values: Sequence[float], other: float) -> float:
    return sum(values) / len(values) if values else other


def _crossings(rows: Sequence[Sequence[int]], below: dict[int, list[int]]) -> int:
    """Pairs of lines that cross between neighbouring ranks; inversions, counted with a tree of sums."""
    total = 0
    for upper, lower in itertools.pairwise(rows):
        at = {v: k for k, v in enumerate(lower)}
        ends = [e for u in upper for e in sorted(at[v] for v in below.get(u, ()))]
        if len(ends) < 2:
            continue
        sums, size = [0] * (len(lower) + 1), len(lower)
        for seen, e in enumerate(ends):
            i, smaller = e + 1, 0
            while i:
                smaller += sums[i]
                i -= i & -i
            total += seen - smaller
            i = e + 1
            while i <= size:
                sums[i] += 1
                i += i & -i
    return total
