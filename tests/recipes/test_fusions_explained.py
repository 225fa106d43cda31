"""explain: each fusion that nearly happened, with the condition that failed; what was fused is not complained about."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.model import Model
from onnx_lab.recipes.fusions_explained import Explanation

SIZE = 8


def net(path: Path, nodes: list[tuple[str, str, str]], outputs: str = "y", **constants: object) -> Model:
    """``x [batch, 4, 8] -> y`` from lines of operator, inputs, output; reductions keep their axes as an input."""
    made = [helper.make_node(op, given.split(), [out], f"/block/{op}_{out}") for op, given, out in nodes]
    weights = [
        numpy_helper.from_array(np.asarray(v, np.int64 if k.startswith("axes") else np.float32), k)
        for k, v in constants.items()
    ]
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, SIZE])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs.split()],
        weights,
    )
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    onnx.save(model, path)
    return lab.load(path)


NORM = [
    ("ReduceMean", "x axes", "mean"),
    ("Sub", "x mean", "d"),
    ("Mul", "d d", "dd"),
    ("ReduceMean", "dd axes", "var"),
    ("Add", "var eps", "var_eps"),
    ("Sqrt", "var_eps", "std"),
    ("Div", "d std", "n"),
    ("Mul", "n scale", "scaled"),
    ("Add", "scaled bias", "y"),
]
OUTSIDE = [("Sqrt", "var", "std"), ("Add", "std eps", "std_eps"), ("Div", "d std_eps", "n")]
ONE = {"axes": [-1], "eps": 1e-5, "scale": np.ones(SIZE), "bias": np.zeros(SIZE)}
GELU = [
    ("Div", "x root", "r"),
    ("Erf", "r", "e"),
    ("Add", "e one", "e1"),
    ("Mul", "x e1", "xe"),
    ("Mul", "xe half", "y"),
]
HALF = {"root": math.sqrt(2), "one": 1.0, "half": 0.5}


def swap(nodes: list[tuple[str, str, str]], **by: tuple[str, str]) -> list[tuple[str, str, str]]:
    """`nodes` with other operators and inputs, by output."""
    return [(*by[out], out) if out in by else (op, given, out) for op, given, out in nodes]


def test_what_is_fused_is_counted_and_nothing_is_left(tmp_path: Path) -> None:
    found = lab.explain(net(tmp_path / "norm.onnx", NORM, **ONE))
    assert found, found
    assert found.made["layer_norm"] == 1
    found = lab.explain(net(tmp_path / "gelu.onnx", GELU, **HALF))
    assert found, found
    assert found.made["gelu"] == 1
    assert "nothing that a fusion is fit for was left" in str(found)


@pytest.mark.parametrize(
    ("nodes", "constants", "reason"),
    [
        (NORM, {"axes": [1], "scale": np.ones((4, 1)), "bias": 0.0}, "its mean runs over axis 1 of [batch, 4, 8]"),
        (swap(NORM, var_eps=("Add", "var mean")), {}, "its epsilon is computed"),
        (
            [*NORM[:4], ("Sqrt", "var", "std"), ("Add", "std eps", "se"), ("Div", "d se", "n"), *NORM[7:]],
            {},
            "behind the root",
        ),
        ([*NORM[:6], ("Div", "d std", "y")], {}, "no scale follows"),
        (swap(NORM, y=("Add", "scaled d")), {}, "x - mean(x) is also used by Add"),
    ],
    ids=["axis", "computed epsilon", "epsilon outside", "no scale", "used elsewhere"],
)
def test_a_norm_that_is_none(
    tmp_path: Path, nodes: list[tuple[str, str, str]], constants: dict[str, Any], reason: str
) -> None:
    found = lab.explain(net(tmp_path / "net.onnx", nodes, **{**ONE, **constants}))
    check(found, "layer_norm", reason)


@pytest.mark.parametrize(
    ("nodes", "constants", "reason"),
    [
        (GELU, {"root": 1.5}, "x is divided by 1.5, where Gelu divides it by √2"),
        (swap(GELU, r=("Mul", "x root")), {"root": 1 / math.sqrt(2)}, "x is multiplied by 0.7071"),
        (GELU, {"half": 0.4}, "multiplied by 0.4, where Gelu has 0.5 x"),
        (swap(GELU, xe=("Mul", "r e1")), {}, "multiplied by 'r', not by the same x"),
        (swap(GELU, y=("Mul", "xe e")), {}, "its Erf is also used by Mul"),
    ],
    ids=["root", "product", "half", "another x", "used elsewhere"],
)
def test_a_gelu_that_is_none(
    tmp_path: Path, nodes: list[tuple[str, str, str]], constants: dict[str, Any], reason: str
) -> None:
    check(lab.explain(net(tmp_path / "net.onnx", nodes, **{**HALF, **constants})), "gelu", reason)


def check(found: Explanation, fusion: str, reason: str) -> None:
    assert not found
    assert [x.fusion for x in found.left] == [fusion]
    assert reason in found.left[0].reason
    assert found.left[0].module == "block"
    assert found.left[0].do
    assert reason in str(found)
    said = found.optimized.lineage[-1].notes["left"]
    assert reason in said[fusion], "the card of optimize says it, too"


def test_a_tanh_that_is_nearly_a_gelu(tmp_path: Path) -> None:
    nodes = [
        ("Pow", "x three", "x3"),
        ("Mul", "x3 small", "s"),
        ("Add", "x s", "sum"),
        ("Mul", "sum factor", "f"),
        ("Tanh", "f", "t"),
        ("Add", "t one", "t1"),
        ("Mul", "t1 half", "h"),
        ("Mul", "x h", "y"),
    ]
    own = {"three": 3.0, "small": 0.044715, "factor": math.sqrt(2 / math.pi), "one": 1.0, "half": 0.5}
    assert lab.explain(net(tmp_path / "right.onnx", nodes, **own))
    check(lab.explain(net(tmp_path / "off.onnx", nodes, **{**own, "small": 0.05})), "gelu", "x³ is multiplied by 0.05")


def test_a_residual_before_a_norm_by_target(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    net(path, [("Relu", "x", "r"), ("Add", "x r", "sum"), ("LayerNormalization", "sum scale bias", "y")], **ONE)
    m = lab.load(path)
    on_cpu = lab.explain(m)
    assert on_cpu
    assert "left apart on purpose" in on_cpu.on_purpose[0].reason
    assert "left apart on purpose" in str(on_cpu)
    on_cuda = lab.explain(m, target="cuda")
    assert on_cuda.made["skip_layer_norm"] == 1, on_cuda
    graph = m.to_ir()
    norm = next(n for n in graph.graph if n.op_type == "LayerNormalization")
    norm.attributes.add(ir.AttrInt64("axis", 1))
    ir.save(graph, tmp_path / "axis.onnx")
    left = lab.explain(lab.load(tmp_path / "axis.onnx"), target="cuda")
    assert "it normalizes from axis 1" in str(left)


def test_an_open_attention_block_is_told_of(tmp_path: Path) -> None:
    nodes = [
        ("MatMul", "x wq", "q"),
        ("MatMul", "x wk", "k"),
        ("Transpose", "k", "kt"),
        ("MatMul", "q kt", "s"),
        ("Softmax", "s", "p"),
        ("MatMul", "p x", "y"),
    ]
    m = net(tmp_path / "net.onnx", nodes, outputs="y p", wq=np.eye(SIZE), wk=np.eye(SIZE))
    graph = m.to_ir()
    graph.graph.node("/block/Transpose_kt").attributes.add(ir.AttrInt64s("perm", [0, 2, 1]))
    ir.save(graph, tmp_path / "attention.onnx")
    found = lab.explain(lab.load(tmp_path / "attention.onnx"))
    assert [x.fusion for x in found.left] == ["attention"]
    assert "attention weights are an output" in found.left[0].reason
