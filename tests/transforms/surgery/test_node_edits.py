"""remove_node, insert_node, make_node: wires lead where they should, outputs keep their names, misfits are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_graphs import answer, said, small, value

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.transforms.code import code_for

X = np.linspace(-2, 2, 24, dtype=np.float32).reshape(3, 8)


@pytest.mark.slow
def test_a_removed_node_s_consumers_read_its_input() -> None:
    m = lab.samples.tiny()
    plain = lab.surgery.remove_node(m, "Relu")
    assert "removed Relu first/relu; first/identity now reads h1" in said(plain)
    both = lab.surgery.expose(plain, "h3", check=False)
    h1 = answer(lab.surgery.expose(m, "h1", check=False), x=X)["h1"]
    assert np.array_equal(answer(both, x=X)["h3"], h1)


@pytest.mark.slow
def test_of_several_inputs_the_caller_says_which_goes_on(tmp_path: Path) -> None:
    m = small(
        tmp_path,
        [helper.make_node("Relu", ["x"], ["r"], "relu"), helper.make_node("Add", ["x", "r"], ["y"], "add")],
        [("x", np.float32, ["n", 8])], [("y", np.float32, ["n", 8])],
    )  # fmt: skip
    with pytest.raises(BadInput, match="Add add computes from x, r"):
        lab.surgery.remove_node(m, "add")
    assert np.array_equal(answer(lab.surgery.remove_node(m, "add", keep="r"), x=X)["y"], np.maximum(X, 0))
    through = lab.surgery.remove_node(m, "add", keep=0)  # the output is the input itself: an Identity stays
    assert np.array_equal(answer(through, x=X)["y"], X)
    assert through.header.operators == {"Identity": 1}
    with pytest.raises(BadInput, match=r"keep='z'(.|\n)*x, r"):
        lab.surgery.remove_node(m, "add", keep="z")


def test_a_consumer_that_would_not_fit_is_named(tmp_path: Path) -> None:
    m = small(
        tmp_path,
        [
            helper.make_node("Transpose", ["x"], ["t"], "turn", perm=[1, 0]),
            helper.make_node("MatMul", ["t", "w"], ["h"], "product"),
            helper.make_node("Cast", ["h"], ["c"], "cast", to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "c"], ["y"], "look"),
        ],
        [("x", np.float32, [4, 8])], [("y", np.float32, None)],
        {"w": np.zeros((4, 2), np.float32), "table": np.zeros((3, 2), np.float32)},
    )  # fmt: skip
    with pytest.raises(TransformError, match="node name: product"):
        lab.surgery.remove_node(m, "turn")
    with pytest.raises(TransformError, match="look reads int64 from Cast cast and would get float"):
        lab.surgery.remove_node(m, "cast")
    with pytest.raises(BadInput, match=r"'trun' is no node(.|\n)*did you mean 'turn'"):
        lab.surgery.remove_node(m, "trun")


@pytest.mark.slow
def test_what_fed_the_removed_node_alone_goes_too(tmp_path: Path) -> None:
    m = small(
        tmp_path,
        [
            helper.make_node("Shape", ["x"], ["s"], "shape"),
            helper.make_node("Expand", ["x", "s"], ["e"], "expand"),
            helper.make_node("Neg", ["e"], ["y"], "neg"),
        ],
        [("x", np.float32, ["n", 8])], [("y", np.float32, ["n", 8])],
    )  # fmt: skip
    bare = lab.surgery.remove_node(m, "expand", keep="x")
    assert bare.header.operators == {"Neg": 1}


@pytest.mark.slow
def test_nodes_inside_a_branch_are_removed_too(tmp_path: Path) -> None:
    branches = {
        f"{word}_branch": helper.make_graph(
            [helper.make_node(op, ["x"], [f"{word}_h"], f"{word}/{op}"),
             helper.make_node("Abs", [f"{word}_h"], [f"{word}_y"], f"{word}/Abs")],
            word, [], [value(f"{word}_y", np.float32, None)],
        )
        for word, op in (("then", "Relu"), ("else", "Neg"))
    }  # fmt: skip
    m = small(
        tmp_path, [helper.make_node("If", ["flag"], ["y"], "if", **branches)],
        [("x", np.float32, ["n", 8]), ("flag", np.bool_, [])], [("y", np.float32, ["n", 8])],
    )  # fmt: skip
    bare = lab.surgery.remove_node(m, "then/Abs,then/Relu".split(","))
    assert np.array_equal(answer(bare, x=X, flag=np.array(True))["y"], X)
    assert np.array_equal(answer(bare, x=X, flag=np.array(False))["y"], np.abs(X))


@pytest.mark.slow
def test_a_node_goes_between_a_tensor_and_its_consumers() -> None:
    m = lab.samples.tiny()
    clipped = lab.surgery.insert_node(m, "h2", "Clip", inputs=["h2", 0, 0.5])
    assert "Clip behind h2; first/identity reads it" in said(clipped)
    got = answer(lab.surgery.expose(clipped, "h3", check=False), x=X)["h3"]
    assert got.max() == 0.5
    at_end = lab.surgery.insert_node(m, "logits", "Softmax", attributes={"axis": -1})
    assert [s.name for s in at_end.outputs] == ["logits"]
    assert np.allclose(answer(at_end, x=X)["logits"].sum(-1), 1, atol=1e-6)
    assert "np.float32(0.5)" in code_for(clipped.lineage[-1])


@pytest.mark.slow
def test_only_the_named_consumers_read_the_new_node(tmp_path: Path) -> None:
    m = small(
        tmp_path,
        [helper.make_node(op, ["x"], [op], op.lower()) for op in ("Abs", "Neg")],
        [("x", np.float32, ["n", 8])], [("Abs", np.float32, ["n", 8]), ("Neg", np.float32, ["n", 8])],
    )  # fmt: skip
    edited = lab.surgery.insert_node(m, "x", "Mul", inputs=["x", 2.0], to="neg")
    got = answer(edited, x=X)
    assert np.array_equal(got["Abs"], np.abs(X))
    assert np.array_equal(got["Neg"], -2 * X)
    with pytest.raises(BadInput, match=r"does not read x"):
        lab.surgery.insert_node(lab.samples.tiny(), "x", "Abs", to="second/add")


@pytest.mark.slow
def test_a_node_made_from_scratch_is_an_output() -> None:
    m = lab.samples.tiny()
    best = lab.surgery.make_node(m, "ArgMax", "logits", "label", attributes={"axis": -1, "keepdims": 0})
    assert str(best.outputs[1]) == "label: int64[batch]"
    got = answer(best, x=X)
    assert np.array_equal(got["label"], got["logits"].argmax(-1))
    scaled = lab.surgery.make_node(m, "Mul", ["h1", np.full(16, 2, np.float32)], "twice", check=False)
    assert "np.array([2.0, 2.0" in code_for(scaled.lineage[-1])
    custom = lab.surgery.make_node(m, "com.microsoft::FastGelu", ["h1"], "fast", check=False)
    assert [s.name for s in custom.outputs] == ["logits", "fast"]
    with pytest.raises(BadInput, match="'h1' is a tensor of this model already"):
        lab.surgery.make_node(m, "Relu", "x", "h1")
    with pytest.raises(BadInput, match="Clip has no attribute 'minimum'"):
        lab.surgery.make_node(m, "Clip", "x", "y", attributes={"minimum": 0})
    with pytest.raises(TransformError, match=r"Name:'y\.MatMul'"):
        lab.surgery.make_node(m, "MatMul", ["h1", "x"], "y")
