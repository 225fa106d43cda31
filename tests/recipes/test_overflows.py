"""overflows: the first node that leaves float16, with its magnitude, and a block list that mends it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model

X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)


def net(path: Path, nodes: list[onnx.NodeProto], **constants: np.ndarray) -> Model:
    """``x [batch, 8] -> y`` with these nodes."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.fixture
def loud(tmp_path: Path) -> Model:
    """A product that reaches 80,000 and is scaled down again."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["quiet"], "/in/MatMul"),
        helper.make_node("Mul", ["quiet", "up"], ["loud"], "/middle/Mul"),
        helper.make_node("Relu", ["loud"], ["loud_too"], "/middle/Relu"),
        helper.make_node("Div", ["loud_too", "up"], ["y"], "/out/Div"),
    ]
    return net(tmp_path / "loud.onnx", nodes, w=2 * np.eye(8), up=40_000.0)


def test_the_first_node_beyond_float16_is_named_with_its_magnitude(loud: Model) -> None:
    found = lab.overflows(loud, {"x": X})
    assert not found
    assert found.first is not None
    assert (found.first.node, found.first.op, found.first.module) == ("/middle/Mul", "Mul", "middle")
    assert found.first.largest == pytest.approx(80_000)
    assert found.first.becomes == "Inf"
    assert [r.tensor for r in found.rows] == ["loud", "loud_too"]
    assert "first: /middle/Mul (Mul in middle) reaches 8e+04, 1.2 times what float16 holds" in str(found)


def test_the_block_list_goes_into_fp16_and_mends_it(loud: Model) -> None:
    found = lab.overflows(loud, {"x": X})
    assert found.block == ("/middle/Mul", "/middle/Relu", "/out/Div")
    mended = lab.fp16(loud, block_nodes=found.block)
    largest = next(v for v in mended.to_ir().graph.initializers.values() if v.name == "up").const_value
    assert largest.dtype.name == "FLOAT"
    got = lab.infer(mended, {"x": X}).outputs["y"]
    np.testing.assert_allclose(got, 2 * np.maximum(X, 0), atol=2e-3)


def test_nan_of_what_float16_rounds_to_zero(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "small"], ["tiny"], "scale"),
        helper.make_node("Div", ["tiny", "tiny"], ["y"], "ratio"),
    ]
    found = lab.overflows(net(tmp_path / "net.onnx", nodes, small=1e-6), {"x": X / 100})
    assert found.first is not None
    assert (found.first.node, found.first.becomes, found.block) == ("ratio", "NaN", ("ratio",))
    assert "makes NaN or infinity of numbers that float16 holds" in str(found)


def test_what_fits_has_headroom() -> None:
    found = lab.overflows(lab.samples.tiny(), [{"x": X}, {"x": 2 * X}])
    assert found
    assert (found.n, found.block, found.first) == (8, (), None)
    assert found.headroom > 1000
    assert "float16 holds every tensor" in str(found)


def test_half_models_and_no_data_are_refused() -> None:
    with pytest.raises(BadInput, match="has no float32 weights"):
        lab.overflows(lab.fp16(lab.samples.tiny()), {"x": X})
    with pytest.raises(BadInput, match="no data"):
        lab.overflows(lab.samples.tiny(), [])
