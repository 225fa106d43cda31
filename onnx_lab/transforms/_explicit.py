"""What ONNX leaves to defaults and the fusions' patterns want to see written: the last axis as -1, keepdims as 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir


def write_defaults(model: ir.Model) -> None:
    """Say of each mean and each layer normalization what it does anyway, in place."""
    import onnx_ir as ir

    for node in model.graph:
        if node.op_type == "ReduceMean":
            if "keepdims" not in node.attributes:
                node.attributes.add(ir.AttrInt64("keepdims", 1))
            _last_axis_of_mean(model.graph, node)
        elif node.op_type == "LayerNormalization" and node.attributes.get_int("axis", -1) in (-1, _rank(node) - 1):
            node.attributes.add(ir.AttrInt64("axis", -1))


def _last_axis_of_mean(graph: ir.Graph, node: ir.Node) -> None:
    import onnx_ir as ir

    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = ir.convenience.get_const_tensor(given) if given is not None else None
    if axes is not None and axes.size == 1 and int(axes.numpy().reshape(-1)[0]) == _rank(node) - 1 > 0:
        node.replace_input_with(1, initializer(graph, f"{node.name}.last_axis", np.array([-1], np.int64)))


def _rank(node: ir.Node) -> int:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return len(shape) if shape is not None else 0
