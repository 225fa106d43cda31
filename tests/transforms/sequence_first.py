"""open_clip's towers with two layers, exported once, and a hand-written block that runs sequence first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.model import Model

HEADS, SIZE, LENGTH = 2, 4, 5
HIDDEN = HEADS * SIZE


def open_clip_model() -> Any:
    """Two small towers whose biases are no zeros: those would be folded away before anything is tested."""
    import open_clip.model
    import torch

    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
    text = {"context_length": 12, "vocab_size": 99, "width": 32, "heads": 2, "layers": 2}
    net = open_clip.model.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text).eval()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name != "logit_scale":
                p.add_(0.05 * torch.randn_like(p))
    return net


def sequence_first(folder: Path, *, wrong: str = "", dims: tuple[Any, Any] = ("batch", LENGTH)) -> Model:
    """``x [batch, 5, 8] -> y``: attention as ``nn.MultiheadAttention`` computes it; `wrong` makes one move another."""
    rng = np.random.default_rng(0)
    length = -1 if isinstance(dims[1], str) else dims[1]
    weights: dict[str, np.ndarray] = {
        "w": rng.normal(0, 0.3, (HIDDEN, 3 * HIDDEN)).astype(np.float32),
        "b": rng.normal(0, 0.3, 3 * HIDDEN).astype(np.float32),
        "wo": rng.normal(0, 0.3, (HIDDEN, HIDDEN)).astype(np.float32),
        "bo": rng.normal(0, 0.3, HIDDEN).astype(np.float32),
        "three": np.array([length, -1, 3, HIDDEN], np.int64),
        "heads": np.array([length, -1, SIZE], np.int64),
        "four": np.array([-1, HEADS, length, SIZE], np.int64),
        "rows": np.array([-1, HIDDEN], np.int64),
        "back": np.array([length, -1, HIDDEN], np.int64),
        "scale": np.array(SIZE**-0.5, np.float32),
        **{f"i{i}": np.array(i, np.int64) for i in range(3)},
    }
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["xt"], "/attn/turn", perm=[1, 0, 2]),
        node("MatMul", ["xt", "w"], ["p"], "/attn/product"),
        node("Add", ["p", "b"], ["pb"], "/attn/bias"),
        node("Reshape", ["pb", "three"], ["p3"], "/attn/three"),
        node("Transpose", ["p3"], ["p4"], "/attn/first", perm=[2, 0, 1, 3]),
    ]
    for i, k in enumerate("qkv"):
        nodes += [
            node("Gather", ["p4", f"i{i}"], [f"{k}0"], f"/attn/{k}"),
            node("Reshape", [f"{k}0", "heads"], [f"{k}1"], f"/attn/{k}/fold"),
            node("Transpose", [f"{k}1"], [f"{k}2"], f"/attn/{k}/turn", perm=[1, 0, 2]),
            node("Reshape", [f"{k}2", "four"], [f"{k}3"], f"/attn/{k}/heads"),
        ]
    perm = [0, 2, 1, 3] if wrong == "rows" else [2, 0, 1, 3]
    nodes += [
        node("Transpose", ["k3"], ["kt"], "/attn/kt", perm=[0, 1, 3, 2]),
        node("MatMul", ["q3", "kt"], ["s"], "/attn/scores"),
        node("Mul", ["s", "scale"], ["s1"], "/attn/scale"),
        node("Softmax", ["s1"], ["a"], "/attn/Softmax", axis=-1),
        node("MatMul", ["a", "v3"], ["o"], "/attn/weighted"),
        node("Transpose", ["o"], ["ot"], "/attn/ot", perm=perm),
        node("Reshape", ["ot", "rows"], ["or"], "/attn/rows"),
        node("Gemm", ["or", "wo", "bo"], ["og"], "/attn/out", transB=1),
        node("Reshape", ["og", "back"], ["ob"], "/attn/back"),
        node("Transpose", ["ob"], ["y"], "/attn/batch", perm=[1, 0, 2]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if wrong == "shown":  # somebody else wants the projection as it is
        outputs.append(helper.make_tensor_value_info("pb", TensorProto.FLOAT, None))
    made = helper.make_graph(
        nodes,
        "sequence_first",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*dims, HIDDEN])],
        outputs,
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    path = folder / f"sequence-first-{wrong or 'right'}-{dims[0]}-{dims[1]}.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)
