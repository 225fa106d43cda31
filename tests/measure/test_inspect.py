"""inspect: counts, weights and attention blocks, read without an engine and without external weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mutants
import numpy as np
import onnx
import pytest
from large import four_gigabytes
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel, WorkerError


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
    path = four_gigabytes(tmp_path)
    before = bytes_read()
    look = lab.inspect(lab.load(path), batch=2)
    assert look.weights[0].size_bytes == 4 << 30
    assert look.macs == 2 * 32_768**2
    assert bytes_read() - before < 50_000_000, "weights were read"


def bytes_read() -> int:
    """What this process and its children read so far, from files and pipes."""
    own = [Path("/proc/self"), *(Path(f"/proc/{pid}") for pid in children())]
    return sum(int(line.split()[1]) for p in own for line in (p / "io").read_text().splitlines() if "rchar" in line)


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def one_node(folder: Path, node: onnx.NodeProto, shape: list[Any], weights: list[TensorProto], opset: int = 20) -> Path:
    """A file of one node, from input x to output y."""
    spec = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "one", [spec("x", TensorProto.FLOAT, shape)], [spec("y", TensorProto.FLOAT, None)], weights
    )
    opsets = [helper.make_opsetid(d, opset if not d else 1) for d in dict.fromkeys(["", node.domain])]
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def constant(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


PRODUCTS = [
    (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), [8, "n"], [constant("w", 8, 3)], 2 * 8 * 3),
    (
        helper.make_node("Conv", ["x", "w"], ["y"], group=2),
        ["n", 4, 6, 6],
        [constant("w", 8, 2, 3, 3)],
        2 * 8 * 16 * 18,
    ),
    (helper.make_node("ConvTranspose", ["x", "w"], ["y"]), ["n", 4, 5, 5], [constant("w", 4, 2, 2, 2)], 2 * 4 * 25 * 8),
    (helper.make_node("Einsum", ["x", "w"], ["y"], equation="bi,io->bo"), ["n", 8], [constant("w", 8, 3)], 2 * 8 * 3),
    (
        helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=5),
        [7, "n", 3],
        [constant("w", 1, 20, 3), constant("r", 1, 20, 5)],
        7 * 20 * 8,
    ),
    (
        helper.make_node("MultiHeadAttention", ["x", "x", "x"], ["y"], domain="com.microsoft", num_heads=2),
        ["n", 6, 8],
        [],
        2 * 2 * 6 * 6 * 8,
    ),
    (
        helper.make_node("Attention", ["x", "w", "b"], ["y"], domain="com.microsoft", num_heads=2),
        ["n", 6, 8],
        [constant("w", 8, 24), constant("b", 24)],
        2 * (6 * 8 * 24 + 2 * 6 * 6 * 8),
    ),
    (helper.make_node("Relu", ["x"], ["y"]), ["n", 8], [], 0),
]


@pytest.mark.parametrize(
    ("node", "shape", "weights", "macs"), PRODUCTS, ids=[n.op_type + n.domain for n, *_ in PRODUCTS]
)
def test_products_are_counted_from_shapes(
    node: onnx.NodeProto, shape: list[Any], weights: list[TensorProto], macs: int, tmp_path: Path
) -> None:
    look = lab.inspect(
        lab.load(one_node(tmp_path, node, shape, weights)), axes={"n": 1 if node.op_type == "LSTM" else 2}
    )
    assert (look.macs, look.unknown_macs) == (macs, {})
    assert look.activations.unknown == 0


def test_products_as_the_profiler_counts_them() -> None:
    m = lab.samples.tiny(features=64)
    assert lab.inspect(m, batch=32).macs == sum(n.macs for n in lab.profile(m, batch=32, runs=1).nodes)


def test_a_product_of_unknown_size_is_said_and_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    node = helper.make_node("MatMul", ["x", "h"], ["y"])
    path = one_node(tmp_path, node, ["n", 8], [])
    proto = onnx.load(path)
    proto.graph.node.insert(0, helper.make_node("Mystery", ["x"], ["h"], domain="elsewhere"))
    proto.opset_import.append(helper.make_opsetid("elsewhere", 3))
    onnx.save(proto, path)
    look = lab.inspect(lab.load(path))
    assert look.unknown_macs == {"MatMul": 1}
    assert "without 1 MatMul" in str(look)
    assert [(d.name, d.nodes) for d in look.domains if d.custom] == [("elsewhere", 1)]
    assert "elsewhere (1 nodes) needs a custom operator library" in str(look)


def test_memory_is_that_of_tensors_alive_at_once() -> None:
    look = lab.inspect(lab.samples.tiny(), batch=10)
    a = look.activations
    column = 10 * 4  # bytes
    # x, which is the caller's, and two of 16 columns: a product and its sum
    assert (a.peak_bytes, a.peak_node, a.tensors, a.unknown) == ((8 + 16 + 16) * column, "first/add", 6, 0)
    assert a.total_bytes == (4 * 16 + 2 * 4) * column


def branches(folder: Path) -> lab.Model:
    (folder / "b").mkdir()
    proto = mutants.base(folder / "b", external=False, function=True)
    onnx.save(proto, folder / "b" / "m.onnx")
    return lab.load(folder / "b" / "m.onnx")


def test_sub_graphs_functions_and_dynamic_axes_are_named(tmp_path: Path) -> None:
    look = lab.inspect(branches(tmp_path), batch=2)
    outer = next(s for s in look.subgraphs if s.attribute == "then_branch" and s.depth == 1)
    assert (outer.node, outer.operator, outer.nodes, outer.operators) == ("choose", "If", 1, {"If": 1})
    assert sorted(s.depth for s in look.subgraphs) == [1, 1, 2, 2]
    assert [(f.name, f.nodes, f.calls) for f in look.functions] == [("own::twice", 1, 1)]
    assert [d.known_by for d in look.domains] == ["ONNX", "this file's own functions"]
    assert look.dynamic_axes == {"batch": ("x[0]", "y[0]")}
    assert look.operators["Neg"] == 2
    for word in ("own::twice (1 nodes, called once)", "choose_again", "batch: x[0], y[0]"):
        assert word in str(look)


def test_modules_roll_up_to_the_whole(tmp_path: Path) -> None:
    look = lab.inspect(branches(tmp_path), batch=2)
    tree = {r.path: r for r in look.modules}
    assert list(tree) == ["net", "net.conv", "net.act", "net.fc", "net.out", ""]
    assert tree["net"].macs == look.macs == tree["net.conv"].macs + tree["net.fc"].macs
    assert tree["net.fc"].weight_bytes == 4 * (64 * 8 + 8)
    assert sum(r.nodes for r in look.modules if not r.depth) == look.nodes
    assert {r.seconds for r in look.modules} == {None}
    assert "net.conv" in str(look)


def test_a_profile_adds_time_to_the_modules(tmp_path: Path) -> None:
    m = branches(tmp_path)
    found = lab.profile(m, runs=2)
    look = lab.inspect(m, profile=found)
    times = {r.path: r.seconds for r in look.modules}
    assert sum(s or 0.0 for p, s in times.items() if "." not in p) == pytest.approx(found.kernels)
    assert (times["net"] or 0.0) >= (times["net.fc"] or 0.0) > 0
    assert "time" in str(look)
    with pytest.raises(BadInput, match="a profile of m"):
        lab.inspect(lab.samples.tiny(), profile=found)


def test_who_runs_what_is_asked_of_the_engine_only_when_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    m = lab.samples.tiny()
    look = lab.inspect(m, target="cpu")
    assert look.providers == {"CPUExecutionProvider": {"Gemm": 2, "Relu": 1}}
    assert "who runs what on cpu" in str(look)
    monkeypatch.setattr("onnx_lab.measure.inspect.Worker", None)
    assert lab.inspect(m).providers == {}


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(BadInput, match="batch=0"):
        lab.inspect(lab.samples.tiny(), batch=0)
    with pytest.raises(BadInput, match="n=-1"):
        lab.inspect(lab.samples.tiny(), axes={"n": -1})


def test_a_crash_of_the_inference_costs_the_shapes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(**_: Any) -> Any:
        raise WorkerError("inferring shapes: it crashed with a segmentation fault")

    monkeypatch.setattr("onnx_lab.runtime.shapes.helper", crash)
    m = lab.samples.tiny(features=24)
    look = lab.inspect(m)
    assert (look.nodes, look.macs, look.unknown_macs) == (6, 0, {"MatMul": 2})
    assert "shapes are not known: inferring shapes: it crashed" in str(look)
    assert lab.nodes(m, "Relu")[0].operator == "Relu"


def test_a_file_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    model = lab.load(attention_file(tmp_path, fused=True))
    model.path.unlink()
    with pytest.raises(BadModel, match="is gone"):
        lab.inspect(model)
