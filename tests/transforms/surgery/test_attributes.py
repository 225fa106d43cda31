"""set_attribute, delete_attribute, replace_op: typed by the operator's schema, in sub-graphs too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_graphs import answer, said, small, value

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for


def norms(folder: Path) -> Model:
    """Two InstanceNormalizations, the second inside an If, and a Conv."""
    inside = helper.make_graph(
        [helper.make_node("InstanceNormalization", ["h", "s", "b"], ["in"], "inner")], "then", [],
        [value("in", np.float32, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["h"], ["out"], "pass")], "else", [], [value("out", np.float32, None)]
    )
    return small(
        folder,
        [
            helper.make_node("InstanceNormalization", ["x", "s", "b"], ["h"], "norm", epsilon=0.5),
            helper.make_node("If", ["flag"], ["i"], "if", then_branch=inside, else_branch=other),
            helper.make_node("Conv", ["i", "w"], ["y"], "conv", kernel_shape=[3, 3]),
        ],
        [("x", np.float32, ["n", 2, 8, 8]), ("flag", np.bool_, [])],
        [("y", np.float32, ["n", 3, 6, 6])],
        {"s": np.ones(2, np.float32), "b": np.zeros(2, np.float32), "w": np.ones((3, 2, 3, 3), np.float32)},
    )


@pytest.mark.slow
def test_the_wrong_epsilon_is_set_right_everywhere_also_inside_an_if(tmp_path: Path) -> None:
    m = norms(tmp_path)
    fixed = lab.surgery.set_attribute(m, "InstanceNormalization", "epsilon", "1e-3")
    assert "epsilon: 0.5 → 0.001 on InstanceNormalization norm" in said(fixed)
    assert "epsilon: 1e-05 (the default) → 0.001 on InstanceNormalization inner" in said(fixed)
    x = np.random.default_rng(0).normal(0, 1, (1, 2, 8, 8)).astype(np.float32)
    mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    h = (x - mean) / np.sqrt(var + 1e-3)
    h = (h - h.mean((2, 3), keepdims=True)) / np.sqrt(h.var((2, 3), keepdims=True) + 1e-3)
    got = answer(fixed, x=x, flag=np.array(True))["y"][0, 0, 0, 0]
    assert got == pytest.approx(h[0, :, :3, :3].sum(), abs=1e-4)
    assert "ir.AttributeType.FLOAT, 0.001" in code_for(fixed.lineage[-1])


def test_an_attribute_that_changes_shapes_is_inferred_through(tmp_path: Path) -> None:
    wide = lab.surgery.set_attribute(norms(tmp_path), "conv", "strides", "2,2", check=False)
    assert wide.outputs[0].shape[1:] == (3, 3, 3)
    assert "shapes behind it are others" in said(wide)


def test_values_and_names_are_held_against_the_schema(tmp_path: Path) -> None:
    m = norms(tmp_path)
    with pytest.raises(BadInput, match=r"epsilon='small'(.|\n)*a number"):
        lab.surgery.set_attribute(m, "norm", "epsilon", "small")
    with pytest.raises(BadInput, match=r"no attribute 'epsilom'(.|\n)*did you mean 'epsilon'"):
        lab.surgery.set_attribute(m, "norm", "epsilom", 1e-3)
    with pytest.raises(BadInput, match=r"group=1.5(.|\n)*whole number"):
        lab.surgery.set_attribute(m, "conv", "group", 1.5)
    with pytest.raises(TransformError, match="Name:'conv'"):  # two groups of one channel each do not fit
        lab.surgery.set_attribute(m, "conv", "group", 2)


def test_an_attribute_deleted_leaves_the_default(tmp_path: Path) -> None:
    bare = lab.surgery.delete_attribute(norms(tmp_path), "*norm*", "epsilon", check=False)
    assert "epsilon=0.5 is gone" in said(bare)
    assert "epsilon" not in bare.to_ir().graph[0].attributes
    cast = small(
        tmp_path, [helper.make_node("Cast", ["x"], ["y"], "cast", to=TensorProto.INT64)],
        [("x", np.float32, ["n"])], [("y", np.int64, ["n"])], name="cast",
    )  # fmt: skip
    with pytest.raises(TransformError, match="Cast cast requires to"):
        lab.surgery.delete_attribute(cast, "cast", "to")


def test_an_operator_is_replaced_by_one_with_its_signature(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    leaky = lab.surgery.replace_op(m, "first/relu", "LeakyRelu", attributes={"alpha": 1})
    assert "Relu → LeakyRelu on first/relu" in said(leaky)
    assert leaky.to_ir().graph[2].attributes["alpha"].value == 1.0
    with pytest.raises(TransformError, match=r"MatMul first/matmul has 2 inputs and Relu has 1"):
        lab.surgery.replace_op(m, "MatMul", "Relu")
    with pytest.raises(BadInput, match=r"'Relv' is not in opset 20(.|\n)*did you mean 'Relu'"):
        lab.surgery.replace_op(m, "MatMul", "Relv")
    with pytest.raises(BadInput, match="'Swish' is not in opset 20; it came with 24"):
        lab.surgery.replace_op(m, "Relu", "Swish")
