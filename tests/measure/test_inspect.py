"""inspect: counts, weights and attention blocks, read without an engine and without external weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadModel


def attention_file(folder: Path, *, fused: bool) -> Path:
    """One attention block over (batch, 4, 8), open as MatMul, Softmax, MatMul or fused as one node."""
    spec = helper.make_tensor_value_info
    if fused:
        nodes = [helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["y"], domain="com.microsoft", num_heads=2)]
    else:
        nodes = [
            helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["q", "kt"], ["s"]),
            helper.make_node("Mul", ["s", "scale"], ["scaled"]),
            helper.make_node("Softmax", ["scaled"], ["p"]),
            helper.make_node("MatMul", ["p", "v"], ["y"]),
        ]
    scale = numpy_helper.from_array(np.array(0.35, np.float32), "scale")
    graph = helper.make_graph(
        nodes,
        "block",
        [spec(n, TensorProto.FLOAT, ["batch", 4, 8]) for n in "qkv"],
        [spec("y", TensorProto.FLOAT, ["batch", 4, 8])],
        [] if fused else [scale],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    path = folder / "block.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return path


def test_counts_weights_and_lineage() -> None:
    look = lab.inspect(lab.samples.tiny())
    assert look.operators == {"MatMul": 2, "Add": 2, "Relu": 1, "Identity": 1}
    assert (look.nodes, look.glue, look.subgraphs) == (6, 1, ())
    assert [w.name for w in look.weights] == ["w1", "w2", "b1", "b2"]
    assert look.weight_bytes == {"float32": 4 * (8 * 16 + 16 * 4 + 16 + 4)}
    assert [s.verb for s in look.lineage] == ["tiny"]


@pytest.mark.parametrize("fused", [False, True])
def test_attention_blocks_are_found_fused_or_not(tmp_path: Path, fused: bool) -> None:
    look = lab.inspect(lab.load(attention_file(tmp_path, fused=fused)))
    assert (look.attention_blocks, look.attention_fused) == (1, int(fused))
    assert f"{int(fused)} of 1 blocks" in str(look)


def test_a_softmax_alone_is_no_attention(tmp_path: Path) -> None:
    assert lab.inspect(lab.samples.tiny()).attention_blocks == 0


def test_it_shows_itself_and_travels() -> None:
    look = lab.inspect(lab.samples.tiny())
    assert json.loads(look.to_json())["kind"] == "Inspection"
    assert list(look.to_pandas().columns) == ["operator", "nodes", "weight_bytes", "macs", "unknown", "glue"]
    for text in (str(look), look._repr_html_()):
        assert "MatMul" in text
        assert "x: float32[batch, 8]" in text


def test_external_weights_are_not_read(tmp_path: Path) -> None:
    spec = helper.make_tensor_value_info
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[32_768, 32_768])
    weight.data_location = TensorProto.EXTERNAL
    for k, v in (("location", "w.bin"), ("offset", "0"), ("length", str(4 << 30))):
        weight.external_data.add(key=k, value=v)
    with (tmp_path / "w.bin").open("wb") as f:
        f.truncate(4 << 30)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "big",
        [spec("x", TensorProto.FLOAT, ["batch", 32_768])],
        [spec("y", TensorProto.FLOAT, ["batch", 32_768])],
        [weight],
    )
    path = tmp_path / "big.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    assert lab.inspect(lab.load(path)).weights[0].size_bytes == 4 << 30


def test_a_file_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    model = lab.load(attention_file(tmp_path, fused=True))
    model.path.unlink()
    with pytest.raises(BadModel, match="is gone"):
        lab.inspect(model)
