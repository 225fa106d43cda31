"""Which boxes of a group are joined, what enters the group from outside, and what leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from onnx_lab.plots.graph.tree import Tree

#: A box that gives more tensors than this shows one line for those that go to the same places.
_LINES = 4


@dataclass(slots=True)
class Cable:
    """Tensors that go from one box of a group to others, drawn as one line that branches.

    Boxes are places in the group's list of children. Behind them count what enters, ``len(children) + k``, and what
    leaves, ``len(children) + len(ins) + k``.
    """

    source: int
    targets: list[int]
    tensors: list[int]


@dataclass(slots=True)
class Wiring:
    """The cables of one group; `ins` and `outs` are the tensors that cross its border, line by line."""

    ins: list[list[int]]
    outs: list[list[int]]
    cables: list[Cable] = field(default_factory=list)


class Wires:
    """The wiring of every group of a tree, worked out from the outside in when it is asked for."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._made: dict[int, dict[int, int]] = {g: {} for g in tree.groups}
        self._read: dict[int, dict[int, dict[int, None]]] = {g: {} for g in tree.groups}
        self._leaving: dict[int, set[int]] = {g: set() for g in tree.groups}
        self._known: dict[int, Wiring] = {}
        for t, tensor in enumerate(tree.flat.tensors):
            if tensor.maker >= 0 and tensor.readers:
                self._note(t, tensor.maker, tensor.readers)

    def _note(self, t: int, maker: int, readers: Sequence[int]) -> None:
        """Who makes and who reads a tensor, in each group that it is seen in."""
        up = list(self._tree.chain(maker))
        depth = {g: k for k, (g, _) in enumerate(up)}
        highest = 0
        for r in readers:
            for g, child in self._tree.chain(r):
                self._read[g].setdefault(t, {})[child] = None
                if g in depth:
                    highest = max(highest, depth[g])
                    break
        for k, (g, child) in enumerate(up[: highest + 1]):
            self._made[g][t] = child
            if k < highest:
                self._leaving[g].add(t)

    def of(self, group: int) -> Wiring:
        """The wiring of one group."""
        if group not in self._known:
            self._known[group] = self._wire(group)
        return self._known[group]

    def _wire(self, group: int) -> Wiring:
        children = {c: k for k, c in enumerate(self._tree.groups[group].children)}
        wiring = Wiring(*self._border(group))
        n, outs = len(children), len(children) + len(wiring.ins)
        leave: dict[int, list[int]] = {}
        for k, tensors in enumerate(wiring.outs):
            for t in tensors:
                leave.setdefault(t, []).append(outs + k)
        read = self._read[group]
        gives: dict[int, dict[int, list[int]]] = {}
        for t, child in self._made[group].items():
            targets = [children[c] for c in read.get(t, {}) if c != child] + leave.get(t, [])
            if targets:
                gives.setdefault(children[child], {})[t] = targets
        for source in sorted(gives):
            wiring.cables += _cables(source, gives[source])
        for k, tensors in enumerate(wiring.ins):
            readers = dict.fromkeys(children[c] for t in tensors for c in read.get(t, {}))
            wiring.cables.append(Cable(n + k, list(readers), tensors))
        return wiring

    def _border(self, group: int) -> tuple[list[list[int]], list[list[int]]]:
        """What enters and what leaves, one list for each line that the group around it draws."""
        parent = self._tree.parent.get(group)
        if parent is None:
            return [], []
        around, own = self.of(parent), self._tree.groups[parent].children.index(group)
        ins = [c.tensors for c in around.cables if own in c.targets]
        outs = [c.tensors for c in around.cables if c.source == own]
        return ins, outs


def _cables(source: int, given: dict[int, list[int]]) -> list[Cable]:
    if len(given) <= _LINES:
        return [Cable(source, targets, [t]) for t, targets in given.items()]
    same: dict[tuple[int, ...], list[int]] = {}
    for t, targets in given.items():
        same.setdefault(tuple(sorted(set(targets))), []).append(t)
    return [Cable(source, list(targets), tensors) for targets, tensors in same.items()]
