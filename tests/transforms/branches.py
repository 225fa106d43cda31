"""Small graphs with one thing in them that float16 does not bear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.model import Model

SIZE = 8
BRANCH = {"/branch/up1", "/branch/up2", "/branch/down"}


def batches(count: int = 3, rows: int = 4, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Feeds ``x (rows, 8)`` of normal numbers."""
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(size=(rows, SIZE)).astype(np.float32)} for _ in range(count)]


def overflowing(folder: Path, *, shared: bool = False) -> Model:
    """``x -> MatMul -> Relu``, then a branch that goes up to 1e9 and back, and one that does not; both added.

    With `shared` the constant of the branch is also read by the other one, harmlessly.
    """
    rng = np.random.default_rng(0)
    weights = {k: rng.normal(0, 0.3, (SIZE, SIZE)) for k in ("w", "v", "u")}
    constants = {"big": 1e5, "small": 1e-10}
    more = [
        helper.make_node("Div", ["c", "big"], ["q"], "/other/Div"),
        helper.make_node("Add", ["c", "q"], ["c1"], "/other/Add"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "/first/MatMul"),
        helper.make_node("Relu", ["a"], ["r"], "/first/Relu"),
        helper.make_node("Mul", ["r", "big"], ["b0"], "/branch/up1"),
        helper.make_node("Mul", ["b0", "big"], ["b1"], "/branch/up2"),
        helper.make_node("Mul", ["b1", "small"], ["b2"], "/branch/down"),
        helper.make_node("MatMul", ["r", "v"], ["c"], "/other/MatMul"),
        *(more if shared else []),
        helper.make_node("Add", ["b2", "c1" if shared else "c"], ["s"], "/last/Add"),
        helper.make_node("MatMul", ["s", "u"], ["y"], "/last/MatMul"),
    ]
    return save(folder / "overflowing.onnx", nodes, {**weights, **constants})


def cancelling(folder: Path) -> Model:
    """``(x + 1000) - 1000``, which rounds away most of x in float16 without any overflow, between two products."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "/first/MatMul"),
        helper.make_node("Add", ["a", "far"], ["b"], "/far/Add"),
        helper.make_node("Sub", ["b", "far"], ["c"], "/far/Sub"),
        helper.make_node("MatMul", ["c", "v"], ["y"], "/last/MatMul"),
    ]
    weights = {k: rng.normal(0, 0.3, (SIZE, SIZE)) for k in ("w", "v")}
    return save(folder / "cancelling.onnx", nodes, {**weights, "far": 1000.0})


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray | float],
    *,
    opset: int = 20,
    outputs: list[str] | None = None,
) -> Model:
    """``x (batch, 8) -> y (batch, 8)``, or what is in `outputs`, with these nodes and float32 weights."""
    shown = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", SIZE])]
    if outputs is not None:
        shown = [onnx.ValueInfoProto(name=o) for o in outputs]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZE])],
        shown,
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), path)
    return lab.load(path)


def as_a_gpu(m: Model, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The first output with NumPy, node by node, every tensor in the type that the file gives it."""
    import onnx_ir as ir

    graph = m.to_ir().graph
    values = {v.name: v.const_value.numpy() for v in graph.initializers.values()} | dict(feeds)  # type: ignore[union-attr]
    two = {"MatMul": np.matmul, "Mul": np.multiply, "Add": np.add, "Sub": np.subtract, "Div": np.divide}
    with np.errstate(all="ignore"):
        for node in graph:
            given = [values[v.name] for v in node.inputs if v is not None]
            if node.op_type == "Cast":
                types = {ir.DataType.FLOAT16: np.float16, ir.DataType.FLOAT: np.float32}
                result = given[0].astype(types[ir.DataType(node.attributes.get_int("to"))])
            elif node.op_type in ("Relu", "Identity"):
                result = np.maximum(given[0], 0) if node.op_type == "Relu" else given[0]
            else:
                assert given[0].dtype == given[1].dtype, f"{node.name} reads two types"
                result = two[node.op_type](given[0], given[1])
            values[node.outputs[0].name] = result
    return np.asarray(values[graph.outputs[0].name])
