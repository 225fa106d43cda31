"""What must change at a node so that a size can be free, and how it is put into the graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx_ir as ir

#: A size in a vector of sizes: a number, or a tensor's axis.
Size = int | tuple[str, int]
#: "sizes": a vector of sizes. "row": one row of a constant whose rows are equal. "repeat": one row, as often as wanted.
#: "tile": the rows of one sample, as often as there are samples. "count": rows that grow by `step` each.
Kind = Literal["sizes", "row", "repeat", "tile", "count"]

#: Elements of a constant that is written out and not expanded when it runs.
_SMALL = 4096
_WORDS = {
    "sizes": "sizes read from the input",
    "row": "constants whose rows are equal, cut to one row",
    "repeat": "tensors repeated for each sample",
    "tile": "constants whose rows come again for each sample",
    "count": "constants that count samples, counted anew",
}


@dataclass(frozen=True)
class Mend:
    """One input of one node that is given another tensor.

    Attributes
    ----------
    node, index : ir.Node, int
        Which input.
    kind : str
    sizes : sequence of Size
        For "sizes" the vector; for "repeat" the shape to repeat to (1 leaves an axis as it is); for "tile" how often
        along each axis; for "count" the length.
    axis : int
        Of all others.
    base, step : ndarray, optional
        The row or rows, and what is added from each to the next.
    """

    node: ir.Node
    index: int
    kind: Kind
    sizes: Sequence[Size] = ()
    axis: int = 0
    base: npt.NDArray[Any] | None = field(default=None, compare=False)
    step: npt.NDArray[Any] | None = field(default=None, compare=False)

    def told(self) -> dict[str, Any]:
        """As JSON, for the lineage and the plain code; a node is known by what it makes, many have no name."""
        given: dict[str, Any] = {"makes": self.node.outputs[0].name, "input": self.index, "kind": self.kind}
        given["sizes"] = [list(s) if isinstance(s, tuple) else s for s in self.sizes]
        given["axis"] = self.axis
        if self.base is not None:
            given["rows"] = self.base.shape[self.axis]
        if self.step is not None:
            given["step"] = self.step.tolist()
        return given


def sentence(mends: Sequence[Mend]) -> str:
    """What was changed, counted."""
    if not mends:
        return "no node had to change"
    targets = Counter(
        m.node.op_type for m in mends if m.kind == "sizes" and not any(isinstance(s, tuple) for s in m.sizes)
    )
    rest = Counter(_WORDS[m.kind] for m in mends if m.kind != "sizes" or any(isinstance(s, tuple) for s in m.sizes))
    parts = [f"{n} {op} {'constant' if n == 1 else 'constants'}" for op, n in targets.items()]
    return "rewritten: " + ", ".join([*parts, *(f"{n} {what}" for what, n in rest.items())])


class Mender:
    """Puts mends into a graph, in place; equal vectors and sizes are made once."""

    def __init__(self, model: ir.Model) -> None:
        self._graph, self._made = model.graph, 0
        self._opset = model.opset_imports.get("", 0)
        self._sizes: dict[tuple[str, int], ir.Value] = {}
        self._constants: dict[tuple[Any, ...], ir.Value] = {}
        values = [*model.graph.inputs, *model.graph.initializers.values()]
        self._values = {v.name: v for v in values} | {v.name: v for n in model.graph for v in n.outputs}

    def mend(self, m: Mend) -> None:
        """Give the node its new input."""
        value = m.node.inputs[m.index]
        makes = {
            "sizes": self._vector,
            "row": self._row,
            "repeat": self._repeat,
            "tile": self._tile,
            "count": self._count,
        }
        made = makes[m.kind](m, value)
        m.node.replace_input_with(m.index, made)

    def filled(self, number: npt.NDArray[Any], sizes: Sequence[Size]) -> ir.Value:
        """A tensor of these sizes that holds one number: a constant where all sizes are numbers and it is small."""
        known = [s for s in sizes if isinstance(s, int)]
        if len(known) == len(sizes) and math.prod(known) <= _SMALL:
            return self._constant("surgery.filled", np.full(known, number))
        scalar = self._constant("surgery.value", number)
        first = self._graph[0]
        return self._node(first, "Expand", [scalar, self._joined(first, sizes)])

    def _vector(self, m: Mend, _: ir.Value | None) -> ir.Value:
        return self._joined(m.node, m.sizes)

    def _row(self, m: Mend, value: ir.Value | None) -> ir.Value:
        assert m.base is not None
        assert value is not None
        return self._constant(f"{value.name}.row", m.base)

    def _repeat(self, m: Mend, value: ir.Value | None) -> ir.Value:
        source = self._row(m, value) if m.base is not None else value
        return self._node(m.node, "Expand", [source, self._joined(m.node, m.sizes)])

    def _tile(self, m: Mend, value: ir.Value | None) -> ir.Value:
        return self._node(m.node, "Tile", [self._row(m, value), self._joined(m.node, m.sizes)])

    def _count(self, m: Mend, value: ir.Value | None) -> ir.Value:
        """``base + arange(size) * step``; the base is what the input was, where it is no constant."""
        assert m.step is not None
        assert value is not None
        base = self._row(m, value) if m.base is not None else value
        length = self._node(m.node, "Squeeze", [self._size(m.node, m.sizes[0])])
        one = [self._constant("surgery.i", np.array(i, np.int64)) for i in (0, 1)]
        count = self._node(m.node, "Range", [one[0], length, one[1]])
        shape = [1] * m.step.ndim
        shape[m.axis] = -1
        count = self._node(m.node, "Reshape", [count, self._constant("surgery.shape", np.array(shape, np.int64))])
        if m.step.dtype != np.int64:
            count = self._node(m.node, "CastLike", [count, base])
        grown = self._node(m.node, "Mul", [count, self._constant("surgery.step", m.step)])
        return self._node(m.node, "Add", [base, grown])

    def _joined(self, before: ir.Node, sizes: Sequence[Size]) -> ir.Value:
        """A vector of sizes: a constant where all are numbers."""
        if all(isinstance(s, int) for s in sizes):
            return self._constant("surgery.sizes", np.array(sizes, np.int64))
        pieces: list[ir.Value] = []
        run: list[int] = []
        for s in (*sizes, None):
            if isinstance(s, int):
                run.append(s)
                continue
            if run:
                pieces.append(self._constant("surgery.sizes", np.array(run, np.int64)))
                run = []
            if s is not None:
                pieces.append(self._size(before, s))
        return pieces[0] if len(pieces) == 1 else self._node(before, "Concat", pieces, {"axis": 0})

    def _size(self, before: ir.Node, size: Size) -> ir.Value:
        if isinstance(size, int):
            return self._constant("surgery.sizes", np.array([size], np.int64))
        if size not in self._sizes:
            source, axis = self._values[size[0]], size[1]
            made = source.producer()
            anchor = before if made is not None else self._graph[0]
            if self._opset >= 15:
                found = self._node(anchor, "Shape", [source], {"start": axis, "end": axis + 1})
            else:
                shape = self._node(anchor, "Shape", [source])
                found = self._node(
                    anchor, "Gather", [shape, self._constant("surgery.axis", np.array([axis], np.int64))]
                )
            self._sizes[size] = found
        return self._sizes[size]

    def _constant(self, name: str, array: npt.NDArray[Any]) -> ir.Value:
        import onnx_ir as ir

        key = (name, array.dtype.str, array.shape, array.tobytes() if array.size < 64 else id(array))
        if key not in self._constants:
            self._made += 1
            value = ir.Value(name=f"{name}.{self._made}", const_value=ir.tensor(array.copy(order="C")))
            value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
            self._graph.register_initializer(value)
            self._constants[key] = value
        return self._constants[key]

    def _node(
        self, before: ir.Node, op: str, inputs: Sequence[Any], attributes: dict[str, Any] | None = None
    ) -> ir.Value:
        """A new node in front of another; the whole is sorted afterwards."""
        import onnx_ir as ir

        self._made += 1
        node = ir.node(op, inputs, attributes or {}, name=f"surgery.{op.lower()}.{self._made}")
        node.outputs[0].name = f"{node.name}_out"
        node.metadata_props.update(before.metadata_props)
        self._graph.insert_before(before, node)
        return node.outputs[0]
