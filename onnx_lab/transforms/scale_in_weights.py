"""Attention's 1/sqrt(head size) in the weights of the query: nothing is left to multiply at each run.

Where the head size is a power of 4 (16, 64) the factor is a power of two and the answers are the same to the bit;
elsewhere each weight is rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onnx_lab._blocks import is_attention_softmax, scores_of
from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

_MOVES = frozenset({"Reshape", "Transpose", "Identity"})
#: A product of two roots, as exporters write it, is taken for the factor itself within this.
_CLOSE = 1e-5


class _Projection(NamedTuple):
    """``x @ weight + bias``: the input of the MatMul, and of the Add where there is one."""

    product: ir.Node
    add: ir.Node | None


class _Scale(NamedTuple):
    """A node that multiplies by one number, the number, and what it multiplies."""

    node: ir.Node
    factor: float
    value: ir.Value


def fold_scales(model: ir.Model) -> int:
    """Fold, in place, the scale of each open block and of each MultiHeadAttention; return of how many."""
    count = 0
    for node in list(model.graph):
        if is_attention_softmax(node):
            count += _fold_open(model.graph, node)
        elif node.op_type == "MultiHeadAttention" and node.domain == "com.microsoft":
            count += _fold_fused(model.graph, node)
    return count


def why_not(model: ir.Model) -> str:
    """Why no scale was folded; "" without attention."""
    blocks = [n for n in model.graph if is_attention_softmax(n) or n.op_type in ("MultiHeadAttention", "Attention")]
    if not blocks:
        return ""
    if any(n.op_type == "Attention" for n in blocks):
        return "ONNX's own Attention multiplies inside"
    return "no block has a scale in front of a query that is a plain product with constant weights and used only there"


def _fold_open(graph: ir.Graph, softmax: ir.Node) -> bool:
    import onnx_ir as ir

    product = scores_of(softmax)
    if product is None or product.op_type != "MatMul" or product.inputs[0] is None:
        return False
    behind = list(product.outputs[0].consumers())
    found = [_scale(v.producer() if v is not None else None) for v in product.inputs]
    after = _scale(behind[0]) if len(behind) == 1 and len(product.outputs[0].uses()) == 1 else None
    if after is not None and (after.value is not product.outputs[0] or after.node.outputs[0].is_graph_output()):
        after = None
    scales = [s for s in (*found, after) if s is not None]
    query = found[0].value if found[0] is not None else product.inputs[0]
    projection = _projection(query)
    if not scales or projection is None:
        return False
    factor = float(np.prod([s.factor for s in scales]))
    size = query.shape[-1] if query.shape is not None else None
    if isinstance(size, int) and abs(factor * size**0.5 - 1) < _CLOSE:
        factor = size**-0.5
    _multiply(graph, projection, factor)
    for i, scale in enumerate(found):
        if scale is not None:
            product.replace_input_with(i, scale.value)
    if after is not None:
        ir.convenience.replace_all_uses_with(after.node.outputs[0], product.outputs[0])
    for scale in scales:
        if not scale.node.outputs[0].uses():
            graph.remove(scale.node, safe=True)
    return True


def _fold_fused(graph: ir.Graph, node: ir.Node) -> bool:
    import onnx_ir as ir

    query = node.inputs[0]
    if query is None or (len(node.inputs) > 3 and node.inputs[3] is not None):  # its own bias is added before the scale
        return False
    heads, width = node.attributes.get_int("num_heads"), query.shape[-1] if query.shape is not None else None
    if heads is None or not isinstance(width, int):
        return False
    factor = float(node.attributes.get_float("scale", 0.0)) or (width // heads) ** -0.5
    projection = _projection(query) if factor != 1.0 else None
    if projection is None:
        return False
    _multiply(graph, projection, factor)
    node.attributes["scale"] = ir.AttrFloat32("scale", 1.0)
    return True


def _scale(node: ir.Node | None) -> _Scale | None:
    """`node` as a product with one positive number, if it is one that nobody else reads."""
    if node is None or node.op_type not in ("Mul", "Div") or node.inputs[0] is None or len(node.outputs[0].uses()) > 1:
        return None
    number = _array(node.inputs[1])
    if number is None or number.size != 1 or not number.item() > 0:
        return None
    return _Scale(node, 1 / number.item() if node.op_type == "Div" else number.item(), node.inputs[0])


def _projection(value: ir.Value) -> _Projection | None:
    """Back through moves that nobody else reads, to a product with constant weights."""
    add = None
    while len(value.uses()) == 1 and not value.is_graph_output() and (node := value.producer()) is not None:
        weights = _array(node.inputs[1]) if len(node.inputs) > 1 else None
        if node.op_type == "MatMul":
            return _Projection(node, add) if weights is not None and weights.ndim == 2 else None
        if node.op_type == "Add" and add is None and weights is not None and weights.ndim == 1:
            add = node
        elif node.op_type not in _MOVES:
            return None
        if node.inputs[0] is None:
            return None
        value = node.inputs[0]
    return None


def _multiply(graph: ir.Graph, projection: _Projection, factor: float) -> None:
    for node in projection:
        if node is not None and node.inputs[1] is not None:
            array = _array(node.inputs[1])
            scaled = (array.astype(np.float64) * factor).astype(array.dtype)
            node.replace_input_with(1, initializer(graph, f"{node.inputs[1].name}.scaled", scaled))


def _array(value: ir.Value | None) -> Any:
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tensor.numpy() if tensor is not None else None
