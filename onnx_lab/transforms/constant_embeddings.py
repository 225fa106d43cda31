"""Embeddings that are the same in every run, looked up and summed now: positions, and token types nobody feeds.

It takes a fixed length: `fix_shapes` first. The sum is made in another order, so the last digit may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

#: Elements of a constant made here: 4096 positions of 1024.
_LARGEST = 1 << 22


def fold_embeddings(model: ir.Model) -> int:
    """Fold, in place, look-ups of constant rows and the sums of such constants; return how many nodes went."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    before = len(model.graph)
    for node in list(model.graph):
        _look_up(model.graph, node)
    for node in [n for n in model.graph if n.op_type == "Add"]:
        _together(model.graph, node)
    RemoveUnusedNodesPass()(model)
    return before - len(model.graph)


def why_not(model: ir.Model) -> str:
    """Why no look-up was constant; "" without a look-up in a table."""
    tables = [n for n in model.graph if _table(n) is not None]
    fed = {v.name for v in model.graph.inputs}
    ids = [n for n in tables if n.inputs[1] is not None and n.inputs[1].name in fed]
    if len(tables) > len(ids):
        return "positions or token types depend on the length of the texts: fix_shapes first"
    return ""


def _table(node: ir.Node) -> Any:
    """The table that a Gather takes rows from."""
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
        return None
    table = _array(node.inputs[0])
    return table if table is not None and table.ndim == 2 and table.dtype.kind == "f" else None


def _look_up(graph: ir.Graph, node: ir.Node) -> None:
    """The rows as a constant, in place of the Gather."""
    import onnx_ir as ir

    table, rows = _table(node), _array(node.inputs[1]) if node.op_type == "Gather" else None
    if table is None or rows is None or rows.size * table.shape[1] > _LARGEST:
        return
    value = initializer(graph, f"{node.name}.rows", table[rows])
    ir.convenience.replace_all_uses_with(node.outputs[0], value)
    graph.remove(node, safe=True)


def _together(graph: ir.Graph, outer: ir.Node) -> None:
    """``(x + a) + b`` becomes ``x + (a + b)``, and ``a + b`` one constant, where both are rows: no mere biases."""
    import onnx_ir as ir

    a, b = outer.inputs
    if a is None or b is None:
        return
    one, two = _array(a), _array(b)
    if one is not None and two is not None:
        if one.ndim > 1 and two.ndim > 1 and one.dtype.kind == "f":
            value = initializer(graph, f"{outer.name}.sum", one + two)
            ir.convenience.replace_all_uses_with(outer.outputs[0], value)
            graph.remove(outer, safe=True)
        return
    if one is None and two is None:
        return
    constant, other = (a, b) if one is not None else (b, a)
    inner = other.producer()
    if inner is None or inner.op_type != "Add" or len(other.uses()) != 1 or other.is_graph_output():
        return
    sides = [(x, y) for x, y in (tuple(inner.inputs), tuple(inner.inputs)[::-1]) if _array(y) is not None]
    if not sides or sides[0][0] is None or sides[0][1] is None:
        return
    x, first = sides[0]
    rows, more = _array(first), _array(constant)
    if rows.ndim < 2 or more.ndim < 2 or rows.dtype.kind != "f" or np.broadcast(rows, more).size > _LARGEST:
        return
    both = initializer(graph, f"{outer.name}.sum", rows + more)
    outer.replace_input_with(0, x)
    outer.replace_input_with(1, both)


def _array(value: ir.Value | None) -> Any:
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tensor.numpy() if tensor is not None else None
