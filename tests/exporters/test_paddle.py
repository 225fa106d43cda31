"""Paddle: live layers and saved programs, beside PyTorch in one process; what paddle2onnx dies of is an error."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, UnsupportedOperator
from onnx_lab.exporters.export import plain_code
from onnx_lab.exporters.paddle_export import saved_program

pytestmark = pytest.mark.slow  # paddle2onnx's process takes seconds to start


@pytest.fixture(scope="module")
def layers() -> ModuleType:
    import paddle_nets

    return paddle_nets


def pixels(n: int = 2) -> Any:
    return np.random.default_rng(0).standard_normal((n, 3, 16, 16)).astype(np.float32)


def test_a_live_layer_is_exported_and_left_as_it_was(layers: ModuleType) -> None:
    import paddle

    net = layers.Pixels()
    net.train()
    m = lab.export(net, example=paddle.to_tensor(pixels()))
    assert all(part.training for part in net.sublayers(include_self=True))
    assert str(m.inputs[0]) == "x: float32[batch, 3, 16, 16]"
    assert str(m.outputs[0]) == "output: float32[batch, 4]"
    assert m.header.operators.get("Constant", 0) == 0
    assert m.header.weights["float32"] > 200
    net.eval()
    got = lab.infer(m, {"x": pixels(5)}).outputs["output"]
    np.testing.assert_allclose(got, net(paddle.to_tensor(pixels(5))).numpy(), atol=1e-5)
    step = m.lineage[-1]
    code = plain_code(**{**step.options, **step.notes})
    compile(code, "code", "exec")
    assert 'InputSpec([None, 3, 16, 16], "float32", "x")' in code


def test_names_of_results_and_a_dynamic_sequence(layers: ModuleType) -> None:
    ids, scale = np.arange(6).reshape(2, 3), np.ones((2, 1), np.float32)
    m = lab.export(layers.Words(), example={"ids": ids, "scale": scale})
    assert [str(i) for i in m.inputs] == ["ids: int64[batch, sequence]", "scale: float32[batch, 1]"]
    assert [str(o) for o in m.outputs] == ["pooled: float32[batch, 8]", "states: float32[batch, sequence, 8]"]


def test_a_branch_on_values_becomes_an_if(layers: ModuleType) -> None:
    m = lab.export(layers.Branch(), example=np.ones((2, 3), np.float32))
    assert "If" in m.header.operators
    np.testing.assert_allclose(lab.infer(m, {"x": np.full((1, 3), -1.0, np.float32)}).outputs["output"], -2)


def test_an_unknown_operator_is_named_and_the_process_lives(layers: ModuleType) -> None:
    with pytest.raises(UnsupportedOperator, match=r"Singular has no ONNX form in paddle2onnx; it uses svd"):
        lab.export(layers.Singular(), example=np.ones((2, 3, 4), np.float32))


@pytest.fixture(scope="module")
def program(layers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import paddle

    folder = tmp_path_factory.mktemp("program")
    net = layers.Pixels()
    net.eval()
    paddle.jit.save(net, str(folder / "pixels"), [paddle.static.InputSpec([None, 3, 16, 16], "float32", "x")])
    return folder / "pixels.json"


def test_a_saved_program_by_file_or_folder(program: Path) -> None:
    m = lab.export(program)
    assert m.name == "pixels"
    assert str(m.inputs[0]) == "x: float32[batch, 3, 16, 16]"
    assert "largest difference to Paddle" in m.lineage[-1].notes["say"][0]
    assert lab.export(program.with_suffix(".pdiparams")).cached
    assert lab.export(program.parent).cached
    lab.export(program, example=pixels())
    assert "paddle2onnx.export" in plain_code(**m.lineage[-1].notes)


def test_only_whole_programs_are_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert saved_program(tmp_path / "a.json") is None
    assert saved_program(tmp_path) is None
    (tmp_path / "a.pdiparams").write_bytes(b"x")
    assert saved_program(tmp_path / "a.json") == saved_program(tmp_path) == tmp_path / "a.json"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "no inputs for Pixels"),
        ({"example": np.ones((2, 16, 16), np.float32)}, "does not run on the example"),
        ({"example": (1, 2)}, r"2 inputs[\s\S]*the parameters x"),
        ({"opset": 23}, "7 to 21 with paddle2onnx"),
        ({"exporter": "torchscript"}, "Paddle model"),
    ],
)
def test_wrong_input(layers: ModuleType, options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        lab.export(layers.Pixels(), **options)
