"""What int8 needs on this machine, what has no int8 form, and what to say about the result."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from onnx_lab.model import Model
from onnx_lab.runtime._hardware import this_hardware

if TYPE_CHECKING:
    import onnx_ir as ir

#: What is quantized by default. Not Conv: its dynamic kernel is slower than float.
DEFAULT_OPS = ("MatMul", "Gemm", "Gather", "Attention", "LSTM", "EmbedLayerNormalization")
POSSIBLE_OPS = (*DEFAULT_OPS, "Conv")

#: What a node was before it was quantized.
_ORIGIN = {
    "MatMulInteger": "MatMul",
    "QAttention": "Attention",
    "DynamicQuantizeLSTM": "LSTM",
    "ConvInteger": "Conv",
    "QEmbedLayerNormalization": "EmbedLayerNormalization",
}


def needs_reduced_range(weight_type: str) -> bool:
    """Whether uint8 x int8 products overflow here: x86 with AVX2 or AVX512, without VNNI or AMX."""
    has = this_hardware().features
    if weight_type != "int8" or not (has.get("AVX2") or has.get("AVX512")):
        return False
    return not (has.get("VNNI") or has.get("AMX_INT8"))


def no_int8_form(model: ir.Model) -> list[str]:
    """Nodes that the quantizer takes for something else, and would break or bend without a word.

    ONNX's own Attention for ONNX Runtime's; an Attention with an additive mask for one without; an
    EmbedLayerNormalization with explicit positions for one that counts them.
    """

    def given(node: ir.Node, i: int) -> bool:
        return len(node.inputs) > i and node.inputs[i] is not None

    found = []
    for n in model.graph:
        native = n.op_type == "Attention" and n.domain != "com.microsoft"
        masked = n.op_type == "Attention" and given(n, 5)
        placed = n.op_type == "EmbedLayerNormalization" and given(n, 8)
        if native or masked or placed:
            found.append(n.name or "")
    return found


def hints(m: Model, after: ir.Model) -> dict[str, Any]:
    """Residual and LayerNormalization stay apart in sessions: as one node they take a fifth of an int8 BERT's time."""
    told = m.session_hints
    if any(n.op_type == "LayerNormalization" for n in after.graph):
        disabled = [*told.get("disabled_optimizers", []), "SkipLayerNormFusion"]
        told["disabled_optimizers"] = list(dict.fromkeys(disabled))
    return told


def changed(after: ir.Model) -> Counter[str]:
    """Operator -> how many of its nodes now read 8-bit weights."""
    weights = {v.name for v in after.graph.initializers.values() if _is_8bit(v)}
    done: Counter[str] = Counter()
    for node in after.graph:
        if any(
            v is not None and v.name in weights and (v.const_value is None or v.const_value.size > 1)
            for v in node.inputs
        ):
            done[_ORIGIN.get(node.op_type, node.op_type)] += 1
    return done


def _is_8bit(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.dtype.name in ("INT8", "UINT8")


def say(after: ir.Model, done: Counter[str], m: Model) -> list[str]:
    if not done:
        return [f"changed nothing: {m.name} has no node of the chosen kinds with a constant weight"]
    left = Counter(n.op_type for n in after.graph if n.op_type in POSSIBLE_OPS and n.op_type not in ("Gather", "Gemm"))
    say = ["8-bit weights in " + ", ".join(f"{n} {k}" for k, n in done.items())]
    if left:
        say.append(
            "still float: "
            + ", ".join(f"{n} {k}" for k, n in left.items())
            + " (left out, or without a constant weight)"
        )
    return say


def precision_sentence(per_channel: bool, weight_type: str, reduce_range: bool, by_machine: bool) -> str:
    because = ""
    if by_machine and weight_type == "int8":
        because = ": this CPU has no VNNI" if reduce_range else ": this CPU needs no headroom"
    return (
        f"{weight_type} weights, one scale per {'channel' if per_channel else 'tensor'}; "
        f"range {'reduced to 7 bits' if reduce_range else 'not reduced'}{because}"
    )
