"""Where a graph attends: its attention blocks, fused and open, found without any fusion's help.

An open block is a Softmax between two matrix products, or ONNX's own Attention. A fused one is a single node that
ONNX Runtime has a kernel for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

#: Single nodes, in ONNX Runtime's own domain, that do the work of one attention block.
FUSED = frozenset(
    "Attention MultiHeadAttention GroupQueryAttention QAttention PackedAttention PackedMultiHeadAttention "
    "DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention PagedAttention".split()
)
_MICROSOFT = "com.microsoft"
#: What may stand between the Softmax and the products: scale, mask, NaN guard, dropout, casts, reshapes.
_BETWEEN = frozenset(
    "Add Sub Mul Div Where IsNaN Cast CastLike Reshape Identity Dropout Expand Unsqueeze Squeeze Max Min Clip".split()
)
_REACH = 8
_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "Einsum", "Gemm"})


def fused_blocks(graph: ir.Graph) -> list[ir.Node]:
    """Attention blocks that are one node."""
    return [n for n in graph.all_nodes() if n.domain == _MICROSOFT and n.op_type in FUSED]


def open_blocks(graph: ir.Graph) -> list[ir.Node]:
    """Attention blocks that are not: for each its Softmax, or its native Attention node."""
    return [n for n in graph.all_nodes() if _is_native(n) or is_attention_softmax(n)]


def is_attention_softmax(node: ir.Node) -> bool:
    """Whether this Softmax stands between two matrix products of activations."""
    if node.op_type != "Softmax" or node.domain == _MICROSOFT:
        return False
    return scores_of(node) is not None and weighted_of(node) is not None


def scores_of(softmax: ir.Node) -> ir.Node | None:
    """The product of queries and keys that feeds `softmax`, if there is one."""
    return _nearest(softmax, _producers, _is_activation_product)


def weighted_of(softmax: ir.Node) -> ir.Node | None:
    """The product of weights and values that `softmax` feeds, if there is one."""
    return _nearest(softmax, _consumers, _is_activation_product)


def _is_native(node: ir.Node) -> bool:
    return node.op_type == "Attention" and node.domain in ("", "ai.onnx")


def _is_activation_product(node: ir.Node) -> bool:
    """A matrix product of two computed tensors: a projection has constant weights and does not count."""
    import onnx_ir as ir

    if node.op_type not in _PRODUCTS or len(node.inputs) < 2:
        return False
    return all(v is not None and ir.convenience.get_const_tensor(v) is None for v in node.inputs[:2])


def _nearest(
    start: ir.Node, step: Callable[[ir.Node], Iterable[ir.Node]], wanted: Callable[[ir.Node], bool]
) -> ir.Node | None:
    """Breadth-first along `step` through what may stand between."""
    front, seen = [start], {id(start)}
    for _ in range(_REACH):
        following = []
        for node in front:
            for other in step(node):
                if wanted(other):
                    return other
                if id(other) not in seen and other.op_type in _BETWEEN:
                    seen.add(id(other))
                    following.append(other)
        front = following
    return None


def _producers(node: ir.Node) -> Iterator[ir.Node]:
    for v in node.inputs:
        if v is not None and (p := v.producer()) is not None:
            yield p


def _consumers(node: ir.Node) -> Iterator[ir.Node]:
    for v in node.outputs:
        yield from v.consumers()
