"""The plain code beside `%onnx_diff` and `%onnx_view`."""

from __future__ import annotations


def diff_code() -> str:
    """Which tensors two files make by which operators, and where that differs.

    Examples
    --------
    >>> print(diff_code().splitlines()[0])
    import onnx
    """
    return """import onnx


def makers(path):
    graph = onnx.load(path, load_external_data=False).graph
    return {name: node.op_type for node in graph.node for name in node.output if name}


a, b = makers("a.onnx"), makers("b.onnx")
print("gone:", [(name, op) for name, op in a.items() if name not in b])
print("new:", [(name, op) for name, op in b.items() if name not in a])
print("by another operator:", [(name, a[name], op) for name, op in b.items() if a.get(name, op) != op])"""


def view_code() -> str:
    """The nodes of a file, line by line; a picture is what Netron draws.

    Examples
    --------
    >>> print(view_code().splitlines()[0])
    import onnx
    """
    return """import onnx

graph = onnx.load("model.onnx", load_external_data=False).graph
for node in graph.node:
    print(node.op_type, node.name, list(node.input), "->", list(node.output))

# a picture: pip install netron, then: netron model.onnx"""
