"""trace: a spoiled weight is named first, NaN too, and what a quantization costs is told node by node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput
from onnx_lab.measure._differences import Sums
from onnx_lab.measure.code import trace_code
from onnx_lab.model import Model

LAYERS = 5
RNG = np.random.default_rng(0)
FEEDS = {"x": RNG.standard_normal((6, 16)).astype(np.float32)}


def deep(path: Path, *, spoil: int | None = None, factor: float = 1.5) -> Model:
    """Five layers, MatMul and Tanh; one weight of one layer may be multiplied."""
    rng = np.random.default_rng(1)
    nodes, weights, flows = [], [], "x"
    for i in range(LAYERS):
        w = rng.standard_normal((16, 16)).astype(np.float32) / 4
        if spoil == i:
            w[:, 0] *= factor
        weights.append(numpy_helper.from_array(w, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [flows, f"w{i}"], [f"product{i}"], name=f"/layer{i}/MatMul"))
        nodes.append(helper.make_node("Tanh", [f"product{i}"], [f"layer{i}"], name=f"/layer{i}/Tanh"))
        flows = f"layer{i}"
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info(flows, TensorProto.FLOAT, ["batch", 16])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return deep(tmp_path_factory.mktemp("whole") / "whole.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 3])
def test_a_spoiled_weight_is_named_first_and_most(whole: Model, tmp_path: Path, layer: int) -> None:
    found = lab.trace(whole, deep(tmp_path / "spoiled.onnx", spoil=layer), FEEDS)
    assert not found
    assert found.first is not None
    assert found.most is not None
    assert found.first.tensor == found.most.tensor == f"product{layer}"
    assert (found.first.module, found.first.op) == (f"layer{layer}", "MatMul")
    assert [r.error for r in found.rows[: 2 * layer]] == [0.0] * 2 * layer
    assert found.exclude[0] == f"/layer{layer}/MatMul"
    said = str(found)
    assert f"first over 0.001: product{layer} (MatMul in layer{layer})" in said
    assert "at the end, layer4" in said


@pytest.mark.slow
def test_the_same_file_agrees_everywhere(whole: Model) -> None:
    found = lab.trace(whole, lab.simplify(whole, name="again"), [FEEDS, FEEDS])
    assert found
    assert found.n == 12
    assert found.first is None
    assert "no tensor is further apart" in str(found)
    assert len(found.to_pandas()) == len(found.rows) == 2 * LAYERS


def test_reading_stops_at_the_first_on_demand(whole: Model, tmp_path: Path) -> None:
    read = []
    spoiled = deep(tmp_path / "spoiled.onnx", spoil=1)
    found = lab.trace(whole, spoiled, FEEDS, stop_at_first=True, progress=read.append)
    assert found.first is not None
    assert found.first.tensor == "product1"
    assert (read[-1]["kind"], read[-1]["done"], read[-1]["of"]) == ("tracing", 3, 2 * LAYERS)
    assert "product1, tensor 3 of 10" in read[-1]["state"]


def test_infinity_is_told_with_its_layer(whole: Model, tmp_path: Path) -> None:
    found = lab.trace(whole, deep(tmp_path / "spoiled.onnx", spoil=2, factor=float("inf")), FEEDS)
    assert found.most is not None
    assert found.most.tensor == "product2"
    assert found.most.bad in ("Inf", "NaN")
    assert found.rows[-1].error > 0


@pytest.mark.slow
def test_what_it_says_to_exclude_makes_an_int8_file_nearer(whole: Model) -> None:
    int8 = lab.quantize(whole, method="static", data=[FEEDS], quantize_output=True)
    found = lab.trace(whole, int8, FEEDS)
    assert {r.tensor for r in found.rows} >= {"layer0", "layer4"}
    nearer = lab.quantize(whole, method="static", data=[FEEDS], quantize_output=True, exclude_nodes=found.exclude)
    assert lab.trace(whole, nearer, FEEDS).rows[-1].error < found.rows[-1].error


@pytest.mark.slow
def test_hidden_positions_do_not_count(bert_like: Model) -> None:
    ids = np.array([[3, 4, 5], [6, 7, 8]])
    feeds = {"ids": ids, "attention_mask": np.array([[1, 1, 1], [1, 0, 0]])}
    graph = bert_like.to_ir()
    table = next(v for v in graph.graph.initializers.values() if v.name == "table")
    spoiled = table.const_value.numpy().copy()
    spoiled[7:] += 1.0  # the words at hidden positions only
    table.const_value = ir.tensor(spoiled, name="table")
    path = Path(str(bert_like.path)).with_name("spoiled.onnx")
    ir.save(graph, path)
    assert lab.trace(bert_like, lab.load(path), feeds)
    assert not lab.trace(bert_like, lab.load(path), {**feeds, "attention_mask": np.ones_like(ids)})


@pytest.fixture
def bert_like(tmp_path: Path) -> Model:
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["words"], name="words"),
            helper.make_node("Cast", ["attention_mask"], ["seen"], to=TensorProto.FLOAT, name="seen"),
        ],
        "net",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "seq"]) for n in ("ids", "attention_mask")],
        [
            helper.make_tensor_value_info("words", TensorProto.FLOAT, ["batch", "seq", 4]),
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, ["batch", "seq"]),
        ],
        [numpy_helper.from_array(np.ones((10, 4), np.float32), "table")],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.mark.slow
def test_strangers_and_no_data_are_refused(whole: Model) -> None:
    with pytest.raises(BadInput, match="no tensor of the same name"):
        lab.trace(whole, lab.samples.tiny(), FEEDS)
    with pytest.raises(BadInput, match="no data"):
        lab.trace(whole, whole, [])


@pytest.mark.slow
def test_it_draws_every_tensor_and_names_the_worst(whole: Model, tmp_path: Path) -> None:
    chart = lab.trace(whole, deep(tmp_path / "spoiled.onnx", spoil=3), FEEDS).plot()
    line, named = chart.figure.data
    assert len(line.x) == 2 * LAYERS
    assert named.text[0] == "product3"
    assert "product3" in repr(chart)


@pytest.mark.slow
def test_the_plain_code_finds_the_same(whole: Model, tmp_path: Path) -> None:
    whole.save(tmp_path / "a.onnx")
    deep(tmp_path / "b.onnx", spoil=3)
    np.save(tmp_path / "x.npy", FEEDS["x"])
    code = trace_code().replace("{...}", '{"x": np.load("x.npy")}')
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    errors = {name: float(e) for name, e in (line.split() for line in told.splitlines())}
    found = lab.trace(whole, lab.load(tmp_path / "b.onnx"), FEEDS)
    assert errors == pytest.approx({r.tensor: r.error for r in found.rows}, rel=1e-4)


def test_sums_over_batches_are_those_of_the_whole() -> None:
    a, b = RNG.standard_normal((2, 70_000)).astype(np.float32)
    sums = Sums()
    for part in np.split(np.arange(70_000), [10, 66_000]):
        sums.add(a[part], b[part])
    r = sums.result("t", "n", "MatMul", "", 0.0)
    assert r.error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a), rel=1e-5)
    assert r.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert r.mean == pytest.approx(np.abs(a - b).mean(), rel=1e-5)
    assert r.largest == np.abs(a - b).max()
    assert r.snr == pytest.approx(-20 * np.log10(r.error))


class Layer(torch.nn.Module):
    """Half of a transformer's layer."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.act, self.dense = torch.nn.Linear(16, 24), torch.nn.GELU(), torch.nn.Linear(24, 16)
        self.norm = torch.nn.LayerNorm(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.dense(self.act(self.wide(x))))


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(Layer(), Layer(), torch.nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def exported(net: torch.nn.Module) -> Model:
    return lab.export(net, torch.rand(2, 5, 16), name="encoder", dynamic=False, check=False)


WORDS = {"x": RNG.standard_normal((2, 5, 16)).astype(np.float32)}


def spoil(m: Model, module: str, path: Path) -> Model:
    """`m` with one column of one weight multiplied."""
    graph = m.to_ir()
    node = next(n for n in graph.graph if n.op_type == "MatMul" and module_of(n) == module)
    weight = node.inputs[1]
    values = weight.const_value.numpy().copy()
    values[:, 3] *= 8
    weight.const_value = ir.tensor(values, name=weight.name)
    ir.save(graph, path)
    return lab.load(path)


@pytest.mark.slow
def test_one_spoiled_weight_is_named_first_by_node_and_module(
    net: torch.nn.Module, exported: Model, tmp_path: Path
) -> None:
    feeds = {exported.inputs[0].name: WORDS["x"]}
    spoiled = spoil(exported, "1.wide", tmp_path / "spoiled.onnx")
    own = lab.trace(net, exported, feeds)
    assert own, own
    assert {r.module for r in own.rows} >= {"0.wide", "0.act", "0.dense", "0.norm", "1.norm", "2"}
    for found in (lab.trace(net, spoiled, feeds), lab.trace(exported, spoiled, feeds)):
        assert found.first is not None
        assert found.most is not None
        assert found.first.module == found.most.module == "1.wide"
        assert "in 1.wide)" in found.sentences[0]
    assert found.first.op == "MatMul"
    assert [(w.module, w.node) for w in found.weights] == [("1.wide", found.first.node)]


@pytest.mark.slow
def test_a_bert_is_matched_with_its_source_and_across_fusion(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, vocab_size=60, num_labels=3
    )
    bert = BertForSequenceClassification(config).eval()
    m = lab.export(bert, name="encoder")
    ids = np.random.default_rng(0).integers(5, 60, (3, 12))
    mask = np.ones_like(ids)
    mask[1, 6:] = 0
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    fused = lab.trace(bert, lab.optimize(m), feeds)
    assert fused, fused
    assert ("bert.encoder.layer.0.attention.self", "MultiHeadAttention") in {(r.module, r.op) for r in fused.rows}
    module = "bert.encoder.layer.0.intermediate.dense"  # of the last layer, optimize keeps one token
    found = lab.trace(bert, lab.optimize(spoil(m, module, tmp_path / "spoiled.onnx")), feeds)
    assert found.first is not None
    assert found.first.module == module


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"method": "static"}, {"method": "static", "format": "qoperator"}], ids=str)
def test_a_quantized_file_tells_weights_and_what_to_exclude(whole: Model, options: dict[str, Any]) -> None:
    given = {**options, "data": [FEEDS], "quantize_output": True} if options else {}
    int8 = lab.quantize(whole, **given)
    found = lab.trace(whole, int8, FEEDS)
    assert found.quantized
    assert {w.weight for w in found.weights} == {f"w{i}" for i in range(LAYERS)}
    assert all(w.dtype == "int8" and 25 < w.snr < 60 for w in found.weights)
    assert len({r.tensor.split("_")[0] for r in found.rows}) >= LAYERS
    if options:
        rounded = [r for r in found.rows if r.how == "rounded"]
        assert rounded
        assert all(20 < r.snr < 60 for r in rounded)
    assert found.exclude
    assert set(found.exclude) <= {f"/layer{i}/MatMul" for i in range(LAYERS)}
    nearer = lab.trace(whole, lab.quantize(whole, exclude_nodes=found.exclude, **given), FEEDS)
    assert nearer.rows[-1].error < found.rows[-1].error


@pytest.mark.slow
def test_names_that_are_lost_are_found_again_by_module_or_order(whole: Model, tmp_path: Path) -> None:
    graph = deep(tmp_path / "spoiled.onnx", spoil=2).to_ir()
    for i, v in enumerate([v for n in graph.graph for v in n.outputs]):
        v.name = f"t{i}"
    ir.save(graph, tmp_path / "renamed.onnx")
    found = lab.trace(whole, lab.load(tmp_path / "renamed.onnx"), FEEDS)
    assert [r.tensor for r in found.rows] == ["t1", "t3", "t5", "t7", "t9"]  # what leaves each layer
    assert found.first is not None
    assert (found.first.tensor, found.first.module, found.first.how) == ("t5", "layer2", "module")
    for n in graph.graph:
        n.name = n.name.replace("/", "")
    ir.save(graph, tmp_path / "nameless.onnx")
    found = lab.trace(whole, lab.load(tmp_path / "nameless.onnx"), FEEDS)
    assert found.first is not None
    assert (found.first.tensor, found.first.node, found.first.how) == ("t4", "/layer2/MatMul", "order")


def test_what_is_no_source_is_refused(whole: Model) -> None:
    with pytest.raises(BadInput, match="a list"):
        lab.trace([], whole, FEEDS)
    with pytest.raises(BadInput, match="which module of the Linear"):
        lab.trace(torch.nn.Linear(2, 2), whole, FEEDS)
    with pytest.raises(BadInput, match="as the second"):
        lab.trace(whole, torch.nn.Linear(2, 2), FEEDS)
