"""activations: the tensors asked for, batch by batch, in groups under a cap, and the graph left as it was."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.runtime.activations import tapped

BATCHES = [{"x": np.random.default_rng(i).normal(size=(n, 8)).astype(np.float32)} for i, n in enumerate((2, 5))]


def inner(graph: object) -> list[str]:
    return [v.name for node in graph.graph for v in node.outputs]  # type: ignore[attr-defined]


def test_inputs_inner_tensors_and_outputs_of_every_batch() -> None:
    graph = lab.samples.tiny().to_ir()
    names = inner(graph)
    with tapped(graph, ["x", *names]) as tap:
        seen = list(tap.batches(BATCHES))
    assert [name for name, _ in seen] == ["x", *names] * 2
    assert [value.shape[0] for _, value in seen] == [2] * (len(names) + 1) + [5] * (len(names) + 1)
    want = lab.infer(lab.samples.tiny(), BATCHES[1]).outputs["logits"]
    np.testing.assert_allclose(seen[-1][1], want, atol=1e-6)
    assert [v.name for v in graph.graph.outputs] == ["logits"]


def test_many_tensors_pass_gates_in_groups_under_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = lab.samples.tiny().to_ir()
    names = inner(graph)
    graph.graph.node(0).outputs[0].shape = None  # nothing is known of its rank
    with tapped(graph, names) as tap:
        plain = dict(tap.read(BATCHES[0]))
    monkeypatch.setattr("onnx_lab.runtime.activations._FEW", 0)
    with tapped(graph, names, cap_bytes=1) as tap:
        assert tap.sizes(BATCHES[1]) == {name: 4 * 5 * plain[name].shape[1] for name in names}
        read = list(tap.read(BATCHES[0]))
        alone = tap.fetch(BATCHES[0], names[2:3])
    assert [name for name, _ in read] == names
    assert list(alone) == names[2:3]
    for name, value in read:
        np.testing.assert_array_equal(value, plain[name])
    assert [v.name for v in graph.graph.outputs] == ["logits"]
    assert [v.name for v in graph.graph.inputs] == ["x"]


@pytest.mark.slow
def test_a_session_with_gates_holds_no_tensor_that_was_not_asked_for() -> None:
    nodes: list[ir.Node] = []
    x = ir.val("x", ir.DataType.FLOAT, ("n", 1000))
    flows = x
    for i in range(40):
        nodes.append(ir.node("Tanh", [flows], name=f"tanh{i}"))
        flows = nodes[-1].outputs[0]
        flows.name, flows.type, flows.shape = f"t{i}", x.type, x.shape
    graph = ir.Model(ir.Graph([x], [flows], nodes=nodes, opset_imports={"": 20}, name="deep"), ir_version=10)
    feeds = {"x": np.ones((1000, 1000), np.float32)}  # 4 MB each, 160 MB all
    with tapped(graph, inner(graph)) as tap:
        before = tap.peak_rss_bytes
        assert tap.fetch(feeds, ["t3"])["t3"].shape == (1000, 1000)
        assert tap.peak_rss_bytes - before < 60_000_000


def test_nothing_asked_and_a_name_that_is_not_there() -> None:
    graph = lab.samples.tiny().to_ir()
    with tapped(graph, []) as tap:
        assert list(tap.read(BATCHES[0])) == []
    with pytest.raises(BadInput, match="no tensor 'y'"), tapped(graph, ["y"]):
        raise AssertionError("opened")
