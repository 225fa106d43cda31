"""constant_if, drop_dead, inline_functions, set_weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, helper, numpy_helper
from small_graphs import answer, said, small, value

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for

X = np.linspace(-2, 2, 24, dtype=np.float32).reshape(3, 8)


def branch(word: str, nodes: list[NodeProto], out: str) -> GraphProto:
    return helper.make_graph(nodes, word, [], [value(out, np.float32, None)])


def torchscript_squeeze(folder: Path, size: int | str) -> Model:
    """What TorchScript writes for ``x.squeeze(1)``: an If that asks whether the axis is 1; only one branch fits."""
    then = branch("then", [helper.make_node("Squeeze", ["x", "axes"], ["s"], "squeeze")], "s")
    other = branch("else", [helper.make_node("Identity", ["big"], ["i"], "pass")], "i")
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["big"], "twice"),
        helper.make_node("Shape", ["x"], ["shape"], "shape"),
        helper.make_node("Gather", ["shape", "one"], ["dim"], "dim", axis=0),
        helper.make_node("Equal", ["dim", "one"], ["is_one"], "is_one"),
        helper.make_node("If", ["is_one"], ["y0"], "if", then_branch=then, else_branch=other),
        helper.make_node("Neg", ["y0"], ["y"], "neg"),
    ]
    weights = {"axes": np.array([1], np.int64), "one": np.array(1, np.int64), "two": np.array(2, np.float32)}
    return small(folder, nodes, [("x", np.float32, ["batch", size, 8])], [("y", np.float32, None)], weights)


@pytest.mark.slow
def test_an_if_that_asks_for_a_known_axis_is_its_branch(tmp_path: Path) -> None:
    m = torchscript_squeeze(tmp_path, 1)
    plain = lab.surgery.constant_if(m)
    assert "If if is its then branch (1 nodes); the other had 1" in said(plain)
    assert plain.header.operators == {
        "Squeeze": 1,
        "Neg": 1,
    }  # what only the question and the other branch read is gone
    assert np.array_equal(answer(plain, x=X[:, None])["y"], -X)
    wide = lab.surgery.constant_if(torchscript_squeeze(tmp_path, 3))
    assert np.array_equal(answer(wide, x=np.ones((2, 3, 8), np.float32))["y"], np.full((2, 3, 8), -2))


@pytest.mark.slow
def test_an_open_question_stays_and_says_on_what_it_depends(tmp_path: Path) -> None:
    m = torchscript_squeeze(tmp_path, "width")
    same = lab.surgery.constant_if(m)
    assert "0 Ifs have a condition that is known" in said(same)
    assert "If if stays: is_one depends on x" in said(same)
    with pytest.raises(TransformError, match="Name:'squeeze'"):  # random feeds are wider
        lab.surgery.constant_if(m, "if", branch="then")
    forced = lab.surgery.constant_if(m, "if", branch="then", check=False)
    assert "If" not in forced.header.operators
    assert np.array_equal(answer(forced, x=X[:, None])["y"], -X)
    assert "'if'" in code_for(forced.lineage[-1])
    with pytest.raises(BadInput, match="neg is a Neg"):
        lab.surgery.constant_if(m, "neg", branch="then")
    with pytest.raises(BadInput, match="nodes without branch"):
        lab.surgery.constant_if(m, "if")


def nested(folder: Path) -> Model:
    """A constant If whose branch has a weight, and in it an If that asks an input, and in that a constant one."""
    deep = helper.make_node(
        "If", ["no"], ["d"], "deep",
        then_branch=branch("dt", [helper.make_node("Neg", ["h"], ["n"], "never")], "n"),
        else_branch=branch("de", [helper.make_node("Abs", ["h"], ["a"], "always")], "a"),
    )  # fmt: skip
    asks = helper.make_node(
        "If", ["flag"], ["q"], "asks",
        then_branch=branch("at", [deep], "d"),
        else_branch=branch("ae", [helper.make_node("Identity", ["h"], ["e"], "keep")], "e"),
    )  # fmt: skip
    then = branch("then", [helper.make_node("Add", ["x", "w"], ["h"], "add"), asks], "q")
    then.initializer.append(numpy_helper.from_array(np.float32([1] * 8), "w"))
    other = branch("else", [helper.make_node("Sub", ["x", "w2"], ["z"], "sub")], "z")
    return small(
        folder, [helper.make_node("If", ["yes"], ["y"], "outer", then_branch=then, else_branch=other)],
        [("x", np.float32, ["n", 8]), ("flag", np.bool_, [])], [("y", np.float32, ["n", 8])],
        {"yes": np.array(True), "no": np.array(False), "w2": np.ones(8, np.float32), "w": np.zeros(8, np.float32)},
    )  # fmt: skip


@pytest.mark.slow
def test_ifs_in_ifs_with_weights_of_their_own(tmp_path: Path) -> None:
    m = nested(tmp_path)
    plain = lab.surgery.constant_if(m)
    ifs = [n.name for n in plain.to_ir().graph.all_nodes() if n.op_type == "If"]
    assert ifs == ["asks"]
    assert "If asks stays: flag depends on flag" in said(plain)
    for flag in (True, False):
        feeds = {"x": X, "flag": np.array(flag)}
        assert np.array_equal(answer(plain, **feeds)["y"], answer(m, **feeds)["y"])
    assert set(plain.to_ir().graph.initializers) == {"w.1"}


@pytest.mark.slow
def test_dead_nodes_weights_and_branches_go(tmp_path: Path) -> None:
    m = nested(tmp_path)
    clean = lab.surgery.drop_dead(m)
    assert "dead weights" in said(clean)
    assert "If outer is its then branch" in said(clean)
    idle = small(
        tmp_path,
        [helper.make_node("Relu", ["x"], ["y"], "relu"), helper.make_node("Add", ["x", "w"], ["dead"], "add")],
        [("x", np.float32, ["n", 8]), ("mask", np.float32, ["n"])], [("y", np.float32, ["n", 8])],
        {"w": np.ones(8, np.float32)},
    )  # fmt: skip
    bare = lab.surgery.drop_dead(idle)
    assert "dead nodes: 1 Add" in said(bare)
    assert "dead weights: 1 of 0.000 MB" in said(bare)
    assert "read by nothing, and kept: input mask" in said(bare)


def test_calls_of_functions_become_their_nodes(tmp_path: Path) -> None:
    body = [helper.make_node("Neg", ["a"], ["b"], "neg"), helper.make_node("Abs", ["b"], ["c"], "abs")]
    function = helper.make_function("my.own", "Twist", ["a"], ["c"], body, [helper.make_opsetid("", 20)])
    nodes = [helper.make_node("Twist", [a], [b], b, domain="my.own") for a, b in (("x", "h"), ("h", "y"))]
    m = small(
        tmp_path, nodes, [("x", np.float32, ["n", 8])], [("y", np.float32, ["n", 8])], domains=["my.own"],
        functions=[function],
    )  # fmt: skip
    flat = lab.surgery.inline_functions(m, "Twist")
    assert "my.own::Twist: 2 calls inlined" in said(flat)
    assert flat.header.operators == {"Neg": 2, "Abs": 2}
    with pytest.raises(BadInput, match=r"'Twisst'(.|\n)*did you mean 'Twist'"):
        lab.surgery.inline_functions(m, "Twisst")


@pytest.mark.slow
def test_a_weight_takes_an_array_of_its_type_and_shape(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    zero = lab.surgery.set_weight(m, "b2", 0, check=False)
    zeros = lab.surgery.set_weight(zero, "w2", np.zeros((16, 4), np.float32), check=False)
    assert "w2: float32[16, 4], 64 of 64 numbers are others" in said(zeros)
    assert not answer(zeros, x=X)["logits"].any()
    np.save(tmp_path / "b.npy", np.float32([1, 2, 3, 4]))
    assert answer(lab.surgery.set_weight(zeros, "b2", tmp_path / "b.npy", check=False), x=X)["logits"][0].tolist() == [
        1,
        2,
        3,
        4,
    ]
    assert "np.load('w2.npy')" in code_for(zeros.lineage[-1])
    with pytest.raises(BadInput, match=r"b2 with float64\[4\](.|\n)*float32\[4\](.|\n)*astype\('float32'\)"):
        lab.surgery.set_weight(m, "b2", np.zeros(4))
    with pytest.raises(BadInput, match=r"b2 with float32\[5\](.|\n)*new_shape"):
        lab.surgery.set_weight(m, "b2", np.zeros(5, np.float32))
    with pytest.raises(BadInput, match=r"none named 'b3'(.|\n)*w1, b1, w2, b2"):
        lab.surgery.set_weight(m, "b3", np.zeros(4, np.float32))


def test_a_head_of_another_size_is_two_weights_and_misfits_are_named() -> None:
    m = lab.samples.tiny()
    with pytest.raises(TransformError, match="second/add"):
        lab.surgery.set_weight(m, "w2", np.zeros((16, 7), np.float32), new_shape=True)
    half = lab.surgery.set_weight(m, "b2", np.zeros(1, np.float32), new_shape=True, check=False)
    whole = lab.surgery.set_weight(half, "w2", np.zeros((16, 7), np.float32), new_shape=True)
    assert str(whole.outputs[0]) == "logits: float32[batch, 7]"
