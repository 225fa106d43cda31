"""diff: what became of each node, told by the names of tensors, and of the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.measure.diff import GraphDiff
from onnx_lab.model import Model

Nodes = Sequence[onnx.NodeProto]
node = helper.make_node


def file(place: Path, nodes: Nodes, weights: dict[str, np.ndarray] | None = None, out: str = "y") -> Model:
    """A model of these nodes, from x to `out`, both of any shape."""
    constants = [numpy_helper.from_array(v, k) for k, v in (weights or {}).items()]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", out)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), place)
    return lab.load(place)


@pytest.fixture
def found(tmp_path: Path, request: pytest.FixtureRequest) -> GraphDiff:
    """The diff of two lists of nodes."""
    before, after = request.param
    return lab.diff(file(tmp_path / "a.onnx", before), file(tmp_path / "b.onnx", after))


GELU = [
    node("Erf", ["x"], ["e"], "net/act/erf"),
    node("Add", ["e", "x"], ["s"], "net/act/add"),
    node("Mul", ["s", "x"], ["g"], "net/act/mul"),
    node("Relu", ["g"], ["y"], "end"),
]
FUSED = [node("Gelu", ["x"], ["g"], "gelu", domain="com.microsoft"), node("Relu", ["g"], ["y"], "end")]


@pytest.mark.parametrize("found", [(GELU, FUSED)], indirect=True)
def test_several_nodes_that_became_one(found: GraphDiff) -> None:
    assert found.counts == {"fused": 1}
    (change,) = found.changes
    assert change.before == ("net/act/erf", "net/act/add", "net/act/mul")
    assert change.after == ("gelu",)
    assert change.text == "Erf + Add + Mul → Gelu"
    assert (found.kept, found.nodes_a, found.nodes_b) == (1, 4, 2)


@pytest.mark.parametrize(
    "found",
    [(
        [node("Shape", ["x"], ["n"], "shared"), node("Expand", ["x", "n"], ["p"], "one"),
         node("Neg", ["p"], ["q"], "n1"), node("Expand", ["q", "n"], ["r"], "two"), node("Abs", ["r"], ["y"], "n2")],
        [node("Relu", ["x"], ["p"], "one'"), node("Neg", ["p"], ["q"], "n1"), node("Tanh", ["q"], ["r"], "two'"),
         node("Abs", ["r"], ["y"], "n2")],
    )],
    indirect=True,
)  # fmt: skip
def test_what_fed_several_places_is_removed_and_glues_nothing_together(found: GraphDiff) -> None:
    assert found.counts == {"retyped": 2, "removed": 1}
    assert [c.text for c in found.of("retyped")] == ["Expand → Relu", "Expand → Tanh"]
    assert found.of("removed")[0].before == ("shared",)


@pytest.mark.parametrize(
    "found",
    [(
        [node("Neg", ["x"], ["h"], "n"), node("Identity", ["h"], ["i"], "gone"), node("Abs", ["i"], ["y"], "last")],
        [node("Neg", ["x"], ["h"], "n"), node("Cast", ["h"], ["c"], "new", to=1), node("Abs", ["c"], ["y"], "last")],
    )],
    indirect=True,
)  # fmt: skip
def test_removed_and_added(found: GraphDiff) -> None:
    assert {(c.kind, *c.before, *c.after) for c in found.changes} == {("removed", "gone"), ("added", "new")}
    assert "1 node removed: Identity" in found.sentences


@pytest.mark.parametrize(
    "found",
    [([node("Softmax", ["x"], ["y"], "s", axis=1)], [node("Softmax", ["x"], ["y"], "s", axis=-1)])],
    indirect=True,
)
def test_attributes(found: GraphDiff) -> None:
    assert [(c.kind, c.detail) for c in found.changes] == [("changed", "axis: 1 → -1")]


@pytest.mark.parametrize(
    "found",
    [(
        [node("Neg", ["x"], ["h"], "a"), node("Abs", ["h"], ["y"], "b")],
        [node("Neg", ["x"], ["tensor_7"], "n0"), node("Abs", ["tensor_7"], ["y"], "n1")],
    )],
    indirect=True,
)  # fmt: skip
def test_a_node_that_was_renamed_is_the_same(found: GraphDiff) -> None:
    assert not found
    assert found.kept == 2


def test_a_weight_of_another_type_and_one_that_is_called_after_it(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"], "mm"), node("Add", ["h", "b"], ["y"], "add")]
    ones = np.ones((8, 8), np.float32)
    a = file(tmp_path / "a.onnx", nodes, {"w": ones, "b": ones[0]})
    half = [node("MatMulInteger", ["x", "w_quantized"], ["h"], "mm"), nodes[1]]
    b = file(tmp_path / "b.onnx", half, {"w_quantized": ones.astype(np.int8), "b": ones[0].astype(np.float16)})
    found = lab.diff(a, b)
    kinds = {w.name: (w.before, w.after, w.bytes_before, w.bytes_after) for w in found.weights}
    assert kinds == {"w": ("float32", "int8", 256, 64), "b": ("float32", "float16", 32, 16)}
    assert "1 from float32 to int8" in found.sentences[-1]


def test_a_transform_of_the_lab(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    found = lab.diff(m, lab.quantize(m))
    assert [c.ops_before for c in found.of("rewritten")] == [("MatMul",)] * 2
    assert {w.after for w in found.weights if w.before} == {"int8"}
    text = str(found)
    assert "MatMul → DynamicQuantizeLinear" in text
    records = found.to_pandas()
    assert list(records.columns) == ["kind", "module", "before", "after", "nodes_before", "nodes_after", "detail"]
    assert json.loads(found.to_json())["kind"] == "GraphDiff"
    assert "<table" in found._repr_html_()
    assert found.plot().tables


def test_the_same_model_has_no_difference() -> None:
    m = lab.samples.tiny()
    found = lab.diff(m, m)
    assert not found
    assert found.sentences == ("tiny has the nodes and weights of tiny",)


def test_an_unknown_kind_is_refused() -> None:
    m = lab.samples.tiny()
    with pytest.raises(BadInput, match="fused, rewritten"):
        lab.diff(m, m).of("melted")
