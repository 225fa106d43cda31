"""profile and why: times by node, operator, kind and module, and sentences that follow from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.measure._kinds import WORDS, kind_of, macs_of
from onnx_lab.measure._result import this_machine
from onnx_lab.measure.profile import NodeTime, Profile
from onnx_lab.measure.why import reasons
from onnx_lab.runtime._hardware import memory_bandwidth
from onnx_lab.runtime._profiling import read_profile

CPU = "CPUExecutionProvider"


@pytest.fixture(scope="module")
def found() -> Profile:
    return lab.profile(lab.samples.tiny(features=64), batch=32, runs=5)


def made(kinds: dict[str, float], *, busy: float = 0.95, model: str = "m", macs: int = 0) -> Profile:
    """A profile of one node for each kind, in seconds."""
    nodes = tuple(NodeTime(k, k, CPU, k, "", s, macs if k in ("int8", "float") else 0) for k, s in kinds.items())
    base = lab.profile(lab.samples.tiny(), runs=1)
    return dataclasses.replace(base, model=model, nodes=nodes, seconds=sum(kinds.values()), busy=busy)


def test_every_kernel_has_a_time_a_kind_and_its_products(found: Profile) -> None:
    assert found.runs == 5
    assert {n.op for n in found.nodes} == {"Gemm", "FusedGemm"}
    assert [n.seconds for n in found.nodes] == sorted((n.seconds for n in found.nodes), reverse=True)
    assert {n.kind for n in found.nodes} == {"float"}
    assert sorted(n.macs for n in found.nodes) == [32 * 16 * 4, 32 * 64 * 16]
    assert 0 < found.busy <= 1
    assert found.kinds == {"float": 1.0}
    assert found.rate("float") > 0
    assert sorted(n.weight_bytes for n in found.nodes) == [4 * 16 * 4, 4 * 64 * 16]
    assert sum(found.operators.values()) == pytest.approx(found.kernels)


def test_it_shows_itself(found: Profile) -> None:
    text = str(found)
    assert "profile of tiny on cpu" in text
    assert "100% float products at" in text
    assert "x [32, 64]" in text
    assert found.to_pandas().shape[0] == len(found.nodes)


def test_a_compiled_graph_is_one_kind_and_convolutions_count() -> None:
    assert kind_of("MatMul", "OpenVINOExecutionProvider") == "compiled"
    assert kind_of("QAttention", CPU) == "attention"
    assert kind_of("NoSuchOperator", CPU) == "other"
    assert set(WORDS) >= {kind_of(op, CPU) for op in ("Conv", "MatMulNBits", "Cast", "Softmax", "Reshape", "Tanh")}
    assert macs_of("Conv", [("float", [1, 3, 8, 8]), ("float", [4, 3, 3, 3])], [("float", [1, 4, 6, 6])]) == 144 * 27
    assert macs_of("Relu", [("float", [2])], [("float", [2])]) == 0


@pytest.mark.slow
def test_channels_that_a_session_fills_up_are_no_work(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> slim (float[N, 3, 8, 8] x) => (float[N, 5, 4, 4] z) <
    float[9, 3, 3, 3] first = {%s}, float[5, 9, 3, 3] second = {%s}> { y = Conv(x, first) z = Conv(y, second) }"""
    model = onnx.parser.parse_model(text % (", ".join(["0.5"] * 243), ", ".join(["0.5"] * 405)))
    for node, name in zip(model.graph.node, ("a", "b"), strict=True):
        node.name = name
    onnx.save(model, tmp_path / "slim.onnx")
    m = lab.load(tmp_path / "slim.onnx")
    convolutions = 2 * 9 * 36 * 27 + 2 * 5 * 16 * 81
    assert sum(n.macs for n in lab.profile(m, batch=2, runs=1).nodes) == convolutions
    data = [{"x": np.ones((1, 3, 8, 8), np.float32)}]
    int8 = lab.quantize(m, method="static", data=data, quantize_output=True)
    assert sum(n.macs for n in lab.profile(int8, batch=2, runs=1).nodes) == convolutions


def test_warm_up_runs_do_not_count(tmp_path: Path) -> None:
    events = []
    for i, us in enumerate((900, 100, 120)):
        events += [{"cat": "Session", "name": "model_run", "dur": us, "ts": i}]
        args = {"op_name": "Add", "provider": CPU, "node_index": "0"}
        events += [{"cat": "Node", "name": "add_kernel_time", "dur": us // 2, "ts": i, "args": args}]
    file = tmp_path / "p.json"
    file.write_text(__import__("json").dumps(events))
    read = read_profile(file, 1)
    assert (read["seconds"], read["runs"], read["busy"]) == (110e-6, 2, 0.5)
    assert read["nodes"] == [
        {"name": "add", "op": "Add", "provider": CPU, "inputs": [], "outputs": [], "seconds": 55e-6}
    ]


def test_reasons_name_the_work_the_rate_and_what_was_added() -> None:
    fp32 = made({"float": 0.9, "normalization": 0.1}, model="fp32", macs=9_000_000_000)
    int8 = made({"int8": 0.3, "scaling": 0.2, "float": 0.1}, macs=9_000_000_000, busy=0.5)
    said = "\n".join(reasons(int8, fp32))
    assert "50% of the kernels' time is 8-bit products, 30 GMAC/s" in said
    assert "8-bit products run at 3.0 times the rate of fp32's float products" in said
    assert "17% of the time is still float products (1 nodes, 50% of the multiply-accumulates)" in said
    assert "scaling to and from 8 bits: 33% of the time in 1 nodes, where fp32 has 0" in said
    assert "50% of a run is spent between kernels" in said


@pytest.mark.slow
@pytest.mark.parametrize(("gigabytes", "bound"), [(1, False), (5, False), (8, True), (10, True), (40, False)])
def test_weights_as_fast_as_the_memory_gives_them_are_named(
    monkeypatch: pytest.MonkeyPatch, gigabytes: int, bound: bool
) -> None:
    monkeypatch.setattr("onnx_lab.measure.why.memory_bandwidth", lambda: 10e9)
    nodes = (NodeTime("p", "MatMul", CPU, "float", "", 1.0, 10, gigabytes * 10**9),)
    own = dataclasses.replace(made({"float": 1.0}), nodes=nodes)
    assert ("bound by memory" in "\n".join(reasons(own, made({"float": 2.0}, model="fp32")))) == bound


@pytest.mark.slow
def test_the_memory_of_this_machine_is_measured_once() -> None:
    first = memory_bandwidth()
    assert 5e8 < first < 2e12
    assert memory_bandwidth() == first


@pytest.mark.slow
def test_why_profiles_both_on_the_same_feeds() -> None:
    m = lab.samples.tiny(features=64)
    found = lab.why(lab.quantize(m), m, {"x": np.zeros((3, 64), np.float32)}, runs=3)
    assert found.own.shape == found.others.shape == "x [3, 64]"
    assert "8-bit products" in str(found)
    assert found.ratio > 0
    with pytest.raises(BadInput, match="tiny against itself"):
        lab.why(m, m)
    with pytest.raises(BadInput, match="runs=0"):
        lab.profile(m, runs=0)


def test_why_names_what_keeps_8_bits_slow() -> None:
    def node(name: str, op: str, kind: str, seconds: float, macs: int = 0, provider: str = CPU) -> NodeTime:
        return NodeTime(name, op, provider, kind, "", seconds, macs)

    nodes = (
        node("a", "QLinearMatMul", "int8", 1e-3, 3_000),
        node("b", "MatMul", "float", 2e-3, 1_000),
        node("c", "QuantizeLinear", "scaling", 5e-4),
        node("d", "DequantizeLinear", "scaling", 5e-4),
    )
    own = Profile("int8", "cpu", "", nodes, 4e-3, 1.0, 3, this_machine())
    others = Profile("fp32", "cpu", "", (node("b", "MatMul", "float", 4e-3, 4_000),), 4e-3, 1.0, 3, this_machine())
    said = " | ".join(reasons(own, others))
    assert "75% of the multiply-accumulates run in 8-bit kernels; 1 products stayed float, the largest: b" in said
    assert (
        "1 QuantizeLinear and 1 DequantizeLinear were not fused into 8-bit kernels (25% of the kernels' time)" in said
    )
    assert "for 8-bit products" in said
    there = (node("x", "compiled", "compiled", 1e-3, provider="OpenVINOExecutionProvider"), *nodes[2:])
    fell = Profile("int8", "openvino", "", there, 4e-3, 1.0, 3, this_machine())
    assert "2 kernels fell back to the CPU provider (QuantizeLinear, DequantizeLinear): 50%" in " ".join(
        reasons(fell, others)
    )


@pytest.mark.slow
def test_why_names_the_neighbours_of_scaling_that_was_not_fused() -> None:
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((4, 8)).astype(np.float32)}
    m = lab.samples.tiny()
    int8 = lab.quantize(m, method="static", data=[feeds])
    found = lab.why(int8, m, feeds, runs=3)
    assert any("not fused into 8-bit kernels" in s and "around" in s for s in found.sentences), found
