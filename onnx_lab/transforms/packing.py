"""One product for Q, K and V in place of three.

The three projections read the same tensor: together they are one larger matrix product, quantized once, started once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

    _Projection = tuple[ir.Value, ir.TensorProtocol, ir.TensorProtocol | None]


def pack_qkv(model: ir.Model, form: str) -> int:
    """One product for Q, K and V in front of each MultiHeadAttention whose three projections read the same tensor.

    Where the queries read another one, one product for K and V.

    Parameters
    ----------
    model : onnx_ir.Model
        Edited in place.
    form : str
        ``"mha"`` keeps MultiHeadAttention behind a Split; ``"attention"`` makes the node an ``Attention``.

    Returns
    -------
    int
        How many were packed.
    """
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    packed = 0
    for node in [n for n in model.graph if n.op_type == "MultiHeadAttention"]:
        parts = [_projection(v) for v in node.inputs[:3]]
        query, key, value = parts
        if key is None or value is None or key[0] is not value[0]:
            continue
        if query is not None and query[0] is key[0]:
            _, weights, biases = zip(query, key, value, strict=True)
            packed += _pack(model.graph, node, key[0], weights, biases, form)
        else:  # queries of other tokens: one product for keys and values
            packed += _pack_keys_and_values(model.graph, node, key, value)
    RemoveUnusedNodesPass()(model)
    return packed


def _pack(graph: ir.Graph, node: ir.Node, source: Any, weights: Any, biases: Any, form: str) -> bool:
    import numpy as np

    arrays = [w.numpy() for w in weights]
    if len({a.shape[0] for a in arrays}) != 1 or len({a.dtype for a in arrays}) != 1:
        return False
    sizes = [a.shape[1] for a in arrays]
    bias = node.inputs[3] if len(node.inputs) > 3 else None
    if any(b is not None for b in biases):
        if bias is not None:
            return False
        pieces = [np.zeros(n, arrays[0].dtype) if b is None else b.numpy() for b, n in zip(biases, sizes, strict=True)]
        bias = initializer(graph, f"{node.name}.qkv.bias", np.concatenate(pieces))
    weight = initializer(graph, f"{node.name}.qkv.weight", np.concatenate(arrays, axis=1))
    if form == "attention" and len(set(sizes)) == 1:
        if bias is None:  # the schema lets it be absent, and the CPU kernel crashes without it
            bias = initializer(graph, f"{node.name}.qkv.bias", np.zeros(sum(sizes), arrays[0].dtype))
        _to_attention(node, source, weight, bias)
        return True
    for i, part in enumerate(_product_and_split(graph, node, source, weight, sizes, "qkv")):
        node.replace_input_with(i, part)
    _set_bias(node, bias)
    return True


def _pack_keys_and_values(graph: ir.Graph, node: ir.Node, key: _Projection, value: _Projection) -> bool:
    import numpy as np

    arrays = [key[1].numpy(), value[1].numpy()]
    query = node.inputs[0]
    if arrays[0].shape[0] != arrays[1].shape[0] or arrays[0].dtype != arrays[1].dtype or query is None:
        return False
    sizes = [a.shape[1] for a in arrays]
    if key[2] is not None or value[2] is not None:
        if len(node.inputs) > 3 and node.inputs[3] is not None:
            return False
        # the node adds one bias to all three; that of the queries, as wide as the keys, stays where it is
        pieces = [np.zeros(sizes[0], arrays[0].dtype)]
        pieces += [
            np.zeros(n, arrays[0].dtype) if p[2] is None else p[2].numpy()
            for p, n in zip((key, value), sizes, strict=True)
        ]
        _set_bias(node, initializer(graph, f"{node.name}.kv.bias", np.concatenate(pieces)))
    weight = initializer(graph, f"{node.name}.kv.weight", np.concatenate(arrays, axis=1))
    for i, part in enumerate(_product_and_split(graph, node, key[0], weight, sizes, "kv")):
        node.replace_input_with(i + 1, part)
    return True


def _product_and_split(
    graph: ir.Graph, node: ir.Node, source: ir.Value, weight: ir.Value, sizes: list[int], letters: str
) -> Sequence[ir.Value]:
    """``source @ weight`` in front of `node`, cut into parts of these sizes."""
    import numpy as np
    import onnx_ir as ir

    product = ir.node("MatMul", [source, weight], name=f"{node.name}.{letters}")
    lengths = initializer(graph, f"{node.name}.{letters}.sizes", np.array(sizes, np.int64))
    split = ir.node(
        "Split", [product.outputs[0], lengths], {"axis": 2}, num_outputs=len(sizes), name=f"{node.name}.split"
    )
    product.outputs[0].name, product.outputs[0].dtype = f"{node.name}.{letters}_out", source.dtype or ir.DataType.FLOAT
    for new in (product, split):
        new.metadata_props.update(node.metadata_props)
    for part, letter in zip(split.outputs, letters, strict=True):
        part.name, part.dtype = f"{node.name}.{letter}", source.dtype or ir.DataType.FLOAT
    graph.insert_before(node, [product, split])
    return split.outputs


def _set_bias(node: ir.Node, bias: ir.Value | None) -> None:
    if bias is not None:
        node.resize_inputs(max(4, len(node.inputs)))
        node.replace_input_with(3, bias)


def _to_attention(node: ir.Node, source: ir.Value, weight: ir.Value, bias: ir.Value | None) -> None:
    """``MultiHeadAttention(q, k, v, bias, padding, mask)`` into ``Attention(x, W, bias, , , mask)``, in place."""
    mask = node.inputs[5] if len(node.inputs) > 5 else None
    node.op_type = "Attention"
    inputs = [source, weight, bias, None, None, mask]
    node.resize_inputs(len(inputs))
    for i, v in enumerate(inputs):
        node.replace_input_with(i, v)


def _projection(value: ir.Value | None) -> _Projection | None:
    """``x @ W`` or ``x @ W + b`` with constant W and b, as (x, W, b); None for anything else."""
    import onnx_ir as ir

    bias = None
    node = value.producer() if value is not None else None
    if node is not None and node.op_type == "Add":
        sides = list(node.inputs)
        constants = [ir.convenience.get_const_tensor(v) if v is not None else None for v in sides]
        if (constants[0] is None) == (constants[1] is None):
            return None
        which = 0 if constants[0] is not None else 1
        bias, inner = constants[which], sides[1 - which]
        node = inner.producer() if inner is not None else None
    if node is None or node.op_type != "MatMul" or node.inputs[0] is None or node.inputs[1] is None:
        return None
    weight = ir.convenience.get_const_tensor(node.inputs[1])
    if weight is None or len(weight.shape) != 2 or (bias is not None and tuple(bias.shape) != (weight.shape[1],)):
        return None
    return node.inputs[0], weight, bias
