"""The embeddings of a BERT as one ``EmbedLayerNormalization``: tables looked up, summed and normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def fuse_embed_layer_norm(model: ir.Model) -> int:
    """Fuse, in place, a LayerNormalization over a sum of two or three table look-ups; return how many."""
    count = 0
    for node in [n for n in model.graph if n.op_type == "LayerNormalization"]:
        tables = _tables(node.inputs[0], [])
        if tables is not None and 2 <= len(tables) <= 3 and _fuse(model, node, tables):
            count += 1
    return count


def _tables(value: ir.Value | None, found: list[ir.Node]) -> list[ir.Node] | None:
    """The Gathers of which `value` is the sum; None when it is a sum of anything else."""
    import onnx_ir as ir

    node = value.producer() if value is not None else None
    if node is None:
        return None
    if node.op_type == "Add":
        for side in node.inputs:
            if _tables(side, found) is None:
                return None
        return found
    table = ir.convenience.get_const_tensor(node.inputs[0]) if node.op_type == "Gather" and node.inputs[0] else None
    if table is None or len(table.shape) != 2 or node.attributes.get_int("axis", 0) != 0:
        return None
    found.append(node)
    return found


def _fuse(model: ir.Model, norm: ir.Node, tables: list[ir.Node]) -> bool:
    import onnx_ir as ir

    positions = [t for t in tables if _same_for_all_texts(t.inputs[1])]
    by_token = sorted((t for t in tables if t not in positions), key=lambda t: -_rows(t))
    scale_and_shift = [v for v in norm.inputs[1:] if v is not None]
    if len(positions) != 1 or len(by_token) not in (1, 2) or len(scale_and_shift) != 2:
        return False
    if any(len(t.inputs[1].shape or ()) != 2 for t in by_token if t.inputs[1] is not None):
        return False
    words, segments = by_token[0], by_token[1] if len(by_token) == 2 else None
    ids, kinds, places = (
        _as_int32(model.graph, norm, t.inputs[1] if t else None) for t in (words, segments, positions[0])
    )
    inputs = [ids, kinds, words.inputs[0], positions[0].inputs[0], segments.inputs[0] if segments else None]
    fused = ir.node(
        "EmbedLayerNormalization",
        [*inputs, *scale_and_shift, None, places],
        {"epsilon": norm.attributes.get_float("epsilon", 1e-5)},
        num_outputs=2,
        domain="com.microsoft",
        name=f"{norm.name}.embed",
    )
    fused.metadata_props.update(norm.metadata_props)
    fused.outputs[1].name = f"{norm.name}.mask_index"
    ir.convenience.replace_nodes_and_values(model.graph, norm, [norm], [fused], norm.outputs[:1], fused.outputs[:1])
    model.opset_imports.setdefault("com.microsoft", 1)
    return True


def _same_for_all_texts(value: ir.Value | None) -> bool:
    """Whether an index depends on the length of the texts alone: positions do."""
    if value is None or value.shape is None:
        return False
    return len(value.shape) == 2 and value.shape[0] == 1


def _rows(gather: ir.Node) -> int:
    shape = gather.inputs[0].shape if gather.inputs[0] is not None else None
    return shape[0] if shape is not None and isinstance(shape[0], int) else 0


def _as_int32(graph: ir.Graph, before: ir.Node, value: ir.Value | None) -> ir.Value | None:
    import onnx_ir as ir

    if value is None or value.dtype == ir.DataType.INT32:
        return value
    cast = ir.node("Cast", [value], {"to": ir.DataType.INT32.value}, name=f"{before.name}.{value.name}.int32")
    cast.outputs[0].name, cast.outputs[0].dtype = f"{value.name}.int32", ir.DataType.INT32
    cast.outputs[0].shape = value.shape
    graph.insert_before(before, cast)
    return cast.outputs[0]
