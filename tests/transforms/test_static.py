"""Static int8: it answers as the float model does, leaves the output float, and says what it did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from encoders import cosine, run
from graphs import weights_only
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for

RNG = np.random.default_rng(0)
TINY = [{"x": RNG.normal(size=(8, 8)).astype(np.float32)} for _ in range(4)]
PICTURES = [{"x": RNG.normal(size=(4, 3, 12, 12)).astype(np.float32)} for _ in range(4)]


def pictures(folder: Path) -> Model:
    """Conv, BatchNormalization and Relu with a shortcut, pooling, and a classifier with its Softmax."""
    weights = {
        "w1": RNG.normal(size=(8, 3, 3, 3)) / 5,
        "w2": RNG.normal(size=(8, 8, 3, 3)) / 8,
        "b": RNG.normal(size=8) / 5,
        "gain": RNG.uniform(0.5, 2, 8),
        "shift": RNG.normal(size=8) / 3,
        "mean": RNG.normal(size=8) / 3,
        "var": RNG.uniform(0.5, 2, 8),
        "wc": RNG.normal(size=(8, 5)),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b"], ["c1"], "first", **pads),
        helper.make_node("BatchNormalization", ["c1", "gain", "shift", "mean", "var"], ["n1"], "norm"),
        helper.make_node("Relu", ["n1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "second", **pads),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Add", ["r1", "r2"], ["s"], "shortcut"),
        helper.make_node("MaxPool", ["s"], ["p"], "largest", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"], "pool"),
        helper.make_node("Flatten", ["g"], ["f"], "flat"),
        helper.make_node("MatMul", ["f", "wc"], ["scores"], "classifier"),
        helper.make_node("Softmax", ["scores"], ["y"], "softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "pictures",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    path = folder / "pictures.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


def answers(m: Model, data: list[dict[str, np.ndarray]]) -> np.ndarray:
    return np.concatenate([run(m, feeds) for feeds in data])


def said(m: Model) -> str:
    return "\n".join(m.lineage[-1].notes["say"])


def test_a_picture_network(tmp_path: Path) -> None:
    m = pictures(tmp_path)
    small = lab.quantize(m, method="static", data=PICTURES)
    np.testing.assert_allclose(answers(small, PICTURES), answers(m, PICTURES), atol=0.03)
    kinds = small.header.operators
    assert "BatchNormalization" not in kinds, "folded before it is calibrated"
    assert small.lineage[-1].notes["quantized"] == {"Conv": 2}
    graph = small.to_ir().graph
    made_by = {o.name: n for n in graph for o in n.outputs}
    for node in graph:
        if node.op_type in ("MaxPool", "Add", "GlobalAveragePool"):  # 8 bits from the first Conv to the classifier
            assert {v.producer().op_type for v in node.inputs} == {"DequantizeLinear"}  # type: ignore[union-attr]
            assert [c.op_type for c in node.outputs[0].consumers()] == ["QuantizeLinear"]
    scores = made_by["scores"]
    assert made_by["y"].inputs[0] is scores.outputs[0]
    assert scores.inputs[1].const_value.dtype.name == "FLOAT"  # type: ignore[union-attr]
    assert "float: MatMul 'classifier', Softmax 'softmax'" in said(small)
    assert "minmax on 16 samples in 4 batches" in said(small)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"calibration": "percentile"},
        {"calibration": "entropy"},
        {"calibration": "distribution"},
        {"format": "qoperator"},
        {"format": "qoperator", "per_channel": False, "weight_type": "uint8"},
        {"symmetric": True},
        {"activation_type": "int8"},
        {"quantize_output": True, "reduce_range": False},
    ],
    ids=str,
)
def test_each_option_keeps_the_answers(tmp_path: Path, options: dict[str, Any]) -> None:
    m = pictures(tmp_path)
    small = lab.quantize(m, method="static", data=PICTURES, **options)
    assert cosine(answers(small, PICTURES), answers(m, PICTURES)) > 0.995
    done = small.lineage[-1].notes["quantized"]
    assert done == ({"Conv": 2, "MatMul": 1} if "quantize_output" in options else {"Conv": 2})
    kinds = small.header.operators
    if options.get("format") == "qoperator":
        assert kinds["QLinearConv"] == 2
        assert "QLinearAdd" in kinds
    else:
        assert kinds["QuantizeLinear"] > 2


def test_weights_have_a_scale_for_each_channel_and_seven_bits_where_asked(tmp_path: Path) -> None:
    m = pictures(tmp_path)
    small = lab.quantize(m, method="static", data=PICTURES, reduce_range=True, exclude_nodes=["second"])
    graph = small.to_ir().graph
    held = [[v.const_value for v in n.inputs if v is not None] for n in graph if n.op_type == "DequantizeLinear"]
    weights = [(w.numpy(), scale) for w, scale, *_ in held if w is not None and scale is not None and len(w.shape) == 4]
    ((weight, scale),) = weights  # the second Conv was left out
    assert weight.shape == (8, 3, 3, 3)
    assert np.abs(weight).max() == 64
    assert scale.numpy().shape == (8,)


@pytest.mark.slow
def test_the_data_is_part_of_the_key() -> None:
    m = lab.samples.tiny()
    first = lab.quantize(m, method="static", data=TINY)

    class Anew:
        def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
            return iter(TINY)

    assert lab.quantize(m, method="static", data=Anew(), cap_mb=1).cached
    other = lab.quantize(m, method="static", data=[{"x": 2 * f["x"]} for f in TINY])
    assert not other.cached
    assert other.digest != first.digest
    assert first.lineage[-1].options["data"].startswith("32 samples in 4 batches, sha256 ")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "about 100 typical samples"),
        ([], "data is empty"),
        ([{"x": np.zeros((0, 8), np.float32)}], "data is empty"),
        ((f for f in TINY), "exhausted after one pass"),
        (TINY[0], "data=[feeds]"),
        ([TINY[0]["x"]], "batch 0 of data is a ndarray"),
        ([TINY[0], {"x": np.zeros((2, 7), np.float32)}], "batch 1 of data: feed 'x' of float32[2, 7]: axis 1 is 7"),
        ([{"y": TINY[0]["x"]}], "choose from: x"),
        ("32 samples in 4 batches", "a recipe from a lineage takes them as"),
        (lab.Task("t", TINY[:1], np.zeros(8, np.int64), ("a",)), "data is a Task"),
    ],
)
def test_data_that_cannot_be_used(data: Any, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.quantize(lab.samples.tiny(), method="static", data=data)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"calibration": "minmx"}, "did you mean 'minmax'?"),
        ({"format": "qdqs"}, "did you mean 'qdq'?"),
        ({"activation_type": "int8", "weight_type": "uint8"}, "weight_type='int8'"),
        ({"percentile": 0.99}, "99.999 is usual"),
        ({"cap_mb": 0}, "above 0"),
        ({"op_types": ["LSTM"]}, "Conv, ConvTranspose"),
        ({"exclude_nodes": ["nowhere"]}, "no node and no module"),
    ],
)
def test_wrong_words(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.quantize(lab.samples.tiny(), method="static", data=TINY, **options)
    assert text in str(caught.value)


def test_nothing_to_quantize(tmp_path: Path) -> None:
    m = weights_only(tmp_path, RNG.normal(size=(8, 4)))
    with pytest.raises(TransformError, match="only what makes the output"):
        lab.quantize(m, method="static", data=TINY)
    with pytest.raises(TransformError, match="no node of the kinds Conv"):
        lab.quantize(m, method="static", data=TINY, op_types=["Conv"])
    whole = lab.quantize(m, method="static", data=TINY, quantize_output=True)
    assert whole.lineage[-1].notes["quantized"] == {"MatMul": 1}


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
def test_a_transformer(bert: Model, feeds: dict[str, np.ndarray], fused: bool) -> None:
    """Attention's own products stay float, and padding still changes nothing."""
    m = lab.optimize(bert) if fused else bert
    small = lab.quantize(m, method="static", data=[feeds])
    assert cosine(run(small, feeds), run(bert, feeds)) > 0.99
    done = small.lineage[-1].notes["quantized"]
    assert done["Gather"] == 3
    assert done["MatMul"] >= 8
    assert "suspicious" not in said(small)
    if not fused:
        assert "4 products of two activations (attention)" in said(small)
    dequantized = [n for n in small.to_ir().graph if n.op_type == "DequantizeLinear"]
    assert sum(bool(module_of(n)) for n in dequantized) == len(dequantized)
    other = {**feeds, "input_ids": np.where(feeds["attention_mask"] == 0, 7, feeds["input_ids"])}
    np.testing.assert_allclose(run(small, other), run(small, feeds), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["qdq", "qoperator"])
def test_its_plain_code_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    m = pictures(tmp_path)
    small = lab.quantize(m, method="static", data=PICTURES, format=chosen, exclude_nodes=["second"])
    folder = tmp_path / "plain"
    folder.mkdir()
    m.save(folder / "model.onnx")
    np.savez(folder / "calibration.npz", x=np.concatenate([f["x"] for f in PICTURES]))
    monkeypatch.chdir(folder)
    code = code_for(small.lineage[-1])
    exec(compile(code, "static", "exec"), {"__name__": "plain"})
    made = lab.load(folder / "model-int8.onnx")
    assert cosine(answers(made, PICTURES), answers(small, PICTURES)) > 0.999
    # the batch normalization is still there: only the lab folds it
    key = "QLinearConv" if chosen == "qoperator" else "Conv"
    assert made.header.operators[key] >= 1
    assert made.header.operators["MatMul"] == 1


def test_dense_layers_behind_convolutions_pass_8_bits_on(tmp_path: Path) -> None:
    # in float a session joins Gemm and Relu, and unpacks the weights at each run
    weights = {"w": (2, 3, 3, 3), "w1": (72, 16), "b1": (16,), "w2": (16, 16), "b2": (16,), "w3": (16, 4), "b3": (4,)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w1", "b1"], ["g1"], "dense1"),
        helper.make_node("Relu", ["g1"], ["r1"], "relu1"),
        helper.make_node("Gemm", ["r1", "w2", "b2"], ["g2"], "dense2"),
        helper.make_node("Relu", ["g2"], ["r2"], "relu2"),
        helper.make_node("Gemm", ["r2", "w3", "b3"], ["y"], "scores"),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array((RNG.normal(size=v) / 4).astype(np.float32), k) for k, v in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "d.onnx")
    m = lab.load(tmp_path / "d.onnx")
    small = lab.quantize(m, method="static", data=PICTURES)
    assert "Relu" not in small.header.operators
    dense = [n for n in small.to_ir().graph if n.op_type == "Gemm"]
    readers = {n.name: {c.op_type for c in n.outputs[0].consumers()} for n in dense}
    assert readers == {"dense1": {"QuantizeLinear"}, "dense2": {"QuantizeLinear"}, "scores": set()}
    assert cosine(answers(small, PICTURES), answers(m, PICTURES)) > 0.99


@pytest.mark.slow
def test_vgg16_keeps_its_answers() -> None:
    net = lab.samples.vgg16(offline=True)
    m = lab.export(net.model, name="vgg16")
    small = lab.quantize(m, method="static", data=net.calibration[:2])
    feeds = list(net.task.feeds)[:10]
    same = answers(small, feeds).argmax(1) == answers(m, feeds).argmax(1)
    assert same.mean() >= 0.99
    assert small.size_bytes < 0.28 * m.size_bytes


@pytest.mark.slow
def test_bert_stays_near_its_accuracy() -> None:
    net = lab.samples.bert()
    m = lab.optimize(lab.export(net.model, name="bert"))
    small = lab.quantize(m, method="static", data=net.calibration[:3])
    task = net.task.take(200)
    before, after = (answers(x, list(task.feeds)).argmax(1) for x in (m, small))
    assert (after == task.labels).mean() > (before == task.labels).mean() - 0.03
    assert small.size_bytes < 0.27 * m.size_bytes
