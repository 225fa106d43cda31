"""Attention graphs by hand, each with one thing that is different."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.model import Model

HEADS, SIZE = 2, 4
HIDDEN = HEADS * SIZE


def attention(
    folder: Path,
    *,
    rank: int = 4,
    axis: int = -1,
    show_weights: bool = False,
    causal: bool = False,
    masked: bool = False,
) -> Model:
    """One block ``x [batch, 5, 8] -> y`` with what the arguments say; `causal` makes it a native Attention.

    With `masked` there is a second input ``keep [batch, 1, 1, 5]``, true for the tokens to attend to.
    """
    rng = np.random.default_rng(0)
    weights = {f"w{k}": rng.normal(0, 0.3, (HIDDEN, HIDDEN)).astype(np.float32) for k in "qkv"}
    weights["heads"] = np.array([0, 0, HEADS, SIZE] if rank == 4 else [-1, 5, SIZE], np.int64)
    weights["flat"] = np.array([0, 0, HIDDEN] if rank == 4 else [-1, 5, HIDDEN], np.int64)
    weights["zero"], weights["lowest"] = np.array(0, np.float32), np.array(-np.inf, np.float32)
    weights["scale"] = np.array(SIZE**-0.5, np.float32)
    nodes = []
    for k in "qkv":
        nodes.append(helper.make_node("MatMul", ["x", f"w{k}"], [f"{k}0"], f"/block/{k}/MatMul"))
        nodes.append(helper.make_node("Reshape", [f"{k}0", "heads"], [f"{k}1"], f"/block/{k}/Reshape"))
        if rank == 4:
            nodes.append(
                helper.make_node("Transpose", [f"{k}1"], [f"{k}2"], f"/block/{k}/Transpose", perm=[0, 2, 1, 3])
            )
    ready = "2" if rank == 4 else "1"
    if causal:
        inputs = [f"{k}{ready}" for k in "qkv"]
        nodes.append(helper.make_node("Attention", inputs, ["a"], "/block/Attention", is_causal=1))
    else:
        nodes += [
            helper.make_node(
                "Transpose", [f"k{ready}"], ["kt"], "/block/kt", perm=[0, 1, 3, 2] if rank == 4 else [0, 2, 1]
            ),
            helper.make_node("MatMul", [f"q{ready}", "kt"], ["s"], "/block/scores"),
            helper.make_node("Mul", ["s", "scale"], ["s1"], "/block/scale"),
            helper.make_node("Where", ["keep", "zero", "lowest"], ["mask"], "/block/mask"),
            helper.make_node("Add", ["s1", "mask"], ["s2"], "/block/masked"),
            helper.make_node("Softmax", ["s2" if masked else "s1"], ["p"], "/block/Softmax", axis=axis),
            helper.make_node("MatMul", ["p", f"v{ready}"], ["a"], "/block/weighted"),
        ]
    if not masked:
        nodes = [n for n in nodes if n.name not in ("/block/mask", "/block/masked")]
    if rank == 4:
        nodes.append(helper.make_node("Transpose", ["a"], ["at"], "/block/at", perm=[0, 2, 1, 3]))
    nodes.append(helper.make_node("Reshape", ["at" if rank == 4 else "a", "flat"], ["y"], "/block/out"))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if show_weights:
        outputs.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5, HIDDEN])]
        + [helper.make_tensor_value_info("keep", TensorProto.BOOL, ["batch", 1, 1, 5])] * masked,
        outputs,
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    path = folder / "attention.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11), path)
    return lab.load(path)


def weights_only(folder: Path, weights: np.ndarray) -> Model:
    """``x @ weights``, for what happens to the weights."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    path = folder / "weights.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)
