"""compare: differences, cosines and changed answers, with padding left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.measure.compare import _cosines, _Tally


def scaled(folder: Path, factor: float, *, output: str = "y", name: str = "scaled") -> lab.Model:
    """y = x * factor over x of (batch, 3)."""
    spec = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "f"], [output])],
        "g",
        [spec("x", TensorProto.FLOAT, ["batch", 3])],
        [spec(output, TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array(factor, np.float32), "f")],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


def scores(folder: Path, shift: float, name: str, axes: tuple[str, object] = ("batch", "seq")) -> lab.Model:
    """(batch, seq) mask -> (batch, seq) or (batch, classes): -1 - shift where the mask is 1, `shift` where it is 0."""
    spec = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["m", "slope"], ["p"]),
        helper.make_node("Add", ["p", "shift"], ["start_logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [spec("attention_mask", TensorProto.INT64, ["batch", "seq"])],
        [spec("start_logits", TensorProto.FLOAT, list(axes))],
        [
            numpy_helper.from_array(np.array(v, np.float32), n)
            for n, v in {"slope": -1 - 2 * shift, "shift": shift}.items()
        ],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


def labels(folder: Path, words: list[str], name: str) -> lab.Model:
    """Text out: the words, whatever comes in."""
    spec = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gather", ["words", "i"], ["label"])],
        "g",
        [spec("i", TensorProto.INT64, ["batch"])],
        [spec("label", TensorProto.STRING, ["batch"])],
        [helper.make_tensor("words", TensorProto.STRING, [len(words)], [w.encode() for w in words])],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


def masked(folder: Path, noise: float, name: str) -> lab.Model:
    """(batch, seq) ids and mask -> (batch, seq, 2); what stands at masked positions depends on `noise`."""
    spec = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "m"], ["hole"]),
        helper.make_node("Mul", ["hole", "noise"], ["junk"]),
        helper.make_node("Cast", ["ids"], ["i"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["i", "junk"], ["s"]),
        helper.make_node("Unsqueeze", ["s", "axis"], ["u"]),
        helper.make_node("Concat", ["u", "u"], ["hidden"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [spec(n, TensorProto.INT64, ["batch", "seq"]) for n in ("ids", "attention_mask")],
        [spec("hidden", TensorProto.FLOAT, ["batch", "seq", 2])],
        [
            numpy_helper.from_array(np.array(1, np.float32), "one"),
            numpy_helper.from_array(np.array(noise, np.float32), "noise"),
            numpy_helper.from_array(np.array([2], np.int64), "axis"),
        ],
    )
    path = folder / f"{name}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


X = np.array([[1, 2, 3], [4, 6, 5]], np.float32)


@pytest.mark.slow
def test_the_figures_are_those_of_numpy(tmp_path: Path) -> None:
    a, b = scaled(tmp_path, 1.0, name="a"), scaled(tmp_path, -2.0, name="b")
    found = lab.compare(a, b, [{"x": X}, {"x": X[:1]}])
    (y,) = found.outputs
    assert (found.n, y.largest) == (3, 18.0)
    assert y.mean == pytest.approx(3 * (X.sum() + X[0].sum()) / 9)
    assert y.cosine_mean == pytest.approx(-1)
    assert y.changed == 1.0
    assert not found


def test_a_model_equals_itself(tmp_path: Path) -> None:
    found = lab.compare(lab.samples.tiny(), lab.samples.tiny(), {"x": np.ones((4, 8), np.float32)})
    assert found
    assert found.largest == 0
    assert found.outputs[0].cosine_min == pytest.approx(1)


@pytest.mark.slow
def test_tolerances_decide_the_truth_value(tmp_path: Path) -> None:
    a, b = scaled(tmp_path, 1.0, name="a"), scaled(tmp_path, 1.01, name="b")
    assert not lab.compare(a, b, {"x": X})
    assert lab.compare(a, b, {"x": X}, rtol=0.02)


def test_padding_does_not_count(tmp_path: Path) -> None:
    a, b = masked(tmp_path, 0.0, "a"), masked(tmp_path, 99.0, "b")
    ids = np.arange(1, 9).reshape(2, 4)
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    assert lab.compare(a, b, {"ids": ids, "attention_mask": mask})
    assert lab.compare(a, b, {"ids": ids, "attention_mask": mask}).largest == 0

    class Unmasked(dict[str, np.ndarray]):  # the same feeds, with the mask out of the comparison's sight
        def get(self, key: str, default: object = None) -> object:
            return None if key == "attention_mask" else super().get(key, default)

    assert lab.compare(a, b, [Unmasked(ids=ids, attention_mask=mask)]).largest == 99


def test_padding_does_not_thin_the_mean() -> None:
    tally = _Tally("hidden", 0.0, 0.0)
    mask = np.array([[True, True, False, False]])
    tally.add(np.zeros((1, 4, 2)), np.ones((1, 4, 2)), mask)
    assert tally.result().mean == 1.0


@pytest.mark.slow
def test_scores_over_the_sequence_are_masked_and_scores_over_classes_are_not(tmp_path: Path) -> None:
    feeds = {"attention_mask": np.array([[1, 1, 0]])}
    a, b = scores(tmp_path, 0.0, "a"), scores(tmp_path, 5.0, "b")
    (over_sequence,) = lab.compare(a, b, feeds).outputs
    assert (over_sequence.largest, over_sequence.changed) == (5.0, 0.0)
    wide = ("batch", 3)  # as many classes as the text has tokens, by chance
    a, b = scores(tmp_path, 0.0, "c", wide), scores(tmp_path, -50.0, "d", wide)
    (over_classes,) = lab.compare(a, b, feeds).outputs
    assert (over_classes.largest, over_classes.changed) == (50.0, 1.0)


@pytest.mark.slow
def test_labels_that_are_text(tmp_path: Path) -> None:
    a, b = labels(tmp_path, ["cat", "dog"], "a"), labels(tmp_path, ["cat", "cow"], "b")
    feeds = {"i": np.array([0, 1, 0, 1])}
    assert lab.compare(a, a, feeds)
    (found,) = lab.compare(a, b, feeds).outputs
    assert (found.largest, found.changed) == (1.0, 0.5)


def test_one_output_only(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    feeds = {"x": np.ones((1, 8), np.float32)}
    assert [o.name for o in lab.compare(m, m, feeds, output="logits").outputs] == ["logits"]
    with pytest.raises(BadInput, match="did you mean 'logits'"):
        lab.compare(m, m, feeds, output="logit")


def test_nan_on_one_side_is_counted_and_never_close(tmp_path: Path) -> None:
    a, b = scaled(tmp_path, 1.0, name="a"), scaled(tmp_path, float("nan"), name="b")
    found = lab.compare(a, b, {"x": X})
    assert found.outputs[0].nan == 2
    assert not found
    assert "NaN on one side only" in str(found)


def test_no_data_and_no_common_output(tmp_path: Path) -> None:
    m = scaled(tmp_path, 1.0, name="a")
    with pytest.raises(BadInput, match="not one batch"):
        lab.compare(m, m, [])
    with pytest.raises(BadInput, match="at least one output of the same name"):
        lab.compare(m, scaled(tmp_path, 1.0, output="z", name="z"), {"x": X})


def test_zero_vectors() -> None:
    x = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    y = np.array([[0.0, 0.0], [1.0, 0.0], [6.0, 8.0]])
    assert _cosines(x, y).tolist() == pytest.approx([1.0, 0.0, 1.0])


def test_it_shows_itself() -> None:
    found = lab.compare(lab.samples.tiny(), lab.samples.tiny(), {"x": np.ones((1, 8), np.float32)})
    assert "tiny against tiny" in str(found)
    assert "cosine_mean" in found.to_json()
