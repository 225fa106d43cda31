"""The patch embedding of a vision transformer as a matrix product: a Conv whose kernel is its stride is one.

Reshape, Transpose and MatMul compute the same sums; as a product it is quantized with the others, and bf16 and int8
kernels for products are the better ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab.transforms._layout import concrete, moved, numbered, two_sizes
from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir


def patches_as_matmul(model: ir.Model) -> int:
    """Rewrite, in place, each Conv over patches that do not overlap and that becomes tokens; return how many."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    count = 0
    for conv in [n for n in model.graph if n.op_type == "Conv" and n.domain in ("", "ai.onnx")]:
        if not _refusal(conv) and (tokens := _tokens(conv)) is not None:
            _write(model.graph, conv, tokens)
            count += 1
    if count:
        RemoveUnusedNodesPass()(model)
    return count


def why_not(model: ir.Model) -> str:
    """Why no Conv was rewritten; "" without a Conv whose kernel is its stride."""
    for conv in [n for n in model.graph if n.op_type == "Conv"]:
        kernel = conv.attributes.get_ints("kernel_shape", [])
        if kernel and max(kernel) > 1 and list(kernel) == list(conv.attributes.get_ints("strides", [])):
            return _refusal(conv) or f"the result of {conv.name} does not become tokens [batch, patches, channels]"
    return ""


def _refusal(conv: ir.Node) -> str:
    weight, bias = (_array(v) for v in [*conv.inputs[1:3], None][:2])
    if weight is None or weight.ndim != 4 or (len(conv.inputs) > 2 and conv.inputs[2] is not None and bias is None):
        return f"the weights of {conv.name} are not constants over two axes"
    kernel, plain = list(weight.shape[2:]), conv.attributes
    if list(plain.get_ints("strides", [1, 1])) != kernel or any(plain.get_ints("pads", [0])):
        return f"the patches of {conv.name} overlap or are padded"
    if int(plain.get_int("group", 1)) != 1 or any(d != 1 for d in plain.get_ints("dilations", [1])):
        return f"{conv.name} is grouped or dilated"
    if plain.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return f"{conv.name} pads by itself"
    shape = conv.inputs[0].shape if conv.inputs[0] is not None else None
    if shape is None or len(shape) != 4 or any(not isinstance(d, int) for d in list(shape)[1:]):
        return f"the size of the pictures of {conv.name} is not fixed: fix_shapes first"
    sides = [d for d in list(shape)[2:] if isinstance(d, int)]
    if any(side % k for side, k in zip(sides, kernel, strict=True)):
        return f"the pictures of {conv.name} are no whole number of patches"
    return ""


def _tokens(conv: ir.Node) -> ir.Value | None:
    """The value behind `conv` that is its result as ``[batch, patches, channels]``, found by trying."""
    value, out = conv.outputs[0], conv.outputs[0].shape
    sizes = two_sizes(out) if out is not None else None
    if out is None or sizes is None:
        return None
    starts = [numbered(d) for s in sizes if (d := concrete(out, s)) is not None]
    arrays: list[Any] = list(starts)
    wanted = [a.reshape(*a.shape[:2], -1).transpose(0, 2, 1) for a in starts]
    while any(a.shape != w.shape or not np.array_equal(a, w) for a, w in zip(arrays, wanted, strict=True)):
        if len(value.uses()) != 1 or value.is_graph_output():
            return None
        node = next(iter(value.consumers()))
        if node.inputs[0] is not value:
            return None
        arrays = [moved(node, a, s) for a, s in zip(arrays, sizes, strict=True)]
        if any(a is None for a in arrays):
            return None
        value = node.outputs[0]
    return value


def _write(graph: ir.Graph, conv: ir.Node, tokens: ir.Value) -> None:
    import onnx_ir as ir

    pixels, weight, bias = conv.inputs[0], _array(conv.inputs[1]), _array([*conv.inputs, None][2])
    assert pixels is not None
    assert pixels.shape is not None
    batch, channels, height, width = pixels.shape
    assert isinstance(channels, int)
    assert isinstance(height, int)
    assert isinstance(width, int)
    features, _, tall, wide = weight.shape
    rows, columns = height // tall, width // wide
    inner = channels * tall * wide
    dtype = pixels.dtype or ir.DataType.FLOAT

    def add(op: str, inputs: list[ir.Value], name: str, shape: list[Any], **attributes: Any) -> ir.Value:
        node = ir.node(op, inputs, attributes, name=f"{conv.name}.{name}")
        node.metadata_props.update(conv.metadata_props)
        node.outputs[0].name, node.outputs[0].dtype = f"{conv.name}.{name}_out", dtype
        node.outputs[0].shape = ir.Shape(shape)
        graph.insert_before(conv, node)
        return node.outputs[0]

    cut = initializer(graph, f"{conv.name}.cut.shape", np.array([0, channels, rows, tall, columns, wide], np.int64))
    flat = initializer(graph, f"{conv.name}.flat.shape", np.array([0, rows * columns, inner], np.int64))
    out = add("Reshape", [pixels, cut], "cut", [batch, channels, rows, tall, columns, wide])
    out = add("Transpose", [out], "patches", [batch, rows, columns, channels, tall, wide], perm=[0, 2, 4, 1, 3, 5])
    out = add("Reshape", [out, flat], "flat", [batch, rows * columns, inner])
    table = initializer(graph, f"{conv.name}.weight", np.ascontiguousarray(weight.reshape(features, inner).T))
    out = add("MatMul", [out, table], "product", [batch, rows * columns, features])
    if bias is not None:
        out = add("Add", [out, initializer(graph, f"{conv.name}.bias", bias)], "biased", list(out.shape or ()))
    ir.convenience.replace_all_uses_with(tokens, out, replace_graph_outputs=True)


def _array(value: ir.Value | None) -> Any:
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tensor.numpy() if tensor is not None else None
