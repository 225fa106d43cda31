"""fp16: half the bytes, files that load, and a count of what float16 could not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from branches import as_a_gpu, batches, overflowing
from encoders import run
from graphs import weights_only

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model

TOOLS = ["onnxruntime", "onnxconverter-common"]


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "options", [{}, {"block_ops": ["LayerNormalization"]}, {"block_nodes": ["bert.encoder.layer.0"]}]
)
@pytest.mark.parametrize("optimized", [False, True])
def test_it_loads_and_answers(
    bert: Model, feeds: dict[str, np.ndarray], tool: str, options: dict[str, list[str]], optimized: bool
) -> None:
    m = lab.optimize(bert) if optimized else bert
    half = lab.fp16(m, tool=tool, **options)  # type: ignore[arg-type]
    result = run(half, feeds)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, run(bert, feeds), atol=2e-3)
    assert half.header.weights["float16"] > 50_000


def test_blocked_nodes_keep_their_weights(bert: Model) -> None:
    assert "float32" not in lab.fp16(bert).header.weights
    blocked = lab.fp16(bert, block_nodes=["bert.encoder.layer.0"])
    assert blocked.lineage[-1].notes["kept_float32"] == blocked.header.weights["float32"] > 30_000


def test_inputs_and_outputs_too(tmp_path: Path) -> None:
    m = lab.fp16(lab.samples.tiny(), keep_io=False)
    assert (m.inputs[0].dtype, m.outputs[0].dtype) == ("float16", "float16")
    assert run(m, {"x": np.ones((2, 8), np.float16)}).dtype == np.float16


def test_clamped_and_flushed_are_counted(tmp_path: Path) -> None:
    weights = np.full((4, 3), 0.5)
    weights[0] = [1e6, -1e6, np.inf]
    weights[1] = [1e-9, -1e-9, 0.0]
    half = lab.fp16(weights_only(tmp_path, weights))
    notes = half.lineage[-1].notes
    assert notes["clamped"] == {"total": 2, "weights": {"w": 2}}
    assert notes["flushed"] == {"total": 2, "weights": {"w": 2}}
    assert "2 weights above 65504 clamped: w (2)" in notes["say"]
    kept = half.to_ir().graph.initializers["w"].const_value.numpy()  # type: ignore[union-attr]
    np.testing.assert_array_equal(kept[0], np.array([65504, -65504, np.inf], np.float16))
    assert 0 < kept[1, 0] == -kept[1, 1] < 1e-7
    assert kept[1, 2] == 0


def test_limits_are_options(tmp_path: Path) -> None:
    m = weights_only(tmp_path, np.array([[100.0, 1e-3, 1.0]]))
    half = lab.fp16(m, max_finite_val=50.0, min_positive_val=1e-2)
    kept = half.to_ir().graph.initializers["w"].const_value.numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(kept, [[50.0, 1e-2, 1.0]], rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"block_ops": "Matmul"}, "did you mean 'MatMul'?"),
        ({"block_nodes": ["second/ad"]}, "did you mean 'second/add'?"),
        ({"tool": "onnx"}, "onnxruntime, onnxconverter-common"),
        ({"max_finite_val": 1e6}, "the range of float16"),
        ({"min_positive_val": 0.0}, "the range of float16"),
    ],
)
def test_wrong_words(options: dict[str, object], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.fp16(lab.samples.tiny(), **options)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_again_changes_nothing() -> None:
    twice = lab.fp16(lab.fp16(lab.samples.tiny()))
    assert twice.lineage[-1].notes["say"][0].startswith("changed no weight")


@pytest.mark.slow
def test_on_an_int8_file(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    small = lab.quantize(lab.optimize(bert))
    np.testing.assert_allclose(run(lab.fp16(small), feeds), run(small, feeds), atol=5e-3)


def test_session_hints_travel(bert: Model) -> None:
    hints = lab.fp16(lab.optimize(bert)).session_hints
    assert hints == {"disabled_optimizers": ["NchwcTransformer", "SkipLayerNormFusion"]}


@pytest.mark.parametrize("shared", [False, True])
def test_between_blocked_nodes_nothing_is_float16(tmp_path: Path, shared: bool) -> None:
    m, feeds = overflowing(tmp_path, shared=shared), batches()[0]
    half = lab.fp16(m, block_nodes=["branch"])
    np.testing.assert_allclose(as_a_gpu(half, feeds), as_a_gpu(m, feeds), rtol=1e-2, atol=1e-2)
    assert half.header.operators["Cast"] == 4  # input, output, into the branch and out of it
    assert half.header.weights["float32"] == 2  # the branch's own constants, also where another node reads one


def test_a_blocked_output_is_the_blocked_node(tmp_path: Path) -> None:
    m, feeds = overflowing(tmp_path), batches()[0]
    half = lab.fp16(m, block_nodes=["*"])
    assert "Cast" not in half.header.operators
    assert [o.name for o in half.outputs] == ["y"]
    np.testing.assert_array_equal(as_a_gpu(half, feeds), as_a_gpu(m, feeds))
