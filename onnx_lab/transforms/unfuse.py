"""Fused nodes that cannot be quantized as they are, written out so that they can.

The quantizer turns ``Attention`` into ``QAttention`` and would drop the additive mask on the way (the quantized
operator has no place for it); with a ``qkv_hidden_sizes`` attribute it leaves the weights float. Behind one product
and a Split, ``MultiHeadAttention`` computes the same, keeps its mask, and the product can be quantized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

_WEIGHT_GLUE = frozenset("Concat Transpose Reshape Identity Unsqueeze Squeeze Slice Cast".split())


def fold_weights(model: ir.Model) -> None:
    """Compute, in place, what only rearranges weights: a quantizer looks for initializers."""
    from onnxscript.optimizer import fold_constants

    no_limit = 1 << 40
    fold_constants(
        model,
        input_size_limit=no_limit,
        output_size_limit=no_limit,
        should_fold=lambda node: True if node.op_type in _WEIGHT_GLUE else False,  # noqa: SIM210  (None means default)
    )


def split_attention(model: ir.Model) -> int:
    """Write out, in place, the Attention nodes that carry an additive mask; return how many."""
    count = 0
    for node in [n for n in model.graph if n.op_type == "Attention" and n.domain == "com.microsoft"]:
        sizes = node.attributes.get_ints("qkv_hidden_sizes", None)
        if sizes is not None and len(set(sizes)) == 1:
            node.attributes.pop("qkv_hidden_sizes")
        if _plain_with_mask(node):
            _split(model.graph, node)
            count += 1
    return count


def _plain_with_mask(node: ir.Node) -> bool:
    """Inputs: x, weight, bias, mask index, past, additive mask, past length. A mask index or a past is left alone."""
    given = [v is not None for v in node.inputs] + [False] * 7
    return given[5] and given[1] and not given[3] and not given[4] and not given[6] and len(node.outputs) == 1


def _split(graph: ir.Graph, node: ir.Node) -> None:
    import numpy as np
    import onnx_ir as ir

    source, weight, bias, mask = (node.inputs[i] for i in (0, 1, 2, 5))
    assert source is not None
    assert weight is not None
    tensor = ir.convenience.get_const_tensor(weight)
    if tensor is None:
        return
    sizes = node.attributes.get_ints("qkv_hidden_sizes", [tensor.shape.numpy()[1] // 3] * 3)
    lengths = initializer(graph, f"{node.name}.qkv.sizes", np.array(sizes, np.int64))
    product = ir.node("MatMul", [source, weight], name=f"{node.name}.qkv")
    split = ir.node("Split", [product.outputs[0], lengths], {"axis": 2}, num_outputs=3, name=f"{node.name}.split")
    for value, suffix in zip((*product.outputs, *split.outputs), ("qkv_out", "q", "k", "v"), strict=True):
        value.name = f"{node.name}.{suffix}"
    for new in (product, split):
        new.metadata_props.update(node.metadata_props)
    graph.insert_before(node, [product, split])
    node.op_type = "MultiHeadAttention"
    node.attributes.pop("qkv_hidden_sizes", None)
    inputs = [*split.outputs, bias, None, mask]
    node.resize_inputs(len(inputs))
    for i, v in enumerate(inputs):
        node.replace_input_with(i, v)
