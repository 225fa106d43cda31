"""Constant tensors of a graph: how large they are, and who uses them. None of their numbers is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_lab._metadata import module_of

if TYPE_CHECKING:
    import onnx_ir as ir

#: What only changes the form of a weight on its way to the node that computes with it.
_FORM = frozenset("Cast DequantizeLinear Identity QuantizeLinear Reshape Squeeze Transpose Unsqueeze".split())
_REACH = 4


@dataclass(frozen=True)
class Weight:
    """One constant tensor of the file: initializers and the tensors inside Constant nodes.

    `module` is the user's own module that uses it first, "" when the exporter left no trace of it.
    """

    name: str
    module: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


def weights_of(graph: ir.Model) -> Iterator[tuple[Weight, ir.Node | None]]:
    """Initializers of all graphs, and tensors that Constant nodes hold, each with the node that computes with it.

    Sizes come from shape and dtype alone.
    """
    for g in graph.graphs():
        for value in g.initializers.values():
            if value.const_value is not None:
                yield _weight(value, value.const_value, None)
        for node in g:
            if (tensor := constant_of(node)) is not None:
                yield _weight(node.outputs[0], tensor, node)


def constant_of(node: ir.Node) -> ir.TensorProtocol | None:
    """The tensor that a Constant node holds."""
    held = node.attributes.get("value") if node.op_type == "Constant" and node.outputs else None
    return tensor_in(held) if held is not None else None


def tensor_in(attribute: ir.Attr) -> ir.TensorProtocol | None:
    """The tensor of an attribute, None where there is none, or one without a type: a damaged file may say so."""
    import onnx_ir as ir

    if attribute.is_ref() or attribute.type != ir.AttributeType.TENSOR:
        return None
    held: ir.TensorProtocol = attribute.value
    return held if held is not None and held.dtype != ir.DataType.UNDEFINED else None


def _weight(value: ir.Value, tensor: ir.TensorProtocol, maker: ir.Node | None) -> tuple[Weight, ir.Node | None]:
    user = _user(value)
    module = _module(value) or (module_of(maker) if maker else "")
    shape = tuple(int(d) for d in tensor.shape.numpy())
    return Weight(value.name or "", module, dtype_of(tensor), shape, int(tensor.nbytes)), user or maker


def _user(value: ir.Value) -> ir.Node | None:
    """The first node that uses a weight, behind those that only change its form."""
    node = next(iter(value.consumers()), None)
    for _ in range(_REACH):
        if node is None or node.op_type not in _FORM or node.inputs[0] is not value:
            break
        value = node.outputs[0]
        node = next(iter(value.consumers()), None) or node
    return node


def _module(value: ir.Value) -> str:
    """The first user's module; what a quantizer put between has none."""
    node = next(iter(value.consumers()), None)
    for _ in range(_REACH):
        if node is None or (found := module_of(node)):
            return found if node is not None else ""
        node = next((c for v in node.outputs for c in v.consumers()), None)
    return ""


def dtype_of(tensor: ir.TensorProtocol) -> str:
    """The dtype as NumPy calls it: ``float32``."""
    name = tensor.dtype.name.lower()
    return {"float": "float32", "double": "float64"}.get(name, name)
