"""activations: the tensors asked for, batch by batch, in groups under a cap, and the graph left as it was."""

from __future__ import annotations

import numpy as np
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


def test_a_cap_makes_groups_and_a_larger_tensor_is_alone() -> None:
    graph = lab.samples.tiny().to_ir()
    with tapped(graph, inner(graph), cap_bytes=1) as tap:
        first = dict(tap.read(BATCHES[0]))
        assert tap._groups() == [[name] for name in inner(graph)]
        assert {k: v.tobytes() for k, v in tap.read(BATCHES[0])} == {k: v.tobytes() for k, v in first.items()}


def test_nothing_asked_and_a_name_that_is_not_there() -> None:
    graph = lab.samples.tiny().to_ir()
    with tapped(graph, []) as tap:
        assert list(tap.read(BATCHES[0])) == []
    with pytest.raises(BadInput, match="no tensor 'y'"), tapped(graph, ["y"]):
        raise AssertionError("opened")
