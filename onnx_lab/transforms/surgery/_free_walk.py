"""A walk through a graph with some sizes free: what each axis is made of, and what must change for it to hold.

Every node's shapes are computed twice, at the sizes of the file and at others; what differs is free. Where a node's
constants hold the old sizes, a rule mends it or names it as the one that forbids the edit. Where a batch of one leaves
open which axis it went to, the likeliest is taken, and the walk comes back when that leads nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.errors import TransformError
from onnx_lab.transforms.surgery._free_dims import Dim, Dims, Free, fixed, is_free, new_size, old_size
from onnx_lab.transforms.surgery._free_mends import Mend
from onnx_lab.transforms.surgery._infer import SMALL, Array, Inference, Known, Refused

if TYPE_CHECKING:
    import onnx_ir as ir

#: Times that the walk turns back before it gives up.
_TURNS = 400
#: A constant up to this many elements is looked into.
_LARGEST = 1 << 22


@dataclass
class Way:
    """One way to go on at a node.

    Attributes
    ----------
    dims : list
        Of its inputs, as the mends leave them; None where a shape is not known.
    data : list
        Values of its inputs at the new sizes, as the mends leave them.
    mends : list of Mend
    out : tuple of Dim, optional
        Of its first output, where the rule knows more than the sizes say.
    """

    dims: list[Dims | None]
    data: list[Array | None]
    mends: list[Mend] = field(default_factory=list)
    out: Dims | None = None


class Walk:
    """Shapes and mends of a graph whose inputs have free sizes.

    Parameters
    ----------
    model : ir.Model
        Only read.
    free : mapping of (str, int) to Free
        Input and axis -> the free size that it has.
    """

    def __init__(self, model: ir.Model, free: Mapping[tuple[str, int], Free]) -> None:
        self.inference = Inference(model)
        self.opset = model.opset_imports.get("", 0)
        self._model = model
        self._nodes = list(model.graph)
        self._dims: dict[ir.Value, Dims | None] = {}
        self._types: dict[ir.Value, int] = {}
        self._data: dict[ir.Value, tuple[Array, Array]] = {}
        self._constant: set[ir.Value] = set()
        self._mends: dict[int, list[Mend]] = {}
        self.blind: list[ir.Node] = []
        self._enter(model, free)

    def _enter(self, model: ir.Model, free: Mapping[tuple[str, int], Free]) -> None:
        for value in model.graph.inputs:
            if value.shape is not None and value.name not in model.graph.initializers:
                self._dims[value] = _entered(value, free)
            self._types[value] = int(value.dtype.value) if value.dtype is not None else 0
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None:
                continue
            shape = tuple(int(d) for d in tensor.shape.numpy())
            self._dims[value], self._types[value] = tuple(map(fixed, shape)), int(tensor.dtype.value)
            self._constant.add(value)
            if math.prod(shape) <= SMALL:
                self._data[value] = (tensor.numpy(),) * 2

    def go(self) -> list[Mend]:
        """Walk to the end; what must change.

        Raises
        ------
        TransformError
            With the node that forbids it, and why.
        """
        forks: list[tuple[int, Iterator[Way]]] = []
        at, turns, first = 0, 0, None
        ways: Iterator[Way] | None = None
        while at < len(self._nodes):
            node = self._nodes[at]
            try:
                if ways is None:
                    ways = iter(self._ways(node))
                    forks.append((at, ways))
                way = next(ways, None)
                if way is not None:
                    self._settle(node, way)
                    self._mends[at] = way.mends
                    at, ways = at + 1, None
                    continue
            except Refused as e:
                first = first or (node, str(e))
                turns += 1
                if ways is not None and turns <= _TURNS:  # another way at this node
                    continue
            # back to the last node with another way
            while forks and forks[-1][0] >= at:
                forks.pop()
            if not forks or turns > _TURNS:
                assert first is not None
                raise _forbidden(*first)
            at, ways = forks[-1]
        return [m for i in sorted(self._mends) for m in self._mends[i]]

    def dims(self, value: ir.Value) -> Dims | None:
        """What its axes are made of; None where that is not known."""
        return self._dims.get(value)

    def constant(self, value: ir.Value | None) -> Array | None:
        """The value of what depends on no input; None where it does, or is large."""
        if value is None or value not in self._constant:
            return None
        if value in self._data:
            return self._data[value][0]
        dims = self._dims.get(value)
        if dims is None or math.prod(map(old_size, dims)) > _LARGEST:
            return None
        node = value.producer()
        if node is None:
            return value.const_value.numpy() if value.const_value is not None else None
        made = self.inference.value(node, [self.constant(v) for v in node.inputs])
        return made[value.index() or 0] if made is not None else None

    def is_constant(self, value: ir.Value | None) -> bool:
        """Whether it depends on no input."""
        return value in self._constant

    def old(self, value: ir.Value | None) -> Array | None:
        """Its value at the sizes of the file, where it is small and known."""
        return self._data[value][0] if value is not None and value in self._data else None

    def new(self, value: ir.Value | None) -> Array | None:
        """Its value at the new sizes."""
        return self._data[value][1] if value is not None and value in self._data else None

    def known(self, node: ir.Node, dims: Sequence[Dims | None], *, new: bool) -> list[Known | None]:
        """Types and sizes of a node's inputs, for inference."""
        size = new_size if new else old_size
        return [
            None if v is None or d is None else (self._types.get(v, 0), tuple(map(size, d)))
            for v, d in zip(node.inputs, dims, strict=True)
        ]

    def _ways(self, node: ir.Node) -> Iterator[Way]:
        from onnx_lab.transforms.surgery._free_rules import ways

        dims = [None if v is None else self._dims.get(v) for v in node.inputs]
        plain = Way(dims, [self.new(v) for v in node.inputs])
        if any(v is not None and d is None for v, d in zip(node.inputs, dims, strict=True)):
            return iter([plain])
        if not any(is_free(d) for ds in dims for d in ds or ()):
            return iter([plain])
        return iter(ways(self, node, plain))

    def _settle(self, node: ir.Node, way: Way) -> None:
        """What the node makes, of which sizes; noted for the nodes that follow."""
        before = [None if v is None else self._dims.get(v) for v in node.inputs]
        old_data = [self.old(v) for v in node.inputs]
        old = self.inference.shapes(node, self.known(node, before, new=False), old_data)
        new = self.inference.shapes(node, self.known(node, way.dims, new=True), way.data)
        given = [v for v in node.inputs if v is not None]
        constant = bool(given) and all(v in self._constant for v in given) and not _has_graphs(node) and not way.mends
        constant = constant or node.op_type == "Constant"
        for i, value in enumerate(node.outputs):
            self._data.pop(value, None)
            self._constant.discard(value)
            dims = self._of(value, old[i], new[i], way)
            self._dims[value] = way.out if i == 0 and way.out is not None else dims
            self._types[value] = _type(old[i], new[i], value)
            if constant:
                self._constant.add(value)
        if any(self._dims[v] is None for v in node.outputs if v.name) and node not in self.blind:
            self.blind.append(node)
        self._compute(node, old_data, way)

    def _compute(self, node: ir.Node, old_data: list[Array | None], way: Way) -> None:
        """Small values: those that shapes are made of."""
        for v in node.outputs:
            dims = self._dims[v]
            if dims is None or max(math.prod(map(f, dims)) for f in (old_size, new_size)) > SMALL:
                return
        if node.op_type == "Shape":
            start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", None)
            source = way.dims[0]
            if source is not None:
                sizes = [np.array([f(d) for d in source], np.int64)[start:end] for f in (old_size, new_size)]
                self._note(node.outputs[0], sizes[0], sizes[1])
            return
        if any(d is None for v, d in zip(node.inputs, old_data, strict=True) if v is not None) or _has_graphs(node):
            return
        old = self.inference.value(node, old_data)
        same = all(a is b for a, b in zip(old_data, way.data, strict=True))
        new = old if same else self.inference.value(node, way.data)
        if old is not None and new is not None:
            for v, a, b in zip(node.outputs, old, new, strict=False):
                self._note(v, a, b)

    def _note(self, value: ir.Value, old: Array, new: Array) -> None:
        self._data[value] = (old, new)
        if old.shape == new.shape and bool((old == new).all()):
            self._constant.add(value)  # made from a shape, and no free size is in it

    def _of(self, value: ir.Value, old: Known | None, new: Known | None, way: Way) -> Dims | None:
        if old is None or new is None:
            return _guess(value, way)
        if len(old[1]) != len(new[1]):
            raise Refused(f"its result has {len(old[1])} axes at the old size and {len(new[1])} at another")
        pairs = zip(old[1], new[1], strict=True)
        return tuple(_dim(o, n, axis, way, value) for axis, (o, n) in enumerate(pairs))


def _entered(value: ir.Value, free: Mapping[tuple[str, int], Free]) -> Dims | None:
    dims: list[Dim] = []
    for axis, size in enumerate(value.shape or ()):
        own = free.get((value.name or "", axis))
        if own is None and not isinstance(size, int):
            return None
        dims.append((own,) if own is not None else fixed(size if isinstance(size, int) else 0))
    return tuple(dims)


def _dim(old: int, new: int, axis: int, way: Way, value: ir.Value) -> Dim:
    if old == new:
        return fixed(old)
    inputs = [d for d in way.dims if d is not None]
    same_axis = [d[axis] for d in inputs if axis < len(d)]
    for dim in (*same_axis, *(d for ds in inputs for d in ds)):
        if (old_size(dim), new_size(dim)) == (old, new):
            return dim
    of_samples = any(f.samples for ds in inputs for d in ds for f in d if isinstance(f, Free) and new % f.new == 0)
    return (Free("", old, new, (value.name or "", axis), of_samples),)


def _guess(value: ir.Value, way: Way) -> Dims | None:
    """An operator that ONNX does not know: the shape in the file, with the free axes of its first input."""
    first = next((d for d in way.dims if d is not None), None)
    if value.shape is None or first is None or not all(isinstance(d, int) for d in value.shape):
        return None
    sizes = [d for d in value.shape if isinstance(d, int)]
    return tuple(
        first[i] if i < len(first) and is_free(first[i]) and old_size(first[i]) == size else fixed(size)
        for i, size in enumerate(sizes)
    )


def _type(old: Known | None, new: Known | None, value: ir.Value) -> int:
    known = old or new
    return known[0] if known is not None else int(value.dtype.value) if value.dtype is not None else 0


def _has_graphs(node: ir.Node) -> bool:
    import onnx_ir as ir

    return any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())


def _forbidden(node: ir.Node, why: str) -> TransformError:
    from onnx_lab._metadata import module_of

    where = f", in {module_of(node)}" if module_of(node) else ""
    return TransformError(
        f"{node.op_type} {node.name or ''}{where} forbids it: {why}",
        accepted="a graph in which every sample goes its own way",
        do="cut the graph before it (surgery.extract), or export the model with this axis dynamic",
    )
