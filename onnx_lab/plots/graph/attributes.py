"""A node's attributes as text, from the protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_lab.plots.graph.flat import dtype_name

if TYPE_CHECKING:
    import onnx

_LONG = 120


def attributes_of(node: onnx.NodeProto | None) -> list[list[str]]:
    """Name and value of each attribute; the domain first, where it is not ONNX's own.

    Examples
    --------
    >>> from onnx import helper
    >>> attributes_of(helper.make_node("Softmax", ["x"], ["y"], axis=-1))
    [['axis', '-1']]
    """
    if node is None:
        return []
    domain = [["domain", node.domain]] if node.domain not in ("", "ai.onnx") else []
    return domain + [[a.name, _text(a)] for a in node.attribute]


def _text(a: onnx.AttributeProto) -> str:
    if a.ref_attr_name:
        return f"@{a.ref_attr_name}"
    kind = a.type
    if kind == a.FLOAT:
        return f"{a.f:.6g}"
    if kind == a.INT:
        return str(a.i)
    if kind == a.STRING:
        return _cut(a.s.decode("utf-8", "replace"))
    if kind == a.INTS:
        return _cut(str(list(a.ints[:40])))
    if kind == a.FLOATS:
        return _cut("[" + ", ".join(f"{x:.6g}" for x in a.floats[:40]) + "]")
    if kind == a.STRINGS:
        return _cut(", ".join(s.decode("utf-8", "replace") for s in a.strings[:40]))
    if kind == a.TENSOR:
        return f"{dtype_name(a.t.data_type)}{list(a.t.dims)}"
    if kind == a.GRAPH:
        return _cut(f"{len(a.g.node)} nodes: " + ", ".join(n.op_type for n in a.g.node[:20]))
    return "…"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
