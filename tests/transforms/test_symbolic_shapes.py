"""Symbolic shapes: they help, and leave nothing behind where they give up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx.parser
import onnx_ir as ir
import pytest

from onnx_lab.transforms._shapes import infer_symbolic_shapes

UNKNOWN = """<ir_version: 9, opset_import: ["" : 17, "elsewhere" : 1]> g (float[n, 8] x) => (y) {
  h = elsewhere.Mystery(x)
  y = MatMul(h, x)
}"""


def test_an_inference_that_gives_up_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert infer_symbolic_shapes(ir.from_proto(onnx.parser.parse_model(UNKNOWN))) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("last", "shape"), [(-1, "[n,8]"), (2, "[n,2]")])
def test_shapes_that_are_computed_inside_are_found(last: int, shape: str) -> None:
    text = f"""<ir_version: 9, opset_import: ["" : 17]> g (float[n, 8] x) => (y) <
      int64[1] first = {{0}}, int64[1] last = {{{last}}}> {{
      s = Shape(x)
      n = Gather <axis = 0> (s, first)
      target = Concat <axis = 0> (n, last)
      flat = Reshape(x, target)
      y = Relu(flat)
    }}"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    assert infer_symbolic_shapes(model) > 0
    assert str(next(n for n in model.graph if n.op_type == "Relu").outputs[0].shape) == shape


@pytest.mark.slow
def test_an_optimization_imports_no_pytorch() -> None:
    said = (
        "import sys, onnx_lab as lab; lab.optimize(lab.samples.tiny(), name='no torch'); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
