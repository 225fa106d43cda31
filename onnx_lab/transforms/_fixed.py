"""Named axes become numbers, in the graph itself: shapes are found again, and what was computed from them is folded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from onnx_lab.transforms._shapes import infer_symbolic_shapes

if TYPE_CHECKING:
    import onnx_ir as ir

#: Rounds of inference and folding: each may settle a shape on which the next constant depends.
_ROUNDS = 4
#: Constants up to this many elements are computed with and kept: masks of 512 by 512 tokens end here.
_LARGEST = 512 * 512


def fix_axes(model: ir.Model, sizes: Mapping[tuple[str, int], int]) -> None:
    """Give (input, axis) these sizes, in place, and settle all that follows from them.

    Parameters
    ----------
    model : onnx_ir.Model
        Edited in place.
    sizes : mapping of (str, int) to int
        Name of an input and its axis -> size.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass, ShapeInferencePass
    from onnxscript.optimizer import fold_constants
    from onnxscript.optimizer import optimize as fold

    for value in model.graph.inputs:
        if value.shape is not None:
            dims = [sizes.get((value.name or "", axis), dim) for axis, dim in enumerate(value.shape)]
            value.shape = ir.Shape(dims)
    forget_shapes(model)
    for _ in range(_ROUNDS):
        before = len(model.graph)
        ShapeInferencePass()(model)
        infer_symbolic_shapes(model)
        fold_constants(model, input_size_limit=_LARGEST, should_fold=_fills)
        fold(model, input_size_limit=_LARGEST)
        _drop_idle(model)
        RemoveUnusedNodesPass()(model)
        if len(model.graph) == before:
            break
    ShapeInferencePass()(model)
    infer_symbolic_shapes(model)


def _fills(node: ir.Node) -> bool | None:
    """Fold ConstantOfShape too, up to the size of a mask: the folder keeps it for the sake of the file's size."""
    shape = node.outputs[0].shape
    if node.op_type != "ConstantOfShape" or shape is None or not all(isinstance(d, int) for d in shape):
        return None
    return True if math.prod(d for d in shape if isinstance(d, int)) <= _LARGEST else None


def forget_shapes(model: ir.Model) -> None:
    """Drop what is written about inner tensors and outputs: names of axes in it are no longer true.

    The rank of an output stays, and the sizes that never had a name.
    """
    import onnx_ir as ir

    for node in model.graph.all_nodes():
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
    for value in model.graph.outputs:
        if value.shape is not None:
            value.shape = ir.Shape([d if isinstance(d, int) else None for d in value.shape])


def _drop_idle(model: ir.Model) -> None:
    """Expand, Reshape, Slice and Tile whose result has the shape of their input: they did something for other sizes."""
    import onnx_ir as ir

    for node in list(model.graph):
        if node.op_type not in ("Expand", "Reshape", "Slice", "Tile") or node.domain not in ("", "ai.onnx"):
            continue
        before, after = node.inputs[0], node.outputs[0]
        if before is None or before.shape is None or after.shape is None or after.is_graph_output():
            continue
        known = all(isinstance(d, int) for d in (*before.shape, *after.shape))
        if not known or list(before.shape) != list(after.shape) or (node.op_type == "Slice" and _turns(node)):
            continue
        ir.convenience.replace_all_uses_with(after, before)
        model.graph.remove(node, safe=True)


def _turns(node: ir.Node) -> bool:
    """Whether a Slice may run backwards: its result then has the same shape and another order."""
    import onnx_ir as ir

    if len(node.inputs) < 5 or node.inputs[4] is None:
        return False
    steps = ir.convenience.get_const_tensor(node.inputs[4])
    return steps is None or bool((steps.numpy() != 1).any())
