"""Why an attention block was left open: the condition that failed, at which node, in which of the user's modules.

Each condition is checked here in plain words, in the order in which the fusion would meet it; when none of them
explains it, the pattern matcher's own reason is quoted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab._blocks import open_blocks, scores_of, weighted_of
from onnx_lab._metadata import module_of
from onnx_lab.transforms.attention import refuse_native, refuse_shapes, sdpa_rules

if TYPE_CHECKING:
    import onnx_ir as ir

_EXPORT_AGAIN = "export again with attn_implementation='sdpa' or 'eager'"


@dataclass(frozen=True)
class Unfused:
    """One attention block that stayed open: its node, the user's module, why, and what to do about it."""

    node: str
    module: str
    reason: str
    do: str

    def to_json(self) -> dict[str, str]:
        """For the lineage."""
        return asdict(self)


def unfused(model: ir.Model, *, disabled: bool = False, left_to: str = "") -> list[Unfused]:
    """All open blocks of `model` with their reasons.

    Parameters
    ----------
    model : onnx_ir.Model
        After the fusions. It is not changed.
    disabled : bool
        The attention fusion was turned off by the caller.
    left_to : str
        The target that fuses attention itself, for which it is left open on purpose.
    """
    found = []
    for node in open_blocks(model.graph):
        if disabled:
            reason, do = "the attention fusion was turned off", "leave 'attention' out of disable"
        elif left_to:
            reason = f"left open on purpose: {left_to} has no kernel for the fused node, and fuses the open form itself"
            do = "nothing, or attention='mha' to force it"
        else:
            reason, do = _why_native(node) if node.op_type == "Attention" else _why_open(model, node)
        found.append(Unfused(node.name or "", module_of(node), reason, do))
    return found


def sentences(blocks: list[Unfused], found: int) -> list[str]:
    """What to say about `blocks`, those with the same reason together."""
    groups: dict[tuple[str, str], list[Unfused]] = {}
    for b in blocks:
        groups.setdefault((b.reason.split(":")[0], b.do), []).append(b)
    said = []
    for (_, do), alike in groups.items():
        first = alike[0]
        where = f"{first.module} (node {first.node})" if first.module else f"node {first.node}"
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        said.append(f"{len(alike)} of {found} attention blocks not fused: {where}{more}: {first.reason}. Try: {do}")
    return said


def _why_native(node: ir.Node) -> tuple[str, str]:
    return refuse_native(node) or "ONNX's own Attention in a form that is not known here", "export with opset=20"


def _why_open(model: ir.Model, softmax: ir.Node) -> tuple[str, str]:
    scores, weighted = scores_of(softmax), weighted_of(softmax)
    if scores is None or weighted is None:
        return "its Softmax stands between no two matrix products", _EXPORT_AGAIN
    if shown := _seen_outside(softmax):
        return shown, "export without output_attentions=True"
    axis = softmax.attributes.get_int("axis", -1)
    rank = len(softmax.outputs[0].shape) if softmax.outputs[0].shape is not None else None
    if axis not in (-1, (rank or 0) - 1):
        return f"its Softmax runs over axis {axis}, not over the last one", _EXPORT_AGAIN
    if query := scores.inputs[0]:
        if query.shape is not None and len(query.shape) == 3:
            return (
                f"batch and heads are folded into one axis: its query has the shape {_dims(query)}",
                "scaled_dot_product_attention on [batch, heads, sequence, head size] for torch.bmm, or opset=23",
            )
        if refusal := refuse_shapes(query, None):
            return refusal, "fix that axis in the export: only batch and sequence should be dynamic"
    return _matcher_reason(model, weighted), _EXPORT_AGAIN


def _seen_outside(softmax: ir.Node) -> str:
    """Whether the attention weights are asked for by someone else, so that they cannot vanish in one node."""
    value = softmax.outputs[0]
    if value.is_graph_output():
        return "its attention weights are an output of the model"
    others = {n.op_type for n in value.consumers()} - {
        "MatMul",
        "IsNaN",
        "Where",
        "Cast",
        "Dropout",
        "Identity",
        "Reshape",
    }
    return f"its attention weights are also used by {', '.join(sorted(others))}" if others else ""


def _matcher_reason(model: ir.Model, root: ir.Node) -> str:
    """What onnxscript's matcher says about the block that ends in `root`."""
    from onnxscript.rewriter._basics import MatchingTracer

    best: list[tuple[int, str]] = []

    class Listener(MatchingTracer):  # type: ignore[misc]  # onnxscript is untyped at this edge
        def log(self, _rule: Any, _container: Any, node: Any, match_result: Any, status: Any) -> None:
            if node.name == root.name:
                best.append((len(match_result.nodes) + 100 * int(status), str(match_result.reason)))

    sdpa_rules().apply_to_model(model.clone(), tracer=Listener())
    reason = max(best, default=(0, ""))[1].strip().rstrip(".")
    return f"its form is not known: {reason}" if reason else "its form is not one that is known"


def _dims(value: ir.Value) -> str:
    return "[" + ", ".join(str(d) for d in value.shape or ()) + "]"
