"""The last layer for the token that is read: a classifier looks at one, and the others are computed for nobody.

Keys and values are needed of all tokens; the query, the projection behind attention, both norms and the feed-forward
part only of the one. What reads one row is followed upwards through everything that computes its rows each for itself;
where somebody else wants the other rows too, one row is cut out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onnx_lab._metadata import module_of
from onnx_lab.transforms._narrow import Axes, dims, rows_needed
from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

_PRODUCTS = frozenset({"MatMul", "Gemm", "MultiHeadAttention", "Attention"})
#: Softmax and Split read their axes as they do today from here on.
_OPSET = 13
_LAST = np.iinfo(np.int64).max


class Row(NamedTuple):
    """One row of one axis."""

    axis: int
    place: int


#: The other answer to what a value is wanted for.
_ALL = Row(-1, -1)


@dataclass
class _Plan:
    """What is narrowed: nodes with the axes of their inputs, and the nodes that read one row in the end."""

    readers: dict[ir.Node, Row] = field(default_factory=dict)
    nodes: dict[ir.Node, tuple[Row, Axes]] = field(default_factory=dict)
    stops: list[ir.Node] = field(default_factory=list)  # wanted for one row, and not known to be narrowed

    @property
    def worth(self) -> int:
        """Matrix products that shrink."""
        return sum(n.op_type in _PRODUCTS for n in self.nodes)


def drop_dead_tokens(model: ir.Model) -> int:
    """Compute, in place, only the rows that are read; return how many matrix products shrink to one row."""
    plan = _plan(model)
    if not plan.worth or model.opset_imports.get("", 0) < _OPSET:
        return 0
    cuts: dict[tuple[int, Row], ir.Value] = {}
    for node, (row, axes) in plan.nodes.items():
        for i, axis in enumerate(axes):
            value = node.inputs[i]
            if axis is not None and value is not None and value.producer() not in plan.nodes:
                node.replace_input_with(i, _cut(model.graph, cuts, value, Row(axis, row.place)))
        if node.op_type == "Reshape":
            _reshape_to_one(model.graph, node, row.axis)
    for node in plan.readers:
        _read_the_first(model.graph, node)
    for node, (row, _) in plan.nodes.items():
        for out in node.outputs:
            if out.shape is not None:
                out.shape = _one_row(out.shape, row.axis)
    return plan.worth


def why_not(model: ir.Model) -> str:
    """Why nothing was narrowed, in words; empty where there are no tokens (no product over three axes)."""
    if all(len(dims(n.inputs[0]) or [1, 1, 1]) != 3 for n in model.graph if n.op_type in _PRODUCTS):
        return ""
    readers = [n for n in model.graph if _reads(n) is not None]
    if (opset := model.opset_imports.get("", 0)) < _OPSET:
        return f"opset {opset} computes Softmax and Split in another way; it takes {_OPSET} or newer"
    if not readers:
        own = [
            n for n in model.graph if n.op_type in ("GatherND", "GatherElements") and len(dims(n.inputs[0]) or []) == 3
        ]
        if own:
            return f"each row reads a token of its own ({own[0].name}), not the same one in all"
        return "no node reads one token alone: all are read (mean pooling, or one answer for each token)"
    plan = _plan(model)
    for node in readers:
        states = node.inputs[0]
        if node not in plan.readers and states is not None:
            if states.is_graph_output():
                return f"the states of all tokens are an output of the model ({states.name!r})"
            others = sorted({c.op_type for c in states.consumers() if c is not node})
            if others:
                return f"the states of all tokens are also read by {', '.join(others)}"
    stop = next((n for n in plan.stops if n.op_type not in ("Constant",)), None)
    where = f" in {module_of(stop)}" if stop is not None and module_of(stop) else ""
    return (
        f"it ends at {stop.op_type} ({stop.name}{where}), before any product" if stop is not None else "nothing to gain"
    )


def _plan(model: ir.Model) -> _Plan:
    """Backwards through the graph: for each value, which rows its consumers want."""
    plan, wanted = _Plan(), defaultdict[Any, set[Row]](set)
    for output in model.graph.outputs:
        wanted[output].add(_ALL)
    for node in model.graph.all_nodes():
        if node.graph is not model.graph:  # a branch or a loop reads from outside
            for value in node.inputs:
                wanted[value].add(_ALL)
    for node in reversed(list(model.graph)):
        row = _one(set().union(*(wanted[o] for o in node.outputs)))
        reads = _reads(node)
        axes: Axes | None = None
        if row is not None:
            axes = rows_needed(node, row.axis) if _editable(node) else None
            if axes is not None:
                plan.nodes[node] = (row, axes)
            else:
                plan.stops.append(node)
        for i, value in enumerate(node.inputs):
            if axes is not None and row is not None:
                axis = axes[i]
                wanted[value].add(Row(axis, row.place) if axis is not None else _ALL)
            else:
                wanted[value].add(reads if i == 0 and reads is not None else _ALL)
    for node in model.graph:
        source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        reads = _reads(node)
        if reads is not None and source in plan.nodes and node not in plan.nodes:
            plan.readers[node] = reads
    return plan


def _one(rows: set[Row]) -> Row | None:
    """The one row that all want, or None."""
    return next(iter(rows)) if len(rows) == 1 and _ALL not in rows else None


def _reads(node: ir.Node) -> Row | None:
    """The row that a Gather or a Slice takes out of a tensor of three axes or more."""
    if node.op_type not in ("Gather", "Slice") or node.domain not in ("", "ai.onnx"):
        return None
    shape = dims(node.inputs[0])
    if shape is None or len(shape) < 3:
        return None
    if node.op_type == "Gather":
        index = _numbers(node, 1)
        axis = node.attributes.get_int("axis", 0) % len(shape)
        return Row(axis, index[0]) if index is not None and len(index) == 1 and 0 < axis < len(shape) - 1 else None
    starts, ends, axes, steps = (_numbers(node, i) for i in (1, 2, 3, 4))
    if starts is None or ends is None or axes is None or len(axes) != 1 or (steps or [1]) != [1]:
        return None
    axis, start = axes[0] % len(shape), starts[0]
    single = ends[0] == start + 1 if start != -1 else ends[0] >= _LAST >> 1
    return Row(axis, start) if single and 0 < axis < len(shape) - 1 else None


def _numbers(node: ir.Node, index: int) -> list[int] | None:
    import onnx_ir as ir

    value = node.inputs[index] if len(node.inputs) > index else None
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return [int(n) for n in tensor.numpy().reshape(-1)] if tensor is not None else None


def _editable(node: ir.Node) -> bool:
    """Whether the shape of a Reshape can be written for one row."""
    if node.op_type != "Reshape":
        return True
    return _numbers(node, 1) is not None or _pieces(node) is not None


def _pieces(reshape: ir.Node) -> ir.Node | None:
    """The Concat of single sizes that is the shape of a Reshape."""
    concat = reshape.inputs[1].producer() if reshape.inputs[1] is not None else None
    if concat is None or concat.op_type != "Concat" or len(concat.inputs) != len(dims(reshape.outputs[0]) or []):
        return None
    return concat if all(dims(v) == [1] for v in concat.inputs) else None


def _reshape_to_one(graph: ir.Graph, node: ir.Node, axis: int) -> None:
    import onnx_ir as ir

    numbers = _numbers(node, 1)
    if numbers is not None:
        if numbers[axis] != 0:  # 0 takes over the size that the input has now
            numbers[axis] = 1
        node.replace_input_with(1, initializer(graph, f"{node.name}.one_row", np.array(numbers, np.int64)))
        return
    concat = _pieces(node)
    assert concat is not None
    one = initializer(graph, "one_row", np.array([1], np.int64))
    parts = [one if i == axis else v for i, v in enumerate(concat.inputs)]
    shape = ir.node("Concat", parts, {"axis": 0}, name=f"{node.name}.one_row")
    shape.outputs[0].name, shape.outputs[0].dtype = f"{node.name}.one_row_out", ir.DataType.INT64
    shape.outputs[0].shape = ir.Shape([len(parts)])
    graph.insert_before(node, shape)
    node.replace_input_with(1, shape.outputs[0])


def _cut(graph: ir.Graph, cuts: dict[tuple[int, Row], ir.Value], value: ir.Value, row: Row) -> ir.Value:
    """One row of `value`, its axis kept."""
    import onnx_ir as ir

    if (id(value), row) in cuts:
        return cuts[id(value), row]
    index = initializer(graph, f"row.{row.place}", np.array([row.place], np.int64))
    node = ir.node("Gather", [value, index], {"axis": row.axis}, name=f"{value.name}.row{row.place}")
    out = node.outputs[0]
    out.name, out.dtype = f"{value.name}.row{row.place}_{row.axis}", value.dtype or ir.DataType.FLOAT
    out.shape = _one_row(value.shape, row.axis) if value.shape is not None else None
    maker = value.producer()
    if maker is None:
        graph.insert_before(graph[0], node)
    else:
        node.metadata_props.update(maker.metadata_props)
        graph.insert_after(maker, node)
    cuts[id(value), row] = out
    return out


def _read_the_first(graph: ir.Graph, node: ir.Node) -> None:
    """What read one of many rows reads the only one."""
    index = _numbers(node, 1)
    if index == [0]:
        return
    assert node.inputs[1] is not None
    shape = dims(node.inputs[1]) or []
    node.replace_input_with(1, initializer(graph, f"{node.name}.first", np.zeros([int(d) for d in shape], np.int64)))
    if node.op_type == "Slice":
        node.replace_input_with(2, initializer(graph, f"{node.name}.end", np.ones([1], np.int64)))


def _one_row(shape: ir.Shape, axis: int) -> ir.Shape:
    import onnx_ir as ir

    return ir.Shape([1 if i == axis else d for i, d in enumerate(shape)])
