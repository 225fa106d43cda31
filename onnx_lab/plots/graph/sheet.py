"""The graph as the view in the cell draws it: boxes, layouts of groups, and what the panel says, as compressed JSON.

Three parts, so that the first picture comes at once: what is open at first; the names of everything, for the search;
and the layouts of all closed groups with what is known of each node. A part that would be too large is not sent: the
view asks for what it needs then.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from onnx_lab.errors import BadInput
from onnx_lab.measure._changes import KINDS
from onnx_lab.measure._kinds import kind_of
from onnx_lab.plots.graph.attributes import attributes_of
from onnx_lab.plots.graph.flat import Flat
from onnx_lab.plots.graph.places import Layout, laid_out
from onnx_lab.plots.graph.shades import Shades, shaded
from onnx_lab.plots.graph.tree import Group, Tree, grouped
from onnx_lab.plots.graph.wires import Wires

#: Statuses of nodes when two models are shown; the view knows them by number.
STATUSES = ("", *KINDS)
_FAMILIES = {"float": 1, "int8": 1, "nbits": 1, "attention": 1, "normalization": 2, "glue": 3, "cast": 3, "scaling": 4}
_BOX_KINDS = {"node": 0, "input": 2, "output": 3}
_GROUP = 1
#: About as many boxes are open at first.
_OPEN = 18
_LETTER, _SMALL_LETTER, _NARROW, _WIDE, _TEXT = 7.4, 5.8, 70.0, 220.0, 30


class Sheet:
    """A graph, grouped, with what can be drawn of it.

    Parameters
    ----------
    flat : Flat
        Of one model, or of two in one.
    color : str or result, optional
        See `onnx_lab.plots.graph.shades.shaded`.
    """

    def __init__(self, flat: Flat, color: Any = None) -> None:
        self.flat = flat
        self.tree: Tree = grouped(flat)
        self.shades: Shades | None = shaded(self.tree, color) if color is not None else None
        self._wires = Wires(self.tree)
        self._layouts: dict[Any, Layout] = {}
        self._counts: dict[int, Counter[str]] = {}
        self._inside: dict[int, int] = {}
        ends_first = sorted(enumerate(flat.nodes), key=lambda pair: pair[1].kind == "node")
        self._names = {n.name: i for i, n in ends_first}
        for i, n in enumerate(flat.nodes):
            for group, _ in self.tree.chain(i):
                self._inside[group] = self._inside.get(group, 0) + (n.kind == "node")
                if n.status:
                    self._counts.setdefault(group, Counter())[n.status] += 1

    # -- what a person reads ----------------------------------------------------------------------------------------

    @property
    def nodes(self) -> int:
        """Operators shown."""
        return self._inside.get(self.tree.root, 0)

    def size(self, group: int) -> int:
        """Operators inside a group."""
        return self._inside.get(group, 0)

    def counts(self, group: int) -> dict[str, int]:
        """Status -> nodes inside a group."""
        return dict(self._counts.get(group, {}))

    def box(self, name: str) -> int:
        """The box of a node by its name, or of a group by its module.

        Raises
        ------
        BadInput
            When there is none.
        """
        if name in self._names:
            return self._names[name]
        for number, group in self.tree.groups.items():
            if name and group.path == name:
                return number
        raise BadInput(f"nothing in {self.flat.name} is called {name!r}", accepted="a node's name, or a module's")

    def names(self, boxes: Iterable[int]) -> tuple[str, ...]:
        """Names of all nodes inside some boxes."""
        return tuple(self.flat.nodes[n].name for b in boxes for n in self.tree.nodes(b))

    def opened(self) -> list[int]:
        """Groups that are open at first: from the root down, what fits, what holds most before what holds little."""
        groups, chosen = self.tree.groups, [self.tree.root]
        seen = len(groups[self.tree.root].children)
        waiting = [c for c in groups[self.tree.root].children if c in groups]
        while waiting:
            waiting.sort(key=lambda c: (sum(self.counts(c).values()), self.size(c)))
            g = waiting.pop()
            if self._counts and g not in self._counts:
                continue  # nothing was done in it
            if seen + len(groups[g].children) - 1 > _OPEN:
                continue
            chosen.append(g)
            seen += len(groups[g].children) - 1
            if not groups[g].alike:  # of boxes that are alike, none is shown before the others
                waiting += [c for c in groups[g].children if c in groups]
        return chosen

    # -- what is sent -----------------------------------------------------------------------------------------------

    def first(self) -> bytes:
        """What is open at first."""
        opened = self.opened()
        head = {"root": self.tree.root, "open": opened, "nodes": self.nodes, "legend": self._legend()}
        return _packed({**head, **self._part(opened)})

    def index(self) -> bytes:
        """Every box without its place: for the search, and for names in the panel."""
        groups = self.tree.groups
        boxes = [*range(len(self.flat.nodes)), *groups]
        names = [n.name for n in self.flat.nodes]
        modules = [n.module for n in self.flat.nodes]
        return _packed(
            {
                "b": {b: self._box(b) for b in boxes},
                "c": {g: groups[g].children for g in groups},
                "names": names,
                "mods": modules,
            }
        )

    def rest(self) -> bytes:
        """Layouts of all groups, and what is known of each node."""
        return _packed({**self._part(self.tree.groups), "about": [self.about(i) for i in range(len(self.flat.nodes))]})

    def group(self, number: int) -> bytes:
        """One group that the view opens."""
        return _packed(self._part([number])) if number in self.tree.groups else _packed({})

    def node(self, number: int) -> bytes:
        """What is known of one node."""
        known = 0 <= number < len(self.flat.nodes)
        return _packed({"one": [number, self.about(number)]} if known else {})

    def about(self, number: int) -> list[Any]:
        """Attributes, inputs and outputs of a node, and what it was made of.

        Inputs and outputs are name, type and box: that of the maker for an input, -1 for a weight, those of the readers
        for an output.
        """
        n, tensors = self.flat.nodes[number], self.flat.tensors
        ins = [[tensors[t].name, tensors[t].type, tensors[t].maker] for t in n.inputs]
        outs = [[tensors[t].name, tensors[t].type, tensors[t].readers[:12]] for t in n.outputs]
        return [attributes_of(n.origin), ins, outs, n.detail, list(n.made_of)]

    def layout(self, group: int) -> Layout:
        """Where the boxes of a group go; groups that are alike share it."""
        children = self.tree.groups[group].children
        widths = tuple(self.width(c) for c in children)
        wiring = self._wires.of(group)
        form = (
            widths,
            len(wiring.ins),
            len(wiring.outs),
            tuple((c.source, tuple(c.targets)) for c in wiring.cables),
        )
        if form not in self._layouts:
            self._layouts[form] = laid_out(widths, wiring)
        return self._layouts[form]

    def _part(self, groups: Iterable[int]) -> dict[str, Any]:
        boxes, layouts = {}, {}
        for g in groups:
            boxes[g] = self._box(g)
            boxes.update({c: self._box(c) for c in self.tree.groups[g].children})
            layouts[g] = _layout(self.tree.groups[g], self.layout(g))
        return {"b": boxes, "g": layouts}

    def _box(self, b: int) -> list[Any]:
        """Label, second line, kind, width, parent, status, family, depth of colour, share of each status."""
        label, sub = self.words(b)
        parent = self.tree.parent.get(b, -1)
        depth = round(self.shades.depth(b), 3) if self.shades else 0
        if b in self.tree.groups:
            counts = self._counts.get(b, Counter())
            shares = [counts.get(s, 0) for s in KINDS] if counts else 0
            return [label, sub, _GROUP, self.width(b), parent, 0, 0, depth, shares]
        n = self.flat.nodes[b]
        family = _FAMILIES.get(kind_of(n.op, ""), 0) if n.kind == "node" else 0
        return [label, sub, _BOX_KINDS[n.kind], self.width(b), parent, STATUSES.index(n.status), family, depth, 0]

    def words(self, b: int) -> tuple[str, str]:
        """The two lines of a box."""
        value = self.shades.text(self.shades.values[b]) if self.shades and b in self.shades.values else ""
        if b in self.tree.groups:
            group = self.tree.groups[b]
            count = max(group.alike, len(group.children))  # many that are alike are broken up into stretches
            same = "alike" if group.alike == count else f"{group.alike} alike"
            own = ".".join(group.path.split(".")[-2:]) if group.label.isdigit() else group.label
            label = f"{own} ×{count}" if group.alike and "…" not in own else own
            number = f"{self.size(b)} nodes"
            return label or self.flat.name, value or (f"{number}, {same}" if group.alike else number)
        n = self.flat.nodes[b]
        if n.kind != "node":
            return n.name, self._type([*n.inputs, *n.outputs])
        return n.op, value or n.detail or self._type(n.outputs)

    def _type(self, tensors: Sequence[int]) -> str:
        return self.flat.tensors[tensors[0]].type if tensors else ""

    def width(self, b: int) -> float:
        label, sub = self.words(b)
        wide = max(_LETTER * min(len(label), _TEXT), _SMALL_LETTER * min(len(sub), _TEXT)) + 24
        return round(max(_NARROW, min(_WIDE, wide + 24 * (b in self.tree.groups))))

    def _legend(self) -> dict[str, Any]:
        if self.shades:
            high = self.shades.highest
            return {
                "kind": "shade",
                "title": self.shades.title,
                "low": "0" if self.shades.adds else "less",
                "high": self.shades.text(high),
            }
        found = Counter(n.status for n in self.flat.nodes if n.status)
        return {"kind": "status", "counts": [found[s] for s in KINDS]} if found else {"kind": ""}


def _layout(group: Group, made: Layout) -> dict[str, Any]:
    lines = [
        [e.source, e.target, e.out_line, e.in_line, int(e.up), [round(v) for p in e.points for v in p]]
        for e in made.lines
    ]
    return {
        "c": group.children,
        "x": [round(v) for v in made.x],
        "y": [round(v) for v in made.y],
        "w": round(made.width),
        "h": round(made.height),
        "i": [round(v) for v in made.ins],
        "o": [round(v) for v in made.outs],
        "l": lines,
    }


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":"), default=str).encode(), 6)
