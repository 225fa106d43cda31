"""Keys that the dynamo exporter turns by way of three axes: one Transpose, as compilers know attention.

What a chain of moves does is not read but tried, see `_layout`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.transforms._layout import Sizes, concrete, moved, numbered, two_sizes
from onnx_lab.transforms._tidy import settle

if TYPE_CHECKING:
    import onnx_ir as ir

_KEYS_LAST = [0, 1, 3, 2]
#: Elements that are numbered at most: 400 MB.
_LARGEST = 50_000_000


def straighten_keys(model: ir.Model) -> int:
    """Put one Transpose, in place, for each Reshape, Transpose, Reshape that only turns the last two of four axes."""
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    count = 0
    for last in [n for n in model.graph if n.op_type == "Reshape"]:
        chain, value = [last], last.inputs[0]
        while value is not None and len(chain) < 3 and (node := value.producer()) is not None:
            chain.insert(0, node)
            value = node.inputs[0] if node.inputs else None
        if [n.op_type for n in chain] != ["Reshape", "Transpose", "Reshape"] or value is None or value.shape is None:
            continue
        sizes = two_sizes(value.shape) if len(value.shape) == 4 else None
        if sizes is None or not all(_only_turns(chain, value.shape, s) for s in sizes):
            continue
        shape = [value.shape[i] for i in _KEYS_LAST]
        perm, before = _KEYS_LAST, value.producer()
        if before is not None and before.op_type == "Transpose" and (first := before.attributes.get_ints("perm", [])):
            value, perm = before.inputs[0], [first[i] for i in _KEYS_LAST]  # two turns in one: what patterns know
        turn = ir.node("Transpose", [value], {"perm": perm}, name=f"{last.name}.turned")
        turn.metadata_props.update(last.metadata_props)
        out = last.outputs[0]
        turn.outputs[0].dtype, turn.outputs[0].name = out.dtype or ir.DataType.FLOAT, out.name
        turn.outputs[0].shape = ir.Shape(shape)
        out.name = f"{out.name}.before"
        ir.convenience.replace_nodes_and_values(model.graph, last, [last], [turn], [out], turn.outputs)
        count += 1
    if count:
        RemoveUnusedNodesPass()(model)
        settle(model)
    return count


def _only_turns(chain: list[ir.Node], shape: ir.Shape, sizes: Sizes) -> bool:
    start = concrete(shape, sizes)
    array = numbered(start) if start is not None and math.prod(start) <= _LARGEST else None
    wanted = array.swapaxes(2, 3) if array is not None else None
    for node in chain:
        array = moved(node, array, sizes) if array is not None else None
    return array is not None and wanted is not None and array.shape == wanted.shape and np.array_equal(array, wanted)
