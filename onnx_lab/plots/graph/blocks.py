"""Groups for boxes that have none: blocks that repeat, and stretches of a long chain, cut where it is thin."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from onnx_lab.plots.graph.tree import Tree

#: A block of more boxes than this is no block that a person would see.
_LONGEST = 400
_LEAST_REPEATS = 3
_PARTS = 24

Counts = npt.NDArray[np.int64]


def break_up(tree: Tree, number: int, most: int) -> None:
    """Give a group with more than `most` boxes groups inside, until each has fewer."""
    boxes = tree.groups[number].children
    if len(boxes) <= most:
        return
    alike = tree.groups[number].alike > 0
    children = _stretches(tree, boxes, most) if alike else _blocks(tree, boxes, most)
    if len(children) > most:
        children = _stretches(tree, children, most)
    tree.hold(number, children)
    for c in children:
        if c in tree.groups and len(tree.groups[c].children) > most:
            break_up(tree, c, most)


def _blocks(tree: Tree, boxes: Sequence[int], most: int) -> list[int]:
    """Repeated stretches as groups of groups, the longest first; what is left, as it is."""
    waiting, done = [(0, len(boxes))], []
    numbers: dict[Hashable, int] = {}
    forms = np.array([numbers.setdefault(tree.form(b), len(numbers)) for b in boxes], np.int64)
    thin = _crossing(tree, boxes)
    while waiting:
        start, end = waiting.pop()
        found = _repeat(forms[start:end], thin[start : end + 1])
        if found is None:
            done.append((start, end, 0))
            continue
        first, period, times = start + found[0], found[1], found[2]
        done.append((first, first + period * times, period))
        waiting += [(s, e) for s, e in ((start, first), (first + period * times, end)) if e > s]
    children: list[int] = []
    for start, end, period in sorted(done):
        if not period:
            children += boxes[start:end]
            continue
        parts = [
            tree.group(f"block {k + 1}", "", boxes[s : s + period]) for k, s in enumerate(range(start, end, period))
        ]
        children.append(tree.group(tree.words(boxes[start : start + period]), "", parts, len(parts)))
        for p in parts:
            break_up(tree, p, most)
    return children


def _repeat(forms: Counts, thin: Counts) -> tuple[int, int, int] | None:
    """Start, period and count of the repetition that covers most; it begins where few tensors cross."""
    best, cover, length = None, 0, len(forms)
    for period in range(2, min(_LONGEST, length // _LEAST_REPEATS) + 1):
        same = np.concatenate([[False], forms[:-period] == forms[period:], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1])
        starts, runs = edges[::2], edges[1::2] - edges[::2] + period
        covers = runs // period * period
        wanted = (runs >= _LEAST_REPEATS * period) & (covers > cover)
        for start, run in zip(starts[wanted].tolist(), runs[wanted].tolist(), strict=True):
            times = run // period
            if times * period <= cover or len(np.unique(forms[start : start + period])) < 2:
                continue  # the same box over and over is no block
            offsets = thin[start : start + run - times * period + 1]
            best, cover = (start + int(np.argmin(offsets)), period, times), times * period
    return best


def _stretches(tree: Tree, boxes: Sequence[int], most: int) -> list[int]:
    """At most a few dozen groups of neighbours, cut where few tensors cross."""
    count = min(_PARTS, max(2, -(-len(boxes) // (most // 2))))
    thin, step = _crossing(tree, boxes), len(boxes) / count
    cuts = [0]
    for k in range(1, count):
        low, high = int(k * step - step / 3), int(k * step + step / 3) + 1
        low = max(low, cuts[-1] + 1)
        if low < high:
            cuts.append(low + int(np.argmin(thin[low:high])))
    children = []
    for start, end in zip(cuts, [*cuts[1:], len(boxes)], strict=True):
        part = list(boxes[start:end])
        children.append(part[0] if len(part) == 1 else tree.group(tree.words(part), "", part))
    return children


def _crossing(tree: Tree, boxes: Sequence[int]) -> Counts:
    """How many tensors go from the boxes before each place to those behind it."""
    at = {node: k for k, box in enumerate(boxes) for node in tree.nodes(box)}
    change = np.zeros(len(boxes) + 2, np.int64)
    for t in tree.flat.tensors:
        here = [at[r] for r in t.readers if r in at]
        if t.maker in at and here and max(here) > at[t.maker]:
            change[at[t.maker] + 1] += 1
            change[max(here) + 1] -= 1
    return np.cumsum(change)[: len(boxes) + 1]
