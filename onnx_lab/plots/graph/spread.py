"""Open groups in one plane, for a picture that needs no kernel; ``jupyter/view/graph.js`` does the same in the page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from onnx_lab.plots.graph.places import HEIGHT, Layout

_PAD, _HEAD, _UNDER_LINES = 16.0, 34.0, 12.0

Point = tuple[float, float]


@dataclass
class Rect:
    """A box, or the frame of an open group: its corner and size."""

    box: int
    x: float
    y: float
    w: float
    h: float
    open: bool = False


@dataclass
class Plane:
    """Boxes and frames, frames before what is in them, and lines from point to point."""

    w: float = 0.0
    h: float = 0.0
    rects: list[Rect] = field(default_factory=list)
    lines: list[list[Point]] = field(default_factory=list)


@dataclass
class _Room:
    """A group that is open, around its own corner."""

    layout: Layout
    kids: list[Rect]
    inner: list[_Room | None]
    w: float
    h: float
    fx: Callable[[float], float]
    fy: Callable[[float], float]


def spread(
    root: int,
    opened: Collection[int],
    children: Callable[[int], Sequence[int]],
    layout: Callable[[int], Layout],
    width: Callable[[int], float],
) -> Plane:
    """Everything that is seen when the groups `opened` are open."""

    def room(g: int) -> _Room:
        made, boxes = layout(g), children(g)
        inner = [room(c) if c in opened else None for c in boxes]
        kids = [
            Rect(c, 0, 0, i.w if i else width(c), i.h if i else HEIGHT, i is not None)
            for c, i in zip(boxes, inner, strict=True)
        ]
        halves = [width(c) / 2 for c in boxes]
        fx = stretched([(x - half, x + half, k.w) for x, half, k in zip(made.x, halves, kids, strict=True) if k.open])
        ranks: dict[float, float] = {}
        for y, k in zip(made.y, kids, strict=True):
            ranks[y] = max(ranks.get(y, 0.0), k.h)
        fy = stretched([(y - HEIGHT / 2, y + HEIGHT / 2, h) for y, h in ranks.items()])
        head = _PAD if g == root else _UNDER_LINES if made.ins else _HEAD
        left, top = fx(-made.width / 2), fy(0)
        w = fx(made.width / 2) - left + 2 * _PAD
        h = fy(made.height) - top + head + (0 if made.outs else _PAD)
        for k, x, y in zip(kids, made.x, made.y, strict=True):
            k.x, k.y = fx(x) - left + _PAD - k.w / 2, fy(y) - top + head - k.h / 2
        return _Room(made, kids, inner, w, h, lambda x: fx(x) - left + _PAD, lambda y: fy(y) - top + head)

    plane = Plane()
    whole = room(root)
    _put(plane, whole, 0.0, 0.0)
    plane.w, plane.h = whole.w, whole.h
    return plane


def stretched(intervals: Sequence[tuple[float, float, float]]) -> Callable[[float], float]:
    """A map of the line that makes every interval (left, right, wide) at least so wide and brings nothing closer.

    Examples
    --------
    >>> f = stretched([(-10, 10, 60)])
    >>> f(-10), f(0), f(10), f(25)
    (-30.0, 0.0, 30.0, 45.0)
    """
    if not intervals:
        return lambda x: x
    ends = sorted({e for left, right, _ in intervals for e in (left, right)})
    at = {e: i for i, e in enumerate(ends)}
    low, high = list(ends), list(ends)
    for i in range(1, len(ends)):
        reach = [low[at[left]] + wide for left, right, wide in intervals if at[right] == i]
        low[i] = max([low[i - 1] + ends[i] - ends[i - 1], *reach])
    for i in range(len(ends) - 2, -1, -1):
        reach = [high[at[right]] - wide for left, right, wide in intervals if at[left] == i]
        high[i] = min([high[i + 1] - ends[i + 1] + ends[i], *reach])
    to = [(a + b) / 2 for a, b in zip(low, high, strict=True)]

    def mapped(x: float) -> float:
        if x <= ends[0]:
            return x - ends[0] + to[0]
        if x >= ends[-1]:
            return x - ends[-1] + to[-1]
        i = bisect_right(ends, x) - 1
        return to[i] + (x - ends[i]) * (to[i + 1] - to[i]) / (ends[i + 1] - ends[i])

    return mapped


def _put(plane: Plane, room: _Room, x: float, y: float) -> None:
    for k, inner in zip(room.kids, room.inner, strict=True):
        plane.rects.append(Rect(k.box, x + k.x, y + k.y, k.w, k.h, k.open))
        if inner:
            _put(plane, inner, x + k.x, y + k.y)
    n = len(room.kids)
    for line in room.layout.lines:
        points = [(x + room.fx(a), y + room.fy(b)) for a, b in line.points]
        first, last = points[0][0], points[-1][0]
        start, end = y, y + room.h
        if line.source < n:
            first, start = x + _port(room, line.source, line.points[0][0], line.out_line, out=True), 0.0
            start = y + room.kids[line.source].y + room.kids[line.source].h
        if line.target < n:
            last = x + _port(room, line.target, line.points[-1][0], line.in_line, out=False)
            end = y + room.kids[line.target].y
        inner_points = [(first, points[0][1]), *points[1:-1], (last, points[-1][1])]
        plane.lines.append([(first, start), *inner_points, (last, end)])


def _port(room: _Room, k: int, x: float, line: int, *, out: bool) -> float:
    """Where a line meets a box: at its place on the border of an open one."""
    kid, inner = room.kids[k], room.inner[k]
    if inner is None:
        return kid.x + kid.w / 2 + x - room.layout.x[k]
    places = inner.layout.outs if out else inner.layout.ins
    return kid.x + inner.fx(places[line])
