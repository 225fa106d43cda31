"""Small questions that the search for a nearly fused pattern asks of a graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnx_lab._metadata import module_of
from onnx_lab.transforms.explain import Unfused

if TYPE_CHECKING:
    import onnx_ir as ir


def number(value: ir.Value | None) -> float | None:
    """The one number of a constant; None for anything else."""
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return float(tensor.numpy().reshape(-1)[0]) if tensor is not None and tensor.size == 1 else None


def is_constant(value: ir.Value | None) -> bool:
    """Whether it is known before any run."""
    import onnx_ir as ir

    return value is not None and ir.convenience.get_const_tensor(value) is not None


def maker(value: ir.Value | None, *ops: str) -> ir.Node | None:
    """The node that makes `value`, if it is one of these operators."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in ops else None


def sides(node: ir.Node) -> tuple[float | None, ir.Value | None]:
    """The single number on one side of a node with two inputs, and the other side."""
    a, b = (*node.inputs, None, None)[:2]
    if (n := number(b)) is not None:
        return n, a
    return number(a), b


def readers(value: ir.Value, *ops: str) -> list[ir.Node]:
    """Its consumers of these operators; all of them where none are named."""
    return [n for n in value.consumers() if not ops or n.op_type in ops]


def others(value: ir.Value, known: Iterable[ir.Node]) -> str:
    """Who else uses a tensor that a fusion would make vanish, in words; "" when nobody does."""
    if value.is_graph_output():
        return "is an output of the model"
    own = set(known)
    more = sorted({n.op_type for n in value.consumers() if n not in own})
    return f"is also used by {', '.join(more)}" if more else ""


def near(a: float | None, b: float) -> bool:
    """Whether it is the number that a pattern asks for."""
    return a is not None and abs(a - b) <= 1e-4 * abs(b)


def axes_of(node: ir.Node) -> list[int] | None:
    """Over which axes a reduction runs; None where that is computed, or over all."""
    import onnx_ir as ir

    if (a := node.attributes.get("axes")) is not None:
        return list(a.as_ints())
    tensor = ir.convenience.get_const_tensor(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
    return [int(x) for x in tensor.numpy().reshape(-1)] if tensor is not None else None


def dims(value: ir.Value | None) -> str:
    """A shape in words."""
    shape = value.shape if value is not None else None
    return "an unknown shape" if shape is None else "[" + ", ".join(str(d) for d in shape) + "]"


def left(node: ir.Node, reason: str, do: str) -> Unfused:
    """`node` stayed as it is."""
    return Unfused(node.name or "", module_of(node), reason, do)
