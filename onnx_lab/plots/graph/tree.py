"""Nodes in groups: by the user's own modules, else by names, else by what repeats."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from onnx_lab._metadata import shared_path
from onnx_lab.plots.graph.flat import Flat

#: A group with more boxes than this opens onto more than a person reads: stretches of it become groups of their own.
MOST = 48
_ALIKE = 3
#: So many loose nodes in a row, in a module that mostly holds others, hide what it is made of: they become a group.
_LOOSE, _CONTAINER = 8, 3
#: Modules inside modules; a name with more parts than this is no path that a person made.
_DEEPEST = 32


@dataclass(slots=True)
class Group:
    """A box that holds others. `alike` is how many of its children have the same form, 0 when that says nothing."""

    label: str
    path: str
    children: list[int] = field(default_factory=list)
    alike: int = 0


class Tree:
    """Boxes: the nodes of a `Flat` by their places, and groups behind them. The last group is the root.

    Attributes
    ----------
    groups : dict of int to Group
    parent : dict of int to int
    """

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self.groups: dict[int, Group] = {}
        self.parent: dict[int, int] = {}
        self._next = len(flat.nodes)
        self._forms: dict[int, Hashable] = {}
        self._first: dict[int, float] = {}
        self.root = self.group("", "", [])

    def group(self, label: str, path: str, children: Sequence[int], alike: int = 0) -> int:
        """A new group around `children`; its number. Whoever held them must be told."""
        number = self._next
        self._next += 1
        self.groups[number] = Group(label, path, list(children), alike)
        self.parent.update(dict.fromkeys(children, number))
        return number

    def hold(self, number: int, children: Sequence[int]) -> None:
        """Give a group other children."""
        self.groups[number].children = list(children)
        self.parent.update(dict.fromkeys(children, number))

    def chain(self, box: int) -> Iterator[tuple[int, int]]:
        """The groups around a box from the inside out, each with its child on the way."""
        while (up := self.parent.get(box)) is not None:
            yield up, box
            box = up

    def first(self, box: int) -> float:
        """The place of a box in the order of computation: that of its first node."""
        if box not in self.groups:
            return self.flat.nodes[box].place
        if box not in self._first:
            self._first[box] = min((self.first(c) for c in self.groups[box].children), default=0.0)
        return self._first[box]

    def form(self, box: int) -> Hashable:
        """Equal for boxes that are made alike."""
        if box not in self.groups:
            return self.flat.nodes[box].op
        if box not in self._forms:
            inside = Counter(self.form(c) for c in self.groups[box].children)
            self._forms[box] = hash(frozenset(inside.items()))
        return self._forms[box]

    def words(self, boxes: Sequence[int]) -> str:
        """What is most in some boxes; groups by their names."""
        if all(b in self.groups for b in boxes):
            ends = self.groups[boxes[0]].label, self.groups[boxes[-1]].label
            return ends[0] if ends[0] == ends[1] else f"{ends[0]} … {ends[1]}"
        ops = Counter(self.flat.nodes[n].op for b in boxes for n in self.nodes(b))
        return ", ".join(op for op, _ in ops.most_common(3))

    def nodes(self, box: int) -> Iterator[int]:
        """All nodes inside a box."""
        if box not in self.groups:
            yield box
            return
        for c in self.groups[box].children:
            yield from self.nodes(c)


def grouped(flat: Flat) -> Tree:
    """The tree of a graph.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> from onnx_lab.plots.graph.flat import flatten
    >>> tree = grouped(flatten(lab.samples.tiny()))
    >>> [tree.groups[c].label for c in tree.groups[tree.root].children if c in tree.groups]
    ['first', 'second']
    """
    from onnx_lab.plots.graph.blocks import break_up

    tree = Tree(flat)
    _by_path(tree, _paths(flat))
    _merge(tree, tree.root)
    for number in [*tree.groups]:
        if number in tree.groups:
            group = tree.groups[number]
            group.children.sort(key=tree.first)
            _gather_loose(tree, number)
            _mark_alike(tree, number)
    for number in [*tree.groups]:
        break_up(tree, number, MOST)
    return tree


def _paths(flat: Flat) -> list[tuple[str, ...]]:
    """Where each node belongs: its module; for a graph without modules, what its name says."""
    modules = [tuple(p for p in n.module.split(".") if p)[:_DEEPEST] for n in flat.nodes]
    own = [i for i, n in enumerate(flat.nodes) if n.kind == "node"]
    if 2 * sum(1 for i in own if modules[i]) >= len(own):
        return _adopted(flat, modules)
    for mark in "/.":
        named = [
            tuple(p for p in n.name.split(mark)[:-1] if p)[:_DEEPEST] if n.kind == "node" else () for n in flat.nodes
        ]
        if 2 * sum(1 for i in own if named[i]) >= len(own):
            return named
    return [()] * len(flat.nodes)


def _adopted(flat: Flat, modules: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Nodes without a module go where their results are read: shapes and masks that exporters put in front."""
    for i in sorted(range(len(flat.nodes)), key=lambda i: -flat.nodes[i].place):
        if modules[i] or flat.nodes[i].kind != "node":
            continue
        readers = [modules[r] for t in flat.nodes[i].outputs for r in flat.tensors[t].readers]
        modules[i] = shared_path(readers)
    return modules


def _by_path(tree: Tree, paths: Sequence[tuple[str, ...]]) -> None:
    known: dict[tuple[str, ...], int] = {(): tree.root}
    inside: dict[int, list[int]] = {tree.root: []}
    for node, path in enumerate(paths):
        for depth in range(1, len(path) + 1):
            part = path[:depth]
            if part not in known:
                known[part] = tree.group(part[-1], ".".join(part), [])
                inside[known[part]] = []
                inside[known[part[:-1]]].append(known[part])
        inside[known[path]].append(node)
    for number, children in inside.items():
        tree.hold(number, children)


def _merge(tree: Tree, number: int) -> None:
    """A group of one box is that box; of one group, it keeps both names."""
    group = tree.groups[number]
    children = []
    for c in group.children:
        if c not in tree.groups:
            children.append(c)
            continue
        _merge(tree, c)
        inner = tree.groups[c]
        if len(inner.children) > 1:
            children.append(c)
            continue
        only = inner.children[0]
        if only in tree.groups:
            tree.groups[only].label = f"{inner.label}.{tree.groups[only].label}"
        children.append(only)
        del tree.groups[c]
    tree.hold(number, children)


def _gather_loose(tree: Tree, number: int) -> None:
    """Put long runs of loose nodes into groups, where they are not what the module is about."""
    group = tree.groups[number]
    loose = [c for c in group.children if c not in tree.groups and tree.flat.nodes[c].kind == "node"]
    inside = sum(1 for c in group.children if c in tree.groups for _ in tree.nodes(c))
    if len(loose) < _LOOSE or inside < _CONTAINER * len(loose):
        return
    children: list[int] = []
    for is_loose, run in itertools.groupby(group.children, key=set(loose).__contains__):
        part = list(run)
        long = is_loose and len(part) >= _LOOSE
        children += [tree.group(tree.words(part), "", part)] if long else part
    tree.hold(number, children)


def _mark_alike(tree: Tree, number: int) -> None:
    """Say that children are alike; where only a run of them is, put it in a group of its own."""
    group = tree.groups[number]
    kids = [c for c in group.children if c in tree.groups]
    if len(kids) < _ALIKE:
        return
    if len(kids) == len(group.children):
        count = Counter(tree.form(c) for c in kids).most_common(1)[0][1]
        numbered = all(tree.groups[c].label.isdigit() for c in kids)
        if numbered or count >= max(_ALIKE, 0.7 * len(kids)):
            group.alike = count if count >= _ALIKE else 0
            return
    children: list[int] = []
    for run in _runs(tree, group.children):
        if len(run) < _ALIKE or run[0] not in tree.groups:
            children += run
            continue
        ends = tree.groups[run[0]].label, tree.groups[run[-1]].label
        children.append(tree.group(f"{ends[0]} … {ends[1]}", group.path, run, len(run)))
    tree.hold(number, children)


def _runs(tree: Tree, boxes: Sequence[int]) -> Iterator[list[int]]:
    """Neighbours of the same form."""
    run: list[int] = []
    for box in boxes:
        if run and tree.form(box) != tree.form(run[-1]):
            yield run
            run = []
        run.append(box)
    if run:
        yield run
