"""The plain code of a step that made an axis dynamic: the mends that were found, and how they are put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any


def dynamic_code(axes: Sequence[Sequence[Any]], mends: Sequence[Mapping[str, Any]], last: str) -> str:
    """Code that makes `axes` dynamic with these `mends`; `last` is what is done at its end.

    Examples
    --------
    >>> print(dynamic_code([["x", 0, "batch"]], [], "ir.save(model, 'out.onnx')").splitlines()[-1])
    ir.save(model, 'out.onnx')
    """
    rows = [
        (m["makes"], m["input"], m["kind"], _sizes(m["sizes"]), m["axis"], m.get("rows", 0), m.get("step"))
        for m in mends
    ]
    listed = "\n".join(f"    {row!r}," for row in rows)
    named = {(name, axis): word for name, axis, word in axes}
    return Template(_CODE).substitute(axes=repr(named), mends=f"\n{listed}\n" if rows else "", last=last)


def _sizes(sizes: Sequence[Any]) -> list[Any]:
    return [tuple(s) if isinstance(s, (list, tuple)) else s for s in sizes]


_CODE = """import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, ShapeInferencePass

model = ir.load("model.onnx")
graph = model.graph
graph.sort()
NameFixPass()(model)
axes = $axes
# what a node makes, which of its inputs, what becomes of it, sizes (numbers, or a tensor and its axis),
# its axis, how many rows of it are kept, what each row adds to the one before
mends = [$mends]
nodes = {node.outputs[0].name: node for node in graph}
values = {v.name: v for v in (*graph.inputs, *(v for node in graph for v in node.outputs))}


def constant(numbers):
    array = np.array(numbers, np.int64)
    value = ir.Value(name=f"new.{len(graph.initializers)}", const_value=ir.tensor(array))
    graph.register_initializer(value)
    return value


def put(before, op, *inputs, **attributes):
    node = ir.node(op, [i if isinstance(i, ir.Value) else constant(i) for i in inputs], attributes)
    graph.insert_before(before, node)
    return node.outputs[0]


def vector(before, sizes):
    if all(isinstance(s, int) for s in sizes):
        return constant(sizes)
    parts = [[s] if isinstance(s, int) else put(before, "Gather", put(before, "Shape", values[s[0]]), [s[1]])
             for s in sizes]
    return put(before, "Concat", *parts, axis=0)


for name, index, kind, sizes, axis, rows, step in mends:
    node = nodes[name]
    value = node.inputs[index]
    if rows:
        value = put(node, "Slice", value, [0], [rows], [axis])
    if kind == "sizes":
        value = vector(node, sizes)
    elif kind in ("repeat", "tile"):
        value = put(node, {"repeat": "Expand", "tile": "Tile"}[kind], value, vector(node, sizes))
    elif kind == "count":
        shape = [-1 if a == axis else 1 for a in range(np.ndim(step))]
        length = put(node, "Squeeze", vector(node, sizes), [0])
        count = put(node, "Reshape", put(node, "Range", 0, length, 1), shape)
        value = put(node, "Add", value, put(node, "CastLike", put(node, "Mul", count, step), value))
    node.replace_input_with(index, value)

for value in graph.inputs:
    value.shape = ir.Shape([axes.get((value.name, axis), dim) for axis, dim in enumerate(value.shape)])
for node in graph:
    for value in node.outputs:  # what is written about them holds the old sizes
        value.shape = None
NameFixPass()(model)
ShapeInferencePass()(model)
$last"""
