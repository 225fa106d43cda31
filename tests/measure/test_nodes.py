"""nodes: found by name, pattern, operator, module and tensor; what a card says of one, a table of many."""

from __future__ import annotations

import json
from pathlib import Path

import mutants
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_lab as lab
from onnx_lab.errors import BadInput


@pytest.fixture(scope="module")
def m(tmp_path_factory: pytest.TempPathFactory) -> lab.Model:
    folder = tmp_path_factory.mktemp("nodes")
    proto = mutants.base(folder, external=False, function=True)
    conv = proto.graph.node[0]
    conv.attribute.append(helper.make_attribute("auto_pad", "NOTSET"))
    conv.attribute.append(helper.make_attribute("strides", [1, 1]))
    conv.input.append("")  # no bias
    onnx.save(proto, folder / "net.onnx")
    return lab.load(folder / "net.onnx")


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("/net/fc/MatMul", ["/net/fc/MatMul"]),
        ("/net/fc/*", ["/net/fc/MatMul", "/net/fc/Add"]),
        ("Conv", ["/net/conv/Conv"]),
        ("ai.onnx::Conv", ["/net/conv/Conv"]),
        ("own::*", ["call"]),
        ("net.fc", ["/net/fc/MatMul", "/net/fc/Add"]),
        ("net.f?", ["/net/fc/MatMul", "/net/fc/Add"]),
        ("flag", ["/net/Greater"]),
        ("If", ["choose", "choose_again"]),
        (["Conv", "Relu"], ["/net/conv/Conv", "/net/act/Relu"]),
    ],
)
def test_nodes_are_found(m: lab.Model, asked: str | list[str], names: list[str]) -> None:
    assert [n.name for n in lab.nodes(m, asked)] == names


def test_a_module_is_all_below_it_and_no_other_that_begins_alike(m: lab.Model) -> None:
    assert len(lab.nodes(m, "net")) == 11
    with pytest.raises(BadInput):
        lab.nodes(m, "ne")


def test_attributes_have_types_and_inputs_are_told_apart(m: lab.Model) -> None:
    conv = lab.nodes(m, "Conv")[0]
    assert {(a.name, a.type, str(a.value)) for a in conv.attributes} == {
        ("pads", "INTS", "[1, 1, 1, 1]"),
        ("auto_pad", "STRING", "NOTSET"),
        ("strides", "INTS", "[1, 1]"),
    }
    assert [(i.name, i.kind, str(i)) for i in conv.inputs[:2]] == [
        ("x", "input", "float32[batch, 3, 4, 4]"),
        ("kernel", "weight", "float32[4, 3, 3, 3]"),
    ]
    assert conv.inputs[2].kind == "omitted"
    assert (conv.outputs[0].kind, str(conv.outputs[0])) == ("result", "float32[batch, 4, 4, 4]")
    assert conv.outputs[0].neighbours == ("/net/act/Relu",)
    relu = lab.nodes(m, "Relu")[0]
    assert (relu.inputs[0].kind, relu.inputs[0].neighbours) == ("activation", ("/net/conv/Conv",))
    last = lab.nodes(m, "/net/out/Reshape")[0]
    assert last.outputs[0].kind == "output"


def test_small_weights_show_their_numbers(m: lab.Model) -> None:
    flat = lab.nodes(m, "/net/Reshape")[0].inputs[1]
    assert (flat.kind, flat.value) == ("weight", [0, -1])
    assert lab.nodes(m, "Conv")[0].inputs[1].value is None


def test_inside_of_branches_and_functions(m: lab.Model) -> None:
    inner = lab.nodes(m, "Abs")[0]
    assert inner.graph == "choose_again/else_branch"
    assert inner.inputs[0].neighbours == ("/net/fc/Add",), "what a branch takes from outside has its maker"
    assert [n.graph for n in lab.nodes(m, "Add")] == ["", "function own::twice"]
    assert next(a.value for a in lab.nodes(m, "choose")[0].attributes) == "a graph of 1 nodes"


def test_one_is_a_card_many_a_table(m: lab.Model) -> None:
    card = str(lab.nodes(m, "Conv"))
    for word in (
        "/net/conv/Conv of net",
        "net.conv",
        "auto_pad",
        "omitted",
        "/net/act/Relu",
        "float32[batch, 4, 4, 4]",
    ):
        assert word in card
    table = str(lab.nodes(m))
    assert "18 nodes of net: *" in table
    assert "kernel: float32[4, 3, 3, 3]" in table
    assert str(lab.nodes(m, "Conv")[0]).startswith("/net/conv/Conv\n")
    assert "<table" in lab.nodes(m)._repr_html_()
    assert len(lab.nodes(m).to_pandas()) == 18
    assert json.loads(lab.nodes(m, "Conv").to_json())["nodes"][0]["operator"] == "Conv"


def test_nothing_found_names_the_nearest(m: lab.Model) -> None:
    with pytest.raises(BadInput, match="did you mean 'Conv'"):
        lab.nodes(m, "conv")
    with pytest.raises(BadInput, match=r"lab.inspect\(net\) lists"):
        lab.nodes(m, "qqqqq")
    with pytest.raises(BadInput, match="nodes of"):
        lab.nodes(m, [])


def test_long_values_are_cut_and_nameless_nodes_have_a_place(tmp_path: Path) -> None:
    spec = helper.make_tensor_value_info
    node = helper.make_node("Constant", [], ["y"], value_floats=[0.5] * 500)
    graph = helper.make_graph([node], "g", [], [spec("y", TensorProto.FLOAT, [500])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path / "c.onnx")
    found = lab.nodes(lab.load(tmp_path / "c.onnx"))
    assert found[0].title == "Constant number 0"
    assert len(found[0].attributes[0].value) == 500
    assert max(map(len, str(found).splitlines())) < 130


def test_an_attribute_that_holds_nothing_is_no_crash(tmp_path: Path, m: lab.Model) -> None:
    proto = onnx.load(m.path)
    strange = proto.graph.node[0].attribute.add(name="strange")
    strange.type = onnx.AttributeProto.TENSOR
    onnx.save(proto, tmp_path / "s.onnx")
    found = lab.nodes(lab.load(tmp_path / "s.onnx"), "Conv")
    assert [a.value for a in found[0].attributes if a.name == "strange"] == ["nothing"]
