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


def split_attention(model: ir.Model, *, masked_only: bool = True) -> int:
    """Write out, in place, the Attention nodes that carry an additive mask, or none at all; return how many."""
    count = 0
    for node in [n for n in model.graph if n.op_type == "Attention" and n.domain == "com.microsoft"]:
        sizes = node.attributes.get_ints("qkv_hidden_sizes", None)
        if sizes is not None and len(set(sizes)) == 1:
            node.attributes.pop("qkv_hidden_sizes")
        if _plain(node, masked_only):
            _split(model.graph, node)
            count += 1
    return count


def split_embeddings(model: ir.Model) -> int:
    """Write out, in place, each EmbedLayerNormalization with explicit positions; return how many.

    It is the form that `onnx_lab.transforms.embed_norm` writes. Its tables can then be stored in blocks.
    """
    fused = [n for n in model.graph if n.op_type == "EmbedLayerNormalization" and _explicit(n)]
    for node in fused:
        _split_embedding(model.graph, node)
    return len(fused)


def _explicit(node: ir.Node) -> bool:
    """Inputs: ids, kinds, three tables, scale, shift, mask, positions. Only the first output is used."""
    given = [v is not None for v in node.inputs] + [False] * 9
    idle = all(not v.uses() and not v.is_graph_output() for v in node.outputs[1:])
    return given[8] and not given[7] and given[1] == given[4] and idle


def _split_embedding(graph: ir.Graph, node: ir.Node) -> None:
    import onnx_ir as ir

    ids, kinds, words, places, segments, scale, shift, _, positions = node.inputs
    pairs = [(words, ids, "words"), (places, positions, "positions"), (segments, kinds, "segments")]
    made = [ir.node("Gather", [t, i], name=f"{node.name}.{what}") for t, i, what in pairs if t is not None]
    total = made[0].outputs[0]
    for look_up in made[1:]:
        made.append(ir.node("Add", [total, look_up.outputs[0]], name=f"{look_up.name}.added"))
        total = made[-1].outputs[0]
    settings = {"axis": -1, "epsilon": node.attributes.get_float("epsilon", 1e-12)}
    made.append(ir.node("LayerNormalization", [total, scale, shift], settings, name=f"{node.name}.norm"))
    for new in made:
        new.outputs[0].name, new.outputs[0].dtype = f"{new.name}_out", ir.DataType.FLOAT
        new.metadata_props.update(node.metadata_props)
    out = node.outputs[0]
    ir.convenience.replace_nodes_and_values(graph, node, [node], made, [out], [made[-1].outputs[0]])


def _plain(node: ir.Node, masked_only: bool) -> bool:
    """Inputs: x, weight, bias, mask index, past, additive mask, past length. A mask index or a past is left alone."""
    given = [v is not None for v in node.inputs] + [False] * 7
    return (
        (given[5] or not masked_only)
        and given[1]
        and not given[3]
        and not given[4]
        and not given[6]
        and len(node.outputs) == 1
    )


def _split(graph: ir.Graph, node: ir.Node) -> None:
    import numpy as np
    import onnx_ir as ir

    source, weight, bias, mask = (node.inputs[i] if i < len(node.inputs) else None for i in (0, 1, 2, 5))
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
