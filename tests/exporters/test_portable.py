"""What the basic optimizations leave, and what is put right after them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from onnx_lab import workspace
from onnx_lab.exporters import _portable
from onnx_lab.produce import write_ir
from onnx_lab.runtime.client import Worker


def keras_like(group: int = 1, mean: tuple[int, ...] = (8,)) -> ir.Model:
    """NHWC in and out: Transpose, Conv, Transpose, Add (bias), Sub (mean), Relu; 4 -> 8 channels."""
    rng = np.random.default_rng(0)
    x = ir.Value(name="x", shape=ir.Shape(["batch", 9, 9, 4]), type=ir.TensorType(ir.DataType.FLOAT))
    arrays = {
        "w": rng.standard_normal((8, 4 // group, 3, 3)),
        "bias": rng.standard_normal((1, 1, 1, 8)),
        "mean": np.asarray(rng.standard_normal(mean)),
    }
    values = {}
    for name, array in arrays.items():
        tensor = ir.tensor(array.astype(np.float32), name=name)
        values[name] = ir.Value(
            name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
    first = ir.node("Transpose", [x], {"perm": [0, 3, 1, 2]}, name="first")
    conv = ir.node("Conv", [first.outputs[0], values["w"]], {"group": group}, name="conv")
    conv.metadata_props["scope"] = "block1"
    back = ir.node("Transpose", [conv.outputs[0]], {"perm": [0, 2, 3, 1]}, name="back")
    bias = ir.node("Add", [back.outputs[0], values["bias"]], name="bias_add")
    mean = ir.node("Sub", [bias.outputs[0], values["mean"]], name="minus_mean")
    relu = ir.node("Relu", [mean.outputs[0]], name="relu")
    y = relu.outputs[0]
    y.name, y.shape, y.type = "y", ir.Shape(["batch", 7, 7, 8]), ir.TensorType(ir.DataType.FLOAT)
    nodes = [first, conv, back, bias, mean, relu]
    graph = ir.Graph([x], [y], nodes=nodes, initializers=list(values.values()), opset_imports={"": 20}, name="g")
    return ir.Model(graph, ir_version=10)


def answer(graph: ir.Model) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    feeds = {"x": np.random.default_rng(1).standard_normal((2, 9, 9, 4)).astype(np.float32)}
    with workspace.scratch() as folder:
        write_ir(graph, folder / "g.onnx")
        with Worker.for_model(workspace.open_model(folder / "g.onnx")) as worker:
            return worker.run(feeds)["y"]  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("group", [1, 2])
def test_a_keras_convolution_becomes_one_node_between_two_transposes(group: int) -> None:
    before = answer(keras_like(group))
    clean, said = _portable.tidied(keras_like(group))
    assert sorted(n.op_type for n in clean.graph) == ["Conv", "Relu", "Transpose", "Transpose"]
    assert said.startswith("6 nodes became 4")
    np.testing.assert_allclose(answer(clean), before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "adds"), [((), 1), ((1,), 0)])
def test_one_number_for_all_channels_is_added_as_before(shape: tuple[int, ...], adds: int) -> None:
    """MobileNet's hard sigmoid adds 3 to everything: a scalar has no axis that could be the channels."""
    graph = keras_like(mean=shape)
    next(n for n in graph.graph if n.op_type == "Sub").op_type = "Add"
    before = answer(graph)
    clean, _ = _portable.tidied(graph)
    assert [n.op_type for n in clean.graph].count("Add") == adds
    np.testing.assert_allclose(answer(clean), before, atol=1e-5)


def test_scopes_axes_and_operator_sets_are_as_they_were() -> None:
    clean, _ = _portable.tidied(keras_like())
    conv = next(n for n in clean.graph if n.op_type == "Conv")
    assert conv.metadata_props["scope"] == "block1"
    assert str(clean.graph.inputs[0].shape) == "[batch,9,9,4]"
    assert dict(clean.opset_imports) == {"": 20}


@pytest.mark.slow
def test_a_bias_that_is_used_elsewhere_stays_where_it_is() -> None:
    graph = keras_like()
    back = next(n for n in graph.graph if n.name == "back")
    graph.graph.outputs.append(back.outputs[0])
    back.outputs[0].name = "early"
    back.outputs[0].type, back.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(["batch", 7, 7, 8])
    before = answer(graph)
    clean, _ = _portable.tidied(graph)
    assert [v.name for v in clean.graph.outputs] == ["y", "early"]
    np.testing.assert_allclose(answer(clean), before, atol=1e-5)


def test_a_graph_that_does_not_run_is_left_as_it_is() -> None:
    graph = keras_like()
    next(n for n in graph.graph if n.name == "relu").op_type = "NoSuchOperator"
    same, said = _portable.tidied(graph)
    assert same is graph
    assert said.startswith("left as the exporter wrote it (6 nodes)")
