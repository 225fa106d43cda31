"""bf16: half the bytes that run everywhere, or bfloat16 throughout; rounding counted from the weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from branches import save
from encoders import run
from graphs import weights_only
from onnx import TensorProto, helper

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for


def to_bfloat16(weight: np.ndarray) -> np.ndarray:
    """Nearest, ties to even, by integers: an account of its own."""
    bits = np.ascontiguousarray(weight, np.float32).view(np.uint32).astype(np.uint64)
    kept = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16
    return kept.astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("optimized", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_half_the_bytes_and_float32_arithmetic(bert: Model, feeds: dict[str, np.ndarray], optimized: bool) -> None:
    m = lab.optimize(bert) if optimized else bert
    small = lab.bf16(m)
    assert small.header.weights["bfloat16"] > 50_000
    assert small.header.weights["float32"] < 100
    np.testing.assert_allclose(run(small, feeds), run(bert, feeds), atol=2e-2)
    assert any("runs wherever the float32 file runs" in s for s in small.lineage[-1].notes["say"])


def test_rounding_is_to_nearest_even_and_counted(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    weights[0] = [1 + 2**-8, 1 + 3 * 2**-8, 0, np.inf, np.finfo(np.float32).max, -np.finfo(np.float32).max, 1e-41, 2.0]
    small = lab.bf16(weights_only(tmp_path, weights))
    kept = small.to_ir().graph.initializers["w.bf16"].const_value.numpy().astype(np.float32)  # type: ignore[union-attr]
    largest = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
    np.testing.assert_array_equal(kept[0], [1, 1 + 2**-6, 0, np.inf, largest, -largest, 0, 2])
    np.testing.assert_array_equal(kept[1:], to_bfloat16(weights[1:]))
    notes = small.lineage[-1].notes
    assert (notes["stored"], notes["clamped"], notes["flushed"]) == (128, 2, 1)
    assert notes["rounded"] == int((to_bfloat16(weights[1:]) != weights[1:]).sum()) + 5
    usual = np.r_[weights[0, :2], weights[1:].ravel()].astype(np.float64)
    rounded = to_bfloat16(usual.astype(np.float32))
    assert notes["largest_relative"] == pytest.approx(np.abs(rounded / usual - 1).max())
    assert "2 weights beyond the largest bfloat16, 3.39e38, clamped to it" in notes["say"]


def test_blocked_weights_stay(bert: Model) -> None:
    blocked = lab.bf16(bert, block_nodes=["bert.encoder.layer.0"])
    assert blocked.header.weights["float32"] > 30_000
    assert "bfloat16" not in lab.bf16(lab.samples.tiny(), block_ops=["MatMul"]).header.weights


def test_bfloat16_between_nodes_is_the_same_graph(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    brain = lab.bf16(m, arithmetic="bfloat16", keep_io=False)
    assert brain.header.weights == {"bfloat16": 212}
    assert (brain.inputs[0].dtype, brain.outputs[0].dtype) == ("bfloat16", "bfloat16")
    proto = brain.to_proto()
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(proto, strict_mode=True), full_check=True)
    assert "not for the CPU provider" in brain.lineage[-1].notes["say"][-1]  # asked of the one that is installed
    # with the types put back it is the model, but for the rounding of its weights
    for tensor in proto.graph.initializer:
        exact = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(exact, tensor.name))
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(proto, tmp_path / "back.onnx")
    x = {"x": np.ones((2, 8), np.float32)}
    np.testing.assert_allclose(run(lab.load(tmp_path / "back.onnx"), x), run(m, x), atol=2e-2)


def test_operators_that_take_no_bfloat16_stay_float32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Asin", ["a"], ["b"], "asin"),
        helper.make_node("Add", ["b", "w"], ["y"], "sum"),
    ]
    m = save(tmp_path / "asin.onnx", nodes, {"w": np.zeros((8, 8))})
    brain = lab.bf16(m, arithmetic="bfloat16")
    assert brain.lineage[-1].notes["float32_nodes"] == ["asin"]
    graph = {n.name: n for n in brain.to_ir().graph}
    assert [v.dtype.name for v in graph["asin"].outputs] == ["FLOAT"]  # type: ignore[union-attr]
    assert [v.dtype.name for v in graph["product"].outputs] == ["BFLOAT16"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"arithmetic": "bf16"}, "float32, bfloat16"),
        ({"keep_io": False}, "arithmetic='bfloat16'"),
        ({"block_ops": "Matmul"}, "did you mean 'MatMul'?"),
        ({"block_nodes": ["second/ad"]}, "did you mean 'second/add'?"),
    ],
)
def test_wrong_words(options: dict[str, object], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.bf16(lab.samples.tiny(), **options)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_old_opsets_and_float16_are_refused(tmp_path: Path) -> None:
    old = save(tmp_path / "old.onnx", [helper.make_node("Relu", ["x"], ["y"], "relu")], {}, opset=11)
    with pytest.raises(TransformError, match="opset 11"):
        lab.bf16(old)
    with pytest.raises(TransformError, match="has float16 weights"):
        lab.bf16(lab.fp16(lab.samples.tiny()), arithmetic="bfloat16")


def test_nothing_to_do_is_said() -> None:
    twice = lab.bf16(lab.bf16(lab.samples.tiny()))
    assert twice.lineage[-1].notes["say"][0].startswith("changed nothing")


@pytest.mark.slow
def test_scales_of_integers_stay_exact(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    small = lab.quantize(lab.optimize(bert))
    np.testing.assert_allclose(run(lab.bf16(small), feeds), run(small, feeds), atol=3e-2)


@pytest.mark.slow
def test_the_plain_code_runs(
    bert: Model, feeds: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = lab.bf16(bert)
    shutil.copy(bert.path, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    exec(compile(code_for(small.lineage[-1]), "plain", "exec"), {"__name__": "plain"})
    np.testing.assert_allclose(run(lab.load("model-bf16.onnx"), feeds), run(small, feeds), atol=1e-5)
    with pytest.raises(BadInput, match="no plain code for arithmetic='bfloat16'"):
        code_for(lab.bf16(bert, arithmetic="bfloat16").lineage[-1])
