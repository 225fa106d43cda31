"""Layouts: no box over another, lines that go down, and the same when groups are opened."""

from __future__ import annotations

import itertools
import random

import pytest
from chains import blocks_of, flat_of

from onnx_lab.plots.graph.layers import layered
from onnx_lab.plots.graph.places import HEIGHT, Layout, laid_out
from onnx_lab.plots.graph.sheet import Sheet
from onnx_lab.plots.graph.spread import Rect, spread, stretched
from onnx_lab.plots.graph.wires import Cable, Wiring


def a_dag(seed: int, boxes: int = 25) -> Wiring:
    """Random cables from earlier boxes to later ones, one line in, one line out."""
    rng = random.Random(seed)
    cables = [Cable(i, sorted(rng.sample(range(i + 1, boxes), min(3, boxes - i - 1))), [i]) for i in range(boxes - 1)]
    cables += [Cable(boxes - 1, [boxes + 1], [99]), Cable(boxes, [0, boxes // 2], [98])]
    return Wiring([[98]], [[99]], cables)


def apart(a: Rect, b: Rect) -> bool:
    return a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y


@pytest.mark.parametrize("seed", range(5))
def test_boxes_stand_apart_and_lines_go_down(seed: int) -> None:
    widths = [60 + 10 * (i % 9) for i in range(25)]
    made: Layout = laid_out(widths, a_dag(seed))
    rects = [
        Rect(i, x - w / 2, y - HEIGHT / 2, w, HEIGHT)
        for i, (x, y, w) in enumerate(zip(made.x, made.y, widths, strict=True))
    ]
    assert all(apart(a, b) for a in rects for b in rects if a is not b)
    assert all(abs(r.x) <= made.width / 2 + 1 and r.x + r.w <= made.width / 2 + 1 for r in rects)
    for line in made.lines:
        ys = [y for _, y in line.points]
        assert ys == sorted(ys)
        if line.source < 25:
            assert abs(line.points[0][0] - made.x[line.source]) <= widths[line.source] / 2


def test_a_line_over_ranks_passes_beside_the_boxes_there() -> None:
    chain = [Cable(i, [i + 1], [i]) for i in range(5)] + [Cable(0, [5], [9])]
    made = laid_out([100] * 6, Wiring([], [], chain))
    long = next(e for e in made.lines if e.source == 0 and e.target == 5)
    beside = long.points[1:-1]
    assert max(x for x, _ in beside) - min(x for x, _ in beside) < 2, "it is straight"
    assert all(abs(beside[0][0] - x) >= 50 for x in made.x[1:5])


def test_branches_of_a_cable_share_their_way() -> None:
    chain = [Cable(i, [i + 1], [i]) for i in range(6)]
    layers = layered(7, 0, 0, [*chain, Cable(0, [2, 3, 4, 5, 6], [9])])
    assert len(layers.rank) == 7 + 5, "five places, not ten"


def test_a_circle_of_groups_is_drawn_and_said() -> None:
    layers = layered(2, 0, 0, [Cable(0, [1], [1]), Cable(1, [0], [2])])
    assert layers.rank == [0, 1]
    assert layers.up == [(1, 0)]


def test_stretching_keeps_order_and_brings_nothing_closer() -> None:
    f = stretched([(0, 10, 50), (5, 20, 30), (40, 60, 200)])
    places = [-10, 0, 5, 10, 20, 30, 40, 60, 90]
    for a, b in itertools.pairwise(places):
        assert f(b) - f(a) >= b - a - 1e-9
    assert f(10) - f(0) >= 50 - 1e-9
    assert f(60) - f(40) >= 200 - 1e-9


def test_open_groups_hold_what_is_in_them_and_nothing_overlaps() -> None:
    sheet = Sheet(flat_of(blocks_of(["Relu", "Neg", "Tanh", "Abs"], times=8)))
    tree = sheet.tree
    plane = spread(tree.root, tree.groups, lambda g: tree.groups[g].children, sheet.layout, sheet.width)
    at = {r.box: r for r in plane.rects}
    assert len(at) == len(tree.parent)
    for box, r in at.items():
        around = at.get(tree.parent[box])
        if around:
            assert around.x <= r.x
            assert around.y <= r.y
            assert r.x + r.w <= around.x + around.w
            assert r.y + r.h <= around.y + around.h
    for group in tree.groups.values():
        rects = [at[c] for c in group.children]
        assert all(apart(a, b) for a in rects for b in rects if a is not b)
    assert len(plane.lines) >= len(sheet.flat.nodes) - 1
