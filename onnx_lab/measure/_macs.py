"""Multiply-accumulates of a node, from the shapes of its tensors alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

Sizes = tuple[int, ...]
#: Tensor name -> its shape, None where that is not known.
Look = Callable[[str], Sizes | None]


def node_macs(node: ir.Node, look: Look) -> int | None:
    """Multiply-accumulates of one run of `node`; 0 for what computes no products, None where shapes are not known.

    Examples
    --------
    >>> import onnx_ir as ir
    >>> shapes = {"a": (2, 8), "b": (8, 16), "y": (2, 16)}
    >>> product = ir.node("MatMul", [ir.Value(name="a"), ir.Value(name="b")], outputs=[ir.Value(name="y")])
    >>> node_macs(product, shapes.get)
    256
    """
    count = _COUNTS.get((node.domain in ("", "ai.onnx"), node.op_type))
    if count is None:
        return 0
    try:
        return count(node, look)
    except (LookupError, TypeError, ValueError, ZeroDivisionError):  # a shape that is not known, or makes no sense
        return None


def _input(node: ir.Node, place: int, look: Look) -> Sizes:
    value = node.inputs[place]
    found = look(value.name or "") if value is not None else None
    if found is None:
        raise LookupError(place)
    return found


def _output(node: ir.Node, look: Look) -> Sizes:
    found = look(node.outputs[0].name or "")
    if found is None:
        raise LookupError(0)
    return found


def _matmul(node: ir.Node, look: Look) -> int:
    depth = -2 if node.attributes.get_int("transA", 0) else -1
    return math.prod(_output(node, look)) * _input(node, 0, look)[depth]


def _conv(node: ir.Node, look: Look) -> int:
    weight = _input(node, 3 if node.op_type == "QLinearConv" else 1, look)
    return math.prod(_output(node, look)) // weight[0] * math.prod(weight)


def _conv_transpose(node: ir.Node, look: Look) -> int:
    return math.prod(_input(node, 0, look)) * math.prod(_input(node, 1, look)[1:])


def _recurrent(node: ir.Node, look: Look) -> int:
    steps = math.prod(_input(node, 0, look)[:2])
    return steps * (math.prod(_input(node, 1, look)) + math.prod(_input(node, 2, look)))


def _einsum(node: ir.Node, look: Look) -> int:
    equation = node.attributes["equation"].as_string().replace(" ", "")
    sizes: dict[str, int] = {}
    for place, letters in enumerate(equation.split("->")[0].split(",")):
        sizes |= dict(zip(letters, _input(node, place, look), strict=True))
    return math.prod(sizes.values())


def _projected_attention(node: ir.Node, look: Look) -> int:
    """ONNX Runtime's Attention: the product with one weight for Q, K and V, then the two of attention."""
    batch, length, _ = _input(node, 0, look)
    weight = _input(node, 1, look)
    return batch * length * math.prod(weight) + 2 * batch * length * length * (weight[-1] // 3)


def _attention(node: ir.Node, look: Look) -> int:
    """Queries by keys, then weights by values: over (batch, length, width), or with the heads apart."""
    query, key, value = (_input(node, place, look) for place in range(3))
    if len(query) == 4:
        return math.prod(query[:3]) * key[2] * (query[3] + value[3])
    batch, length, width = query
    return 2 * batch * length * key[-2] * width


#: (ONNX's own domain?, operator) -> who counts.
_COUNTS: dict[tuple[bool, str], Callable[[ir.Node, Look], int]] = {
    **dict.fromkeys([(True, op) for op in ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm")], _matmul),
    **dict.fromkeys([(True, op) for op in ("Conv", "ConvInteger", "QLinearConv")], _conv),
    **dict.fromkeys([(True, op) for op in ("LSTM", "GRU", "RNN")], _recurrent),
    (True, "ConvTranspose"): _conv_transpose,
    (True, "Einsum"): _einsum,
    (True, "Attention"): _attention,
    **dict.fromkeys(
        [
            (False, op)
            for op in (
                "FusedMatMul FusedGemm QGemm MatMulNBits MatMulBnb4 MatMulIntegerToFloat DynamicQuantizeMatMul"
            ).split()
        ],
        _matmul,
    ),
    **dict.fromkeys([(False, op) for op in ("FusedConv", "NhwcFusedConv", "QLinearConv")], _conv),
    (False, "DynamicQuantizeLSTM"): _recurrent,
    (False, "Attention"): _projected_attention,
    (False, "QAttention"): _projected_attention,
    (False, "MultiHeadAttention"): _attention,
}


def macs_text(macs: float) -> str:
    """Multiply-accumulates with a unit.

    Examples
    --------
    >>> macs_text(11_170_000_000), macs_text(192), macs_text(0)
    ('11.2 GMAC', '192 MAC', '0 MAC')
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if macs >= size:
            return f"{macs / size:.3g} {unit}MAC"
    return f"{macs:.0f} MAC"
