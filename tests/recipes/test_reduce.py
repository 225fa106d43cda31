"""reduce: one spoiled node among many is cut out alone, with feeds that show it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model

LAYERS = 6
FEEDS = {"x": np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)}


def deep(path: Path, *, spoil: int | None = None, drift: float = 0.0) -> Model:
    """Layers of MatMul, Add and Tanh with a residual; one bias may be spoiled, or every weight a little."""
    rng = np.random.default_rng(1)
    nodes, weights, flows = [], [], "x"
    for i in range(LAYERS):
        w, b = rng.standard_normal((8, 8)).astype(np.float32) / 3, np.zeros(8, np.float32)
        weights += [
            numpy_helper.from_array(w * (1 + drift), f"w{i}"),
            numpy_helper.from_array(b + (i == spoil), f"b{i}"),
        ]
        nodes += [
            helper.make_node("MatMul", [flows, f"w{i}"], [f"p{i}"], name=f"/layer{i}/MatMul"),
            helper.make_node("Add", [f"p{i}", f"b{i}"], [f"a{i}"], name=f"/layer{i}/Add"),
            helper.make_node("Tanh", [f"a{i}"], [f"t{i}"], name=f"/layer{i}/Tanh"),
            helper.make_node("Add", [flows, f"t{i}"], [f"out{i}"], name=f"/layer{i}/Residual"),
        ]
        flows = f"out{i}"
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info(flows, TensorProto.FLOAT, ["batch", 8])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.mark.slow
def test_one_spoiled_node_is_cut_out_alone_with_its_feeds(tmp_path: Path) -> None:
    a, b = deep(tmp_path / "a.onnx"), deep(tmp_path / "b.onnx", spoil=3)
    found = lab.reduce(a, b, FEEDS)
    assert found.nodes == (("/layer3/Add", "Add", "layer3"),)
    assert (found.output, list(found.feeds), found.of) == ("a3", ["p3"], 4 * LAYERS)
    assert found.error > 0.1
    assert found.a is not None
    assert found.a.lineage[-1].verb == "reduce"
    assert found.a.lineage[-1].parent == a.digest
    folder = found.save(tmp_path / "taken")
    feeds = dict(np.load(folder / "feeds.npz"))
    answers = [ort.InferenceSession(folder / f"{n}.onnx").run(None, feeds)[0] for n in "ab"]
    np.testing.assert_allclose(answers[1] - answers[0], 1.0, atol=1e-6)
    assert "1 of 24 nodes" in str(found)


@pytest.mark.slow
def test_what_no_node_shows_alone_takes_a_longer_part(tmp_path: Path) -> None:
    a, b = deep(tmp_path / "a.onnx"), deep(tmp_path / "b.onnx", drift=0.008)
    one = lab.reduce(a, b, FEEDS, rtol=0.005)
    longer = lab.reduce(a, b, FEEDS, rtol=0.012)
    assert len(one.nodes) == 1
    assert 1 < len(longer.nodes) < 4 * LAYERS
    assert longer.error > 0.012
    assert lab.trace(longer.a, longer.b, longer.feeds, rtol=0.012).rows[-1].error == pytest.approx(longer.error)


@pytest.mark.slow
def test_one_model_is_reduced_by_a_function(tmp_path: Path) -> None:
    def fails(part: Model, feeds: dict[str, np.ndarray]) -> bool:
        answer = next(iter(lab.infer(part, feeds).outputs.values()))
        return bool(np.abs(answer).max() > 1.5)

    m = deep(tmp_path / "m.onnx", spoil=1)
    found = lab.reduce(m, data=FEEDS, fails=fails)
    assert found.a is None
    assert fails(found.b, found.feeds)
    assert len(found.nodes) == 1


@pytest.mark.slow
def test_what_agrees_and_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    a = deep(tmp_path / "a.onnx")
    with pytest.raises(BadInput, match="is apart by more than"):
        lab.reduce(a, lab.simplify(a, name="same"), FEEDS)
    with pytest.raises(BadInput, match="no tensor of the same name"):
        lab.reduce(a, lab.samples.tiny(), FEEDS)
    with pytest.raises(BadInput, match="one model and no fails="):
        lab.reduce(a, data=FEEDS)
    with pytest.raises(BadInput, match="no data"):
        lab.reduce(a, a)
    with pytest.raises(BadInput, match="nothing is wrong"):
        lab.reduce(a, data=FEEDS, fails=lambda _part, _feeds: False)
