"""Weights in blocks of 4 and 8 bits: right sizes, right answers, whatever form the graph has."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from encoders import cosine, run
from graphs import HIDDEN, attention, weights_only
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms import _gptq
from onnx_lab.transforms._nbits_graph import still_float
from onnx_lab.transforms._nbits_weights import in_blocks, size_in_blocks
from onnx_lab.transforms.code import code_for

Feeds = dict[str, np.ndarray]
HQQ = pytest.param("hqq", marks=pytest.mark.slow)  # it imports torch
METHODS = ["int4", "int8-weights"]


def unpacked(blocks: Any, k: int, bits: int) -> np.ndarray:
    """What the kernels compute with, shape (K, N), written from the operator's specification."""

    def numbers(a: np.ndarray, per_row: int) -> np.ndarray:
        flat = a.reshape(len(a), -1)
        if bits == 4:
            flat = np.stack([flat & 15, flat >> 4], -1).reshape(len(a), -1)
        return flat[:, :per_row].astype(np.float32)

    n, count, _ = blocks.packed.shape
    whole = numbers(blocks.packed, blocks.packed[0].size * 8 // bits).reshape(n, count, -1)
    zeros = blocks.zero_points
    if zeros is None:
        zeros = np.full((n, count), 2 ** (bits - 1), np.float32)
    elif zeros.dtype == np.uint8:
        zeros = numbers(zeros, count)
    return ((whole - zeros[..., None]) * blocks.scales[..., None]).reshape(n, -1)[:, :k].T


@pytest.mark.parametrize("algorithm", ["rtn", HQQ, "k_quant", "gptq"])
@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_is_as_fine_as_its_bits(algorithm: str, bits: int) -> None:
    """Three blocks, the last of them half full: what packs two numbers in a byte meets an odd count."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(80, 24)).astype(np.float32)
    options = {"bits": bits, "block_size": 32, "symmetric": False}
    if algorithm == "gptq":
        blocks = _gptq.gptq(weight, np.eye(80), **options)  # type: ignore[arg-type]
    else:
        blocks = in_blocks(weight, algorithm=algorithm, **options)  # type: ignore[arg-type]
    error = np.abs(unpacked(blocks, 80, bits) - weight).max()
    assert error < 1.05 * np.ptp(weight) / (2**bits - 1)
    if algorithm != "hqq":  # its zero points are float
        assert blocks.nbytes == size_in_blocks(80, 24, **options)  # type: ignore[arg-type]


def test_gptq_changes_products_less_than_rounding() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(96, 40)).astype(np.float32)
    x = (rng.normal(size=(500, 12)) @ rng.normal(size=(12, 96)) + 0.1 * rng.normal(size=(500, 96))).astype(np.float32)
    for symmetric in (False, True):
        options: dict[str, Any] = {"bits": 4, "block_size": 32, "symmetric": symmetric}
        plain = unpacked(in_blocks(weight, algorithm="rtn", **options), 96, 4)
        by_data = unpacked(_gptq.gptq(weight, x.T @ x / len(x), **options), 96, 4)
        assert np.abs(x @ (by_data - weight)).mean() < 0.6 * np.abs(x @ (plain - weight)).mean()


@pytest.mark.slow
def test_second_moments_a_few_at_a_time(bert: Model, feeds: Feeds) -> None:
    graph = bert.to_ir()
    products = [n for n in graph.graph if n.op_type == "MatMul" and n.inputs[1].is_initializer()]
    sizes = {n.inputs[0].name or "": n.inputs[1].shape[0] for n in products}
    at_once = dict(_gptq.second_moments(graph, sizes, [feeds]))
    in_turn = dict(_gptq.second_moments(graph, sizes, [feeds], cap_bytes=70_000))
    assert list(at_once) == list(in_turn) == list(sizes)
    for name, moments in at_once.items():
        np.testing.assert_allclose(moments, in_turn[name], rtol=1e-5)
        assert np.linalg.eigvalsh(moments).max() > 0


STEPS: dict[str, Callable[[Model], Model]] = {
    "as exported": lambda m: m,
    "optimized": lab.optimize,
    "as attention": lambda m: lab.optimize(m, attention="attention"),
    "for cuda": lambda m: lab.optimize(m, target="cuda"),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prepare", STEPS)
def test_after_each_step(bert: Model, feeds: Feeds, prepare: str, method: str) -> None:
    m = STEPS[prepare](bert)
    small = lab.quantize(m, method=method, block_size=32)
    assert cosine(run(small, feeds), run(bert, feeds)) > (0.94 if method == "int4" else 0.9995)
    left = sum(w.const_value.nbytes for w in small.to_ir().graph.initializers.values())
    # two layers of 64: biases weigh more than they would
    assert left < (0.21 if method == "int4" else 0.34) * sum(
        w.const_value.nbytes for w in m.to_ir().graph.initializers.values()
    )
    assert small.header.operators["GatherBlockQuantized"] == 3
    assert not still_float(small.to_ir())


def test_attention_without_a_mask(tmp_path: Path) -> None:
    m = attention(tmp_path)
    fused = lab.optimize(m, attention="attention")
    assert fused.header.operators["Attention"] == 1
    small = lab.quantize(fused, method="int8-weights", block_size=16)
    assert small.header.operators["MatMulNBits"] == 1
    assert "Attention" not in small.header.operators
    x = {"x": np.random.default_rng(1).normal(size=(2, 5, HIDDEN)).astype(np.float32)}
    assert cosine(run(small, x), run(m, x)) > 0.9999


@pytest.mark.parametrize("accuracy_level", [0, 1, 4])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_options_in_the_file(tmp_path: Path, method: str, symmetric: bool, accuracy_level: int) -> None:
    m = weights_only(tmp_path, np.random.default_rng(0).normal(size=(96, 64)))
    small = lab.quantize(m, method=method, block_size=16, symmetric=symmetric, accuracy_level=accuracy_level)
    (node,) = [n for n in onnx.load(small.path).graph.node if n.op_type == "MatMulNBits"]
    given = {a.name: a.i for a in node.attribute}
    assert given.pop("accuracy_level", 0) == accuracy_level
    assert given == {"K": 96, "N": 64, "bits": 4 if method == "int4" else 8, "block_size": 16}
    assert len(node.input) == (3 if symmetric else 4)
    x = {"x": np.random.default_rng(1).normal(size=(4, 96)).astype(np.float32)}
    assert cosine(run(small, x), run(m, x)) > (0.99 if method == "int4" else 0.9998)


def gemms(folder: Path) -> Model:
    """``Gemm`` in four forms, one behind the other; the last one's matrix is not constant."""
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.normal(size=(64, 64)).astype(np.float32) for i in range(4)}
    weights |= {f"b{i}": rng.normal(size=64).astype(np.float32) for i in range(3)}
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h0"], "plain"),
        helper.make_node("Gemm", ["h0", "w1", "b1"], ["h1"], "turned", transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Gemm", ["h1", "w2"], ["h2"], "bare"),
        helper.make_node("Gemm", ["h2", "w3", "b2"], ["h3"], "other", transA=1),
        helper.make_node("Transpose", ["h3"], ["y"], "end", perm=[1, 0]),
    ]
    ends = [helper.make_tensor_value_info(v, TensorProto.FLOAT, [64, 64]) for v in "xy"]
    constants = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "gemms", ends[:1], ends[1:], constants)
    path = folder / "gemms.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return lab.load(path)


def test_gemm_is_written_out(tmp_path: Path) -> None:
    m = gemms(tmp_path)
    small = lab.quantize(m, method="int8-weights", block_size=16)
    assert small.header.operators["MatMulNBits"] == 3
    assert small.header.operators["Gemm"] == 1
    say = small.lineage[-1].notes["say"]
    assert "3 Gemm" in say[0]
    assert any(s.startswith("still float: 1 Gemm") for s in say)
    x = {"x": np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)}
    assert cosine(run(small, x), run(m, x)) > 0.9995
    left = lab.quantize(m, method="int8-weights", block_size=16, exclude_nodes=["turned"])
    assert left.header.operators["Gemm"] == 2


def test_old_opsets_stay_what_they_are(tmp_path: Path) -> None:
    """onnxruntime's quantizer calls a file with tables opset 21, whatever its other nodes mean there."""
    table = np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "look_up"),
        helper.make_node("ReduceMean", ["rows"], ["y"], "mean", axes=[1]),  # since opset 18 axes is an input
    ]
    graph = helper.make_graph(nodes, "old", [ids], [y], [numpy_helper.from_array(table, "table")])
    path = tmp_path / "old.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    for method in METHODS:
        small = lab.quantize(lab.load(path), method=method, block_size=16)
        assert small.header.opsets[""] == 13
        x = {"ids": np.arange(50)}
        assert cosine(run(small, x), run(lab.load(path), x)) > 0.98


def test_a_weight_read_twice_is_stored_once(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    nodes = [helper.make_node("MatMul", [a, "w"], [b], f"by_{a}") for a, b in ("xh", "hy")]
    ends = [helper.make_tensor_value_info(v, TensorProto.FLOAT, ["n", 64]) for v in "xy"]
    graph = helper.make_graph(nodes, "twice", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path / "m.onnx")
    small = lab.quantize(lab.load(tmp_path / "m.onnx"), method="int4")
    assert sorted(small.to_ir().graph.initializers) == ["w_Q4", "w_scales", "w_zero_points"]
    assert small.header.operators == {"MatMulNBits": 2}


def test_what_to_leave_out(bert: Model) -> None:
    m = lab.optimize(bert)
    by_module = lab.quantize(m, method="int4", exclude_nodes=["bert.encoder.layer.0"])
    left = [n for n in by_module.to_ir().graph if n.op_type == "MatMul" and n.inputs[1].is_initializer()]
    assert len(left) == 4
    assert all(module_of(n).startswith("bert.encoder.layer.0") for n in left)
    no_tables = lab.quantize(m, method="int4", exclude_ops=["Gather"])
    assert "GatherBlockQuantized" not in no_tables.header.operators
    tables = lab.quantize(m, method="int4", op_types=["Gather"])
    assert "MatMulNBits" not in tables.header.operators


def test_nodes_keep_module_and_hints(bert: Model) -> None:
    m = lab.optimize(bert)
    small = lab.quantize(m, method="int4")
    assert small.session_hints == m.session_hints
    products = [n for n in small.to_ir().graph if n.op_type == "MatMulNBits"]
    assert products
    assert all(module_of(n) for n in products)


@pytest.mark.parametrize("algorithm", [HQQ, pytest.param("k_quant", marks=pytest.mark.slow), "gptq"])
def test_algorithms(bert: Model, feeds: Feeds, algorithm: str) -> None:
    data = [feeds] if algorithm == "gptq" else None
    small = lab.quantize(lab.optimize(bert), method="int4", algorithm=algorithm, data=data)
    assert cosine(run(small, feeds), run(bert, feeds)) > 0.94
    step = small.lineage[-1]
    assert step.options["algorithm"] == algorithm
    assert ("sha256" in step.options.get("data", "")) is (algorithm == "gptq")


def test_too_small_to_gain() -> None:
    m = lab.quantize(lab.samples.tiny(), method="int8-weights")
    assert m.header.weights == lab.samples.tiny().header.weights
    assert m.lineage[-1].notes["say"][0] == "changed nothing: tiny has only matrices too small to gain (2)"


def test_nothing_of_the_chosen_kind() -> None:
    m = lab.quantize(lab.samples.tiny(), method="int4", op_types=["Gather"])
    assert m.lineage[-1].notes["say"][0].startswith("changed nothing: tiny has no node of the chosen kinds")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bits": 3}, "4 (method='int4') or 8"),
        ({"bits": 8}, "method='int8-weights'"),
        ({"block_size": 20}, "16, 32, 64, 128, 256"),
        ({"accuracy_level": 5}, "0, 1, 2, 3, 4"),
        ({"algorithm": "gpt"}, "did you mean 'gptq'?"),
        ({"algorithm": "gptq"}, "no data"),
        ({"algorithm": "gptq", "data": []}, "data is empty"),
        ({"algorithm": "gptq", "data": iter([{}])}, "exhausted after one pass"),
        ({"algorithm": "hqq", "symmetric": True}, "symmetric with rtn and gptq"),
        ({"algorithm": "hqq", "method": "int8-weights"}, "rtn, k_quant, gptq"),
        ({"algorithm": "hqq", "accuracy_level": 4}, "it computes in float32"),
        ({"data": [{}]}, "data with algorithm='gptq'"),
        ({"op_types": ["Conv"]}, "MatMul, Gemm, Gather"),
        ({"per_channel": False}, "per_channel with method 'dynamic'"),
    ],
)
def test_wrong_words(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.quantize(lab.samples.tiny(), **{"method": "int4", **options})
    assert text in str(caught.value)


def test_silent(bert: Model, feeds: Feeds, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    handlers, level = list(logging.root.handlers), logging.root.level
    for algorithm in ("rtn", "k_quant"):
        lab.quantize(bert, method="int4", algorithm=algorithm, name="silent")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert (logging.root.handlers, logging.root.level) == (handlers, level)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "algorithm"),
    [(m, a) for m in METHODS for a in ("rtn", "k_quant", "hqq", "gptq") if (m, a) != ("int8-weights", "hqq")],
)
def test_plain_code_does_the_same(
    bert: Model,
    feeds: Feeds,
    method: str,
    algorithm: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = [feeds] if algorithm == "gptq" else None
    small = lab.quantize(bert, method=method, algorithm=algorithm, data=data)
    code = code_for(small.lineage[-1])
    assert "onnx_lab" not in code
    shutil.copy(bert.path, tmp_path / "model.onnx")
    np.savez(tmp_path / "calibration.npz", **feeds)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, algorithm, "exec", dont_inherit=True), {"__name__": "plain"})
    theirs = lab.load(tmp_path / f"model-{method}.onnx")
    assert theirs.header.operators["MatMulNBits"] == small.header.operators["MatMulNBits"]
    assert theirs.size_bytes < 1.1 * small.size_bytes
    if algorithm == "gptq":  # the last digit of an activation decides which way a weight goes
        assert cosine(run(theirs, feeds), run(bert, feeds)) > (0.94 if method == "int4" else 0.999)
    else:
        np.testing.assert_allclose(run(theirs, feeds), run(small, feeds), atol=1e-4)


@pytest.mark.slow
def test_sizes_of_a_bert_base(tmp_path: Path) -> None:
    """One layer of the real width with the real vocabulary: each layer has the same share as in the whole."""
    import transformers

    config = transformers.BertConfig(num_hidden_layers=1)
    m = lab.export(transformers.BertForSequenceClassification(config).eval())
    for method, share in (("int4", 0.17), ("int8-weights", 0.262)):
        small = lab.quantize(m, method=method)
        assert small.size_bytes < share * m.size_bytes


@pytest.mark.slow
def test_points_lost_on_the_sample_task() -> None:
    net = lab.samples.bert()
    m = lab.optimize(lab.export(net.model))
    task = net.task.take(200)
    before = lab.accuracy(m, task).value
    for method, points, share in (("int4", 2.0, 0.17), ("int8-weights", 1.0, 0.262)):
        small = lab.quantize(m, method=method)
        assert small.size_bytes < share * m.size_bytes
        assert lab.accuracy(small, task).value > before - points / 100
