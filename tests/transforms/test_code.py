"""The plain code of each step really runs, alone, and does what the step does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model, Step
from onnx_lab.transforms.code import code_for

STEPS: dict[str, Callable[[Model], Model]] = {
    "simplify": lab.simplify,
    "optimize": lab.optimize,
    "optimize for cuda": lambda m: lab.optimize(m, target="cuda"),
    "optimize offline": lambda m: lab.optimize(m, offline=True, disable=["bias_gelu"]),
    "fix_shapes": lambda m: lab.fix_shapes(m, batch=2, seq=9),
    "fp16": lambda m: lab.fp16(m, block_ops=["LayerNormalization"], keep_io=False),
    "quantize": lambda m: lab.quantize(m, exclude_ops=["Gather"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_it_runs(name: str, bert: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = STEPS[name](bert).lineage[-1]
    code = code_for(step)
    assert "onnx_lab " not in code.replace("# onnx_lab alone", "")
    shutil.copy(bert.path, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {"__name__": "plain"})
    made = [f for f in tmp_path.glob("*.onnx") if f.name != "model.onnx"]
    kinds = {n.op_type for f in made for n in onnx.load(f).graph.node}
    assert made
    if name.startswith("optimize"):
        assert kinds & {"MultiHeadAttention", "Attention"}
    if name == "fix_shapes":
        (fixed,) = made
        assert [d.dim_value for d in onnx.load(fixed).graph.input[0].type.tensor_type.shape.dim] == [2, 9]
        assert "Shape" not in kinds
    if name == "quantize":
        assert "MatMulInteger" in kinds


def test_other_steps_have_none() -> None:
    with pytest.raises(BadInput, match="no plain code for 'quantise'"):
        code_for(Step("quantise"))
