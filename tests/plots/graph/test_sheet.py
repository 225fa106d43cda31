"""What is sent to the page, what is coloured, and what a saved notebook shows."""

from __future__ import annotations

import json
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from chains import blocks_of, flat_of
from onnx import TensorProto, helper

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.plots.graph import still
from onnx_lab.plots.graph.details import details
from onnx_lab.plots.graph.flat import flatten
from onnx_lab.plots.graph.sheet import Sheet
from onnx_lab.plots.graph.union import united


def read(part: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zlib.decompress(part))
    return found


@pytest.fixture
def both() -> Sheet:
    """The tiny sample, and what simplify makes of it."""
    m = lab.samples.tiny()
    slim = lab.simplify(m)
    return Sheet(united(flatten(m), flatten(slim), lab.diff(m, slim)))


def test_the_first_part_has_all_that_is_open_and_no_more() -> None:
    sheet = Sheet(flat_of(blocks_of(["Relu", "Neg", "Tanh", "Abs"], times=500)))
    first = read(sheet.first())
    assert {str(g) for g in first["open"]} == set(first["g"])
    assert all(str(c) in first["b"] for g in first["g"].values() for c in g["c"])
    assert len(first["b"]) < 30
    rest, index = read(sheet.rest()), read(sheet.index())
    assert len(rest["g"]) == len(index["c"]) == len(sheet.tree.groups)
    assert len(index["names"]) == len(rest["about"]) == len(sheet.flat.nodes) == 2002


def test_groups_that_are_alike_share_a_layout() -> None:
    sheet = Sheet(flat_of(blocks_of(["Relu", "Neg", "Tanh", "Abs"], times=40)))
    sheet.rest()
    assert len(sheet._layouts) < 8


def test_removed_nodes_stand_where_they_stood(both: Sheet) -> None:
    gone = both.flat.nodes[both.box("first/identity")]
    assert gone.status == "removed"
    assert both.flat.nodes[both.flat.tensors[gone.inputs[0]].maker].op == "Relu"
    assert [both.flat.nodes[r].op for r in both.flat.tensors[gone.outputs[0]].readers] == ["MatMul"]
    assert both.counts(both.tree.root) == {"removed": 1}
    assert read(both.first())["legend"]["counts"][4] == 1


@pytest.mark.slow
def test_colours_by_size_and_by_what_was_measured() -> None:
    m = lab.samples.tiny()
    sizes = Sheet(flatten(m), "size")
    largest = max(sizes.shades.values, key=lambda b: (b < len(sizes.flat.nodes), sizes.shades.values[b]))
    assert sizes.flat.nodes[largest].name == "first/matmul"
    assert sizes.shades.depth(sizes.tree.root) == 1.0
    times = Sheet(flatten(m), lab.profile(m, runs=1))
    assert times.shades.values[times.tree.root] == pytest.approx(
        sum(times.shades.values[b] for b in range(8) if b in times.shades.values)
    )
    errors = Sheet(flatten(m), lab.trace(m, lab.fp16(m), {"x": np.ones((2, 8), np.float32)}))
    assert 0 < errors.shades.depth(errors.box("second/matmul")) <= 1
    assert "%" in errors.words(errors.box("second/matmul"))[1] or "e-" in errors.words(errors.box("second/matmul"))[1]


@pytest.mark.parametrize("color", ["time", "error", "mood", 3, {"nothing": 1.0}])
def test_a_colour_that_says_nothing_is_refused(color: Any) -> None:
    with pytest.raises(BadInput, match="color"):
        Sheet(flatten(lab.samples.tiny()), color)


def test_details_say_which_inputs_are_weights() -> None:
    sheet = Sheet(flatten(lab.samples.tiny()))
    found = details(sheet, sheet.box("first/matmul"))
    assert found.inputs == (("x", "float32[batch, 8]"), ("w1", "float32[8, 16], weight"))
    assert "MatMul  first/matmul" in str(found)


@pytest.mark.slow
def test_the_saved_picture_is_well_formed_and_small(both: Sheet) -> None:
    root = ElementTree.fromstring(still.svg(both))
    texts = {e.text for e in root.iter() if e.tag.endswith("text")}
    assert {"Relu", "Identity"} <= texts
    large = Sheet(flat_of(blocks_of(["Relu", "Neg", "Tanh", "Abs"], times=2500)))
    html = still.html(large)
    assert len(html) < 60_000
    assert "<img src='data:image/svg+xml" in html
    HTMLParser().feed(html)
    assert "10000" in still.card(large).text()


def test_a_graph_inside_a_node_and_a_circle_are_shown(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Neg", ["h"], ["i"])],
        "then",
        [],
        [helper.make_tensor_value_info("i", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Abs", ["x"], ["h"]),
        helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
        helper.make_node("Add", ["z2", "x"], ["z1"]),
        helper.make_node("Neg", ["z1"], ["z2"]),
    ]
    spec = [helper.make_tensor_value_info(n, t, None) for n, t in (("x", 1), ("c", 9), ("y", 1))]
    proto = helper.make_model(helper.make_graph(nodes, "g", spec[:2], spec[2:]), ir_version=10)
    onnx.save(proto, tmp_path / "odd.onnx")
    sheet = Sheet(flatten(lab.load(tmp_path / "odd.onnx")))
    choice = details(sheet, sheet.box("y"))
    assert ("h", "") in choice.inputs, "what its branches read from outside"
    assert choice.attributes["then_branch"] == "1 nodes: Neg"
    assert read(sheet.rest())["about"]


def test_a_name_that_is_no_text_is_a_bad_model(tmp_path: Path) -> None:
    data = lab.samples.tiny().path.read_bytes()
    (tmp_path / "bad.onnx").write_bytes(data.replace(b"first/relu", b"first/\xff\xfe\xfdu"))
    with pytest.raises(BadModel, match="no text"):
        flatten(lab.load(tmp_path / "bad.onnx"))


def test_a_name_of_a_thousand_parts_is_a_group_like_others() -> None:
    deep = "/" + "a/" * 2000
    tree = Sheet(flat_of([("Relu", f"{deep}one"), ("Relu", f"{deep}two")])).tree
    assert sorted(tree.nodes(tree.root)) == [0, 1, 2, 3]
