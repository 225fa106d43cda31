"""Attention blocks as one node: scaled dot products into ``MultiHeadAttention``.

onnxscript's rules know the forms that exporters write (scales, masks, NaN guards, transposes); here is what they lack:
ONNX's own Attention, masks without -inf, and a clear word on what cannot be fused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_lab.transforms._shapes import take_shapes_from_inputs
from onnx_lab.transforms._tidy import initializer, settle

if TYPE_CHECKING:
    import onnx_ir as ir

_FUSION_DOMAIN = "ai.onnxruntime._fusion"
_LOWEST_FLOAT32 = -3.4028234663852886e38


def fuse_attention(model: ir.Model) -> int:
    """Turn open attention blocks into ``com.microsoft.MultiHeadAttention`` nodes, in place; return how many."""
    from onnx_ir.passes.common import CommonSubexpressionEliminationPass, ShapeInferencePass
    from onnxscript.rewriter.ort_fusions.mha import fuse_mha1, fuse_mha2
    from onnxscript.rewriter.ort_fusions.mha_scale import fuse_mha_scale
    from onnxscript.rewriter.ort_fusions.sdpa_via_mha import replace_sdpa_by_mha

    CommonSubexpressionEliminationPass()(model)
    found: int = _native_to_sdpa(model) + sdpa_rules().apply_to_model(model)
    ShapeInferencePass()(model)
    if not found:
        return 0
    _join_heads_in_three_axes(model)
    fuse_mha1(model)
    fuse_mha2(model)
    fuse_mha_scale(model)
    replace_sdpa_by_mha(model)  # what has no [batch, sequence, hidden] form around it
    _make_masks_finite(model)
    settle(model)
    if take_shapes_from_inputs(model):  # masks are widened by the length of the query: it would have a second reader
        settle(model)
    return found


def _join_heads_in_three_axes(model: ir.Model) -> None:
    """Where the heads are joined into ``[batch * sequence, hidden]``, join them into three axes first.

    onnxscript's rule takes whatever Reshape follows for ``[batch, sequence, hidden]``, and the graph would break.
    """
    import numpy as np
    import onnx_ir as ir

    for sdpa in [n for n in model.graph if n.domain == _FUSION_DOMAIN and n.op_type == "SDPA"]:
        turns = [n for n in sdpa.outputs[0].consumers() if n.op_type == "Transpose"]
        for join in [n for t in turns for n in t.outputs[0].consumers() if n.op_type == "Reshape"]:
            shape = join.outputs[0].shape
            if shape is not None and len(shape) == 3:
                continue
            three = initializer(model.graph, "heads.joined", np.array([0, 0, -1], np.int64))
            first = ir.node("Reshape", [join.inputs[0], three], name=f"{join.name}.joined")
            first.outputs[0].name, first.outputs[0].dtype = f"{join.name}.joined_out", ir.DataType.FLOAT
            first.metadata_props.update(join.metadata_props)
            model.graph.insert_before(join, first)
            join.replace_input_with(0, first.outputs[0])


def sdpa_rules() -> Any:
    """onnxscript's rule for scaled dot-product attention, restricted to what MultiHeadAttention can take."""
    from onnxscript.rewriter import pattern
    from onnxscript.rewriter.ort_fusions.sdpa import SDPA

    class Sdpa(SDPA):  # type: ignore[misc]  # onnxscript is untyped at this edge
        def check(self, context: Any, query: Any, key: Any, value: Any, mask: Any, key_format: str, **rest: Any) -> Any:
            result = super().check(context, query, key, value, mask, key_format, **rest)
            refusal = refuse_shapes(query, mask)
            return pattern.MatchResult().fail(refusal) if result and refusal else result

    return pattern.RewriteRuleSet([Sdpa.rule()], commute=True)


def refuse_shapes(query: ir.Value, mask: ir.Value | None) -> str:
    """Why MultiHeadAttention cannot take these, or "" when it can."""
    shape = query.shape
    if shape is None or len(shape) != 4:
        return f"its query has the shape {_said(shape)}, not [batch, heads, sequence, head size]"
    if not isinstance(shape[1], int):
        return f"the number of heads is not fixed: its query has the shape {_said(shape)}"
    if not isinstance(shape[3], int):
        return f"the head size is not fixed: its query has the shape {_said(shape)}"
    if mask is not None and (mask.shape is None or not 2 <= len(mask.shape) <= 4):
        return f"its mask has the shape {_said(mask.shape)}, not one that broadcasts to [batch, heads, query, key]"
    return ""


def _native_to_sdpa(model: ir.Model) -> int:
    """ONNX's own Attention, where it is plain, as the intermediate node that the fusions read."""
    import onnx_ir as ir

    count = 0
    for node in [n for n in model.graph if n.op_type == "Attention" and n.domain in ("", "ai.onnx")]:
        if refuse_native(node):
            continue
        query, key, value, mask = [*node.inputs, None][:4]
        attributes: dict[str, Any] = {"key_format": "BHSd"}
        if (scale := node.attributes.get("scale")) is not None:
            attributes["scale"] = scale.as_float()
        if mask is not None and mask.dtype == ir.DataType.BOOL:
            mask = _as_bias(model.graph, node, mask)
        inputs = [query, key, value] + [mask] * (mask is not None)
        sdpa = ir.node("SDPA", inputs, attributes, domain=_FUSION_DOMAIN, name=node.name)
        sdpa.metadata_props.update(node.metadata_props)
        ir.convenience.replace_nodes_and_values(model.graph, node, [node], [sdpa], node.outputs[:1], sdpa.outputs)
        count += 1
    if count:
        model.opset_imports.setdefault(_FUSION_DOMAIN, 1)
    return count


def refuse_native(node: ir.Node) -> str:
    """Why a native Attention node stays one, or "" when it can become a MultiHeadAttention."""
    if len(node.inputs) > 4 and any(v is not None for v in node.inputs[4:]):
        return "it keeps past keys and values"
    for name in ("is_causal", "softcap", "qk_matmul_output_mode"):
        if (a := node.attributes.get(name)) is not None and a.value:
            return f"it has {name}={a.value}"
    if any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return "its present keys, values or scores are used"
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    return refuse_shapes(node.inputs[0], mask) if node.inputs[0] is not None else "it has no query"


def _as_bias(graph: ir.Graph, before: ir.Node, mask: ir.Value) -> ir.Value:
    """A boolean mask (true: attend) as numbers to add to the scores."""
    import numpy as np
    import onnx_ir as ir

    zero = initializer(graph, "attention_mask.zero", np.array(0.0, np.float32))
    lowest = initializer(graph, "attention_mask.lowest", np.array(_LOWEST_FLOAT32, np.float32))
    where = ir.node("Where", [mask, zero, lowest], name=f"{before.name}.mask")
    where.metadata_props.update(before.metadata_props)
    where.outputs[0].name, where.outputs[0].shape = f"{before.name}.mask_out", mask.shape
    where.outputs[0].dtype = ir.DataType.FLOAT
    graph.insert_before(before, where)
    return where.outputs[0]


def drop_nan_guards(model: ir.Model) -> int:
    """Remove the test for NaN behind attention's Softmax where a finite mask makes it idle; return how many.

    Exporters guard rows that have no token at all. With the lowest number in place of -inf such a row is an average,
    not NaN, and compilers recognize the attention pattern again.
    """
    import onnx_ir as ir

    count = 0
    for guard in [n for n in model.graph if n.op_type == "Where"]:
        softmax = guard.inputs[2].producer() if guard.inputs[2] is not None else None
        test = guard.inputs[0].producer() if guard.inputs[0] is not None else None
        if softmax is None or test is None or softmax.op_type != "Softmax" or test.op_type != "IsNaN":
            continue
        add = softmax.inputs[0].producer() if softmax.inputs[0] is not None else None
        if test.inputs[0] is not softmax.outputs[0] or add is None or add.op_type != "Add":
            continue
        finite = [_make_finite(model.graph, side) for side in add.inputs]
        if not any(finite):
            continue
        ir.convenience.replace_all_uses_with(guard.outputs[0], softmax.outputs[0])
        model.graph.remove(guard, safe=True)
        if not test.outputs[0].uses():
            model.graph.remove(test, safe=True)
        count += 1
    return count


def _make_masks_finite(model: ir.Model) -> None:
    """Replace -inf in masks by the lowest number: the fused kernels have no NaN guard for rows without any token."""
    for fused in model.graph:
        if fused.op_type == "MultiHeadAttention" and len(fused.inputs) > 5:
            _make_finite(model.graph, fused.inputs[5])


def _make_finite(graph: ir.Graph, mask: ir.Value | None) -> bool:
    """Whether `mask` is chosen between two numbers by a Where, made finite in place where it was not."""
    import numpy as np
    import onnx_ir as ir

    node = mask.producer() if mask is not None else None
    while node is not None and node.op_type in ("Expand", "Unsqueeze", "Reshape", "Slice", "Cast"):
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None or node.op_type != "Where":
        return False
    sides = [ir.convenience.get_const_tensor(v) if v is not None else None for v in node.inputs[1:3]]
    if any(s is None or s.size != 1 or s.dtype != ir.DataType.FLOAT for s in sides):
        return False
    for i, side in enumerate(sides, 1):
        assert side is not None
        if np.isneginf(array := side.numpy()).all():
            node.replace_input_with(i, initializer(graph, f"{node.name}.lowest", np.full_like(array, _LOWEST_FLOAT32)))
    return True


def _said(shape: ir.Shape | None) -> str:
    return "unknown" if shape is None else "[" + ", ".join(str(d) for d in shape) + "]"
