"""shapes: what a graph computes of its own shapes is followed, at sizes or by the names of its axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import onnx_lab as lab
from onnx_lab.runtime.shapes import shapes_of

#: What ONNX's inference alone stops at: a mask that is cut from a table at a computed length.
COMPUTED = """<ir_version: 9, opset_import: ["" : 17]> g (float[batch, seq, 8] x) => (float[a, b, c] y) <
  int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64 s0 = {0}, int64 s1 = {1}> {
  shape = Shape(x)
  length = Gather <axis = 0> (shape, s1)
  more = Add(length, s1)
  steps = Range(s0, more, s1)
  many = Shape(steps)
  target = Concat <axis = 0> (one, many)
  rows = Unsqueeze(steps, zero)
  wide = Expand(rows, target)
  real = Cast <to = 1> (wide)
  cube = Unsqueeze(real, two)
  y = Concat <axis = 2> (cube, cube)
}"""


def loaded(text: str, folder: Path) -> lab.Model:
    onnx.save(onnx.parser.parse_model(text), folder / "m.onnx")
    return lab.load(folder / "m.onnx")


def test_arithmetic_on_shapes_is_followed(tmp_path: Path) -> None:
    found = shapes_of(loaded(COMPUTED, tmp_path), {"x": (2, 5, 8)})
    assert found.fixed("steps") == (6,)
    assert found.fixed("y") == (1, 6, 2)
    assert found.dtype("y") == "float32"


def test_without_sizes_axes_keep_their_names() -> None:
    found = shapes_of(lab.samples.tiny())
    assert found.shape("logits") == ("batch", 4)
    assert found.fixed("logits") is None
    assert found.shape("nothing") is None


def test_small_constants_beside_the_file_are_read_and_large_ones_are_not(tmp_path: Path) -> None:
    text = """<ir_version: 9, opset_import: ["" : 17]> g (float[n, 8] x) => (float[a, b, c] y) {
      z = MatMul(x, w)
      y = Reshape(z, target)
    }"""
    proto = onnx.parser.parse_model(text)
    weights = {"w": np.zeros((8, 4096), np.float32), "target": np.array([0, 64, -1], np.int64)}
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in weights.items())
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert shapes_of(lab.load(tmp_path / "m.onnx"), {"x": (3, 8)}).fixed("y") == (3, 64, 64)


def test_onnx_runtimes_own_operators_pass_shapes_on(tmp_path: Path) -> None:
    text = """<ir_version: 9, opset_import: ["" : 17, "com.microsoft" : 1]> g (float[n, 6, 8] x) => (float[a, b, c] y) <
      float[8, 24] w = {%s}, float[24] b = {%s}> {
      a = com.microsoft.Attention <num_heads = 2> (x, w, b)
      g = com.microsoft.BiasGelu (a, b)
      y = Relu (g)
    }"""
    m = loaded(text % (", ".join(["0.5"] * 192), ", ".join(["0.5"] * 24)), tmp_path)
    assert shapes_of(m, {"x": (2, 6, 8)}).fixed("y") == (2, 6, 8)


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand", "Range", "Tile"])
def test_what_would_be_vast_is_not_computed(op: str, tmp_path: Path) -> None:
    call = {"ConstantOfShape": "(many)", "Range": "(one, much, one)"}.get(op, "(few, many)")
    text = f"""<ir_version: 9, opset_import: ["" : 17]> g (float[n] x) => (float[n] z) <
      int64[1] many = {{68719476736}}, int64[1] few = {{0}}, int64 one = {{1}}, int64 much = {{68719476736}}> {{
      y = {op}{call}
      s = Size(x)
      z = Relu(x)
    }}"""
    found = shapes_of(loaded(text, tmp_path), {"x": (3,)})
    assert found.why_not == ""
    assert found.fixed("z") == (3,)
