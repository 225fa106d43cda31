"""A model of five nodes for examples and tests: no download, no framework, made in a millisecond."""

from __future__ import annotations

import numpy as np

from onnx_lab.model import Model
from onnx_lab.produce import Made, produce


def tiny(*, features: int = 8, classes: int = 4, seed: int = 0) -> Model:
    """A two-layer perceptron ``x (batch, features) float32 -> logits (batch, classes) float32``.

    Examples
    --------
    >>> m = tiny()
    >>> str(m.inputs[0]), m.header.nodes
    ('x: float32[batch, 8]', 6)
    """
    options = {"features": features, "classes": classes, "seed": seed}
    return produce("tiny", options, lambda: _build(**options), tools=["onnx"], name="tiny", cache_key="sample:tiny")


def _build(features: int, classes: int, seed: int) -> Made:
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    hidden = 16
    weights = {
        "w1": rng.normal(0, features**-0.5, (features, hidden)),
        "b1": rng.normal(0, 0.1, hidden),
        "w2": rng.normal(0, hidden**-0.5, (hidden, classes)),
        "b2": rng.normal(0, 0.1, classes),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h0"], "first/matmul"),
        helper.make_node("Add", ["h0", "b1"], ["h1"], "first/add"),
        helper.make_node("Relu", ["h1"], ["h2"], "first/relu"),
        helper.make_node("Identity", ["h2"], ["h3"], "first/identity"),
        helper.make_node("MatMul", ["h3", "w2"], ["h4"], "second/matmul"),
        helper.make_node("Add", ["h4", "b2"], ["logits"], "second/add"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", features])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return Made(ir.from_proto(proto))
