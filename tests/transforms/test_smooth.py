"""SmoothQuant: exact in float, nearer in 8 bits, free behind a norm; and a strength that is tried, not assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms import _smooth
from onnx_lab.transforms._proof import answers
from onnx_lab.transforms._strength import choose, cosine
from onnx_lab.transforms.code import code_for

RNG = np.random.default_rng(0)
WIDTH = 32
#: A few channels are much larger than the others, as a transformer's are.
LOUD = np.where(np.arange(WIDTH) % 11 == 0, 60.0, 1.0)
DATA = [{"x": (RNG.normal(size=(4, 6, WIDTH)) * LOUD).astype(np.float32)} for _ in range(4)]


def block(folder: Path, *, residual: bool = True, trans_b: bool = False) -> Model:
    """A norm whose gain is loud in a few channels, two products that read it, and a product behind them."""
    weights: dict[str, Any] = {
        "gain": LOUD,
        "shift": RNG.normal(size=WIDTH),
        "w1": RNG.normal(size=(WIDTH, 16)) / LOUD[:, None],
        "w2": RNG.normal(size=(WIDTH, 16)) / LOUD[:, None],
        "w3": RNG.normal(size=(16, 5)),
    }
    nodes = [
        helper.make_node("LayerNormalization", ["x", "gain", "shift"], ["n"], "norm"),
        helper.make_node("MatMul", ["n", "w1"], ["a"], "first"),
        helper.make_node("MatMul", ["n", "w2"], ["b"], "second"),
        helper.make_node("Add", ["a", "b"], ["c"], "sum"),
        helper.make_node("Tanh", ["c"], ["d"], "tanh"),
        helper.make_node("MatMul", ["d", "w3"], ["e"], "third"),
        helper.make_node("Tanh", ["e"], ["y"], "out"),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 6, 5])]
    if residual:
        nodes.append(helper.make_node("Tanh", ["n"], ["z"], "other"))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 6, WIDTH]))
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6, WIDTH])],
        outputs,
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    path = folder / "block.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("residual", [True, False])
def test_in_float_nothing_changes(tmp_path: Path, residual: bool) -> None:
    m = block(tmp_path, residual=residual)
    model = m.to_ir()
    where = _smooth.sites(model, ["MatMul"], ["third"])
    assert [[n.name for n in s.readers] for s in where] == [["first", "second"]]
    most = _smooth.largest(model, where, DATA, 1 << 20)
    assert most["n"][0] > 20 * most["n"][1]
    assert _smooth.smooth(model, where, most, 0.8) == ((0, 1) if residual else (1, 0))
    assert ("Mul" in {n.op_type for n in model.graph}) is residual
    ir.save(model, tmp_path / "smoothed.onnx")
    for a, b in zip(answers(m, DATA), answers(lab.load(tmp_path / "smoothed.onnx"), DATA), strict=True):
        np.testing.assert_allclose(a["y"], b["y"], atol=2e-5)


def test_a_silent_channel_is_left_alone(tmp_path: Path) -> None:
    model = block(tmp_path).to_ir()
    where = _smooth.sites(model, ["MatMul"], [])[:1]
    assert _smooth.smooth(model, where, {"n": np.zeros(WIDTH, np.float32)}, 0.5) == (0, 1)
    by = next(v for k, v in model.graph.initializers.items() if k.endswith(".smoothing"))
    assert by.const_value is not None
    np.testing.assert_array_equal(by.const_value.numpy(), np.ones(WIDTH, np.float32))


@pytest.mark.slow
def test_in_eight_bits_it_is_nearer_and_the_strength_is_told(tmp_path: Path) -> None:
    m = block(tmp_path)
    options: dict[str, Any] = {"method": "static", "data": DATA, "activation_type": "int8", "symmetric": True}
    own = answers(m, DATA)
    kept = {
        smooth: cosine(own, answers(lab.quantize(m, smooth=smooth, **options), DATA)) for smooth in ("off", "auto", 0.8)
    }
    assert 1 - kept["auto"] < 0.7 * (1 - kept["off"])
    step = lab.quantize(m, smooth="auto", **options).lineage[-1]
    assert step.notes["smooth"] > 0
    assert any(s.startswith("smoothed with strength") and "cosine on a few batches" in s for s in step.notes["say"])
    assert kept["auto"] >= kept[0.8] - 1e-4


@pytest.mark.slow
def test_the_strength_that_keeps_most_is_taken(tmp_path: Path) -> None:
    m = block(tmp_path)
    asked = []

    def attempt(strength: float, batches: Any) -> ir.Model:
        asked.append((strength, len(batches)))
        model = m.to_ir()
        if strength != 0.5:
            weight = model.graph.initializers["w3"]
            weight.const_value = ir.tensor(-weight.const_value.numpy(), name="w3")  # type: ignore[union-attr]
        return model

    taken, kept = choose(m, DATA * 4, attempt)
    assert taken == 0.5
    assert kept[0.5] == 1.0 > kept[0.0]
    assert asked == [(s, 8) for s in (0.0, 0.5, 0.8)]


@pytest.mark.slow
def test_its_plain_code_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = block(tmp_path)
    small = lab.quantize(m, method="static", data=DATA, smooth=0.8)
    m.save(tmp_path / "model.onnx")
    np.savez(tmp_path / "calibration.npz", x=np.concatenate([f["x"] for f in DATA]))
    monkeypatch.chdir(tmp_path)
    exec(compile(code_for(small.lineage[-1]), "smooth", "exec"), {"__name__": "plain"})
    assert cosine(answers(small, DATA), answers(lab.load(tmp_path / "model-int8.onnx"), DATA)) > 0.9999


@pytest.mark.parametrize("smooth", [0, -1, 2, "much", None])
def test_wrong_words(smooth: Any) -> None:
    with pytest.raises(BadInput, match="above 0, up to 1"):
        lab.quantize(lab.samples.tiny(), method="static", data=[{"x": np.zeros((1, 8), np.float32)}], smooth=smooth)
