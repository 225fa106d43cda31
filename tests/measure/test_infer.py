"""infer: answers, labelled probabilities, and what a wrong input is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.measure._text import cut_texts
from onnx_lab.measure.infer import probabilities_of

X = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
ABCD = ("a", "b", "c", "d")


def reference(x: np.ndarray) -> np.ndarray:
    """The tiny model's arithmetic in NumPy."""
    from onnx import numpy_helper

    w = {t.name: numpy_helper.to_array(t) for t in lab.samples.tiny().to_proto().graph.initializer}
    return np.maximum(x @ w["w1"] + w["b1"], 0) @ w["w2"] + w["b2"]


def test_arrays_in_arrays_out() -> None:
    found = lab.infer(lab.samples.tiny(), {"x": X})
    np.testing.assert_allclose(found.outputs["logits"], reference(X), rtol=1e-5)
    assert found.probabilities is None
    assert found.labels == ()


def test_softmax_and_labels() -> None:
    found = lab.infer(lab.samples.tiny(), {"x": X}, labels=ABCD)
    e = np.exp(reference(X).astype(np.float64))
    np.testing.assert_allclose(found.probabilities, e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    assert found.labels == tuple(ABCD[i] for i in reference(X).argmax(axis=1))
    assert "probability" in str(found)
    assert list(found.to_pandas().columns) == ["sample", "label", *ABCD]


def test_lists_are_taken_where_nothing_is_lost() -> None:
    assert lab.infer(lab.samples.tiny(), {"x": [[1] * 8]}).outputs["logits"].shape == (1, 4)


@pytest.mark.parametrize(
    ("feeds", "came", "do"),
    [
        ({"y": X}, "feed 'y'", "choose from: x"),
        ({}, "no feed for 'x'", "add it"),
        ({"x": X.astype(np.float64)}, "float64", "astype('float32')"),
        ({"x": X[0]}, "rank 1", "x[None]"),
        ({"x": X[:, :5]}, "axis 1 is 5", "pad, cut or resize"),
        ({"x": "text"}, "of str: 'text'", "array of numbers"),
        (3, "type int", ""),
        ([], "type list", ""),
        ("some text", "text without a tokenizer", "tokenizer="),
    ],
)
def test_a_wrong_input_says_what_came_what_is_accepted_what_to_do(feeds: Any, came: str, do: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.infer(lab.samples.tiny(), feeds)
    assert came in caught.value.came
    assert do in caught.value.do
    if isinstance(feeds, dict):
        assert "x: float32[batch, 8]" in caught.value.accepted


def test_labels_that_do_not_fit() -> None:
    with pytest.raises(BadInput, match="2 labels for an output of"):
        lab.infer(lab.samples.tiny(), {"x": X}, labels=("a", "b"))


def test_text_through_a_tokenizer() -> None:
    asked: list[Any] = []

    def tokenizer(texts: list[str], **options: Any) -> dict[str, np.ndarray]:
        asked.append((texts, options["max_length"]))
        return {"x": np.ones((len(texts), 8)), "unused": np.ones(1)}

    found = lab.infer(lab.samples.tiny(), ["one", "two"], tokenizer=tokenizer, labels=ABCD, max_length=9)
    assert asked == [(["one", "two"], 9)]
    assert len(found.labels) == 2
    assert "one" in str(found)


def test_nan_is_a_clear_error_and_may_be_allowed() -> None:
    bad = X.copy()
    bad[0, 0] = np.nan
    with pytest.raises(BadModel, match="4 of 12 values of output 'logits' are NaN") as caught:
        lab.infer(lab.samples.tiny(), {"x": bad})
    assert "['x'] hold NaN" in caught.value.do
    assert np.isnan(lab.infer(lab.samples.tiny(), {"x": bad}, allow_nan=True).outputs["logits"][0]).all()


def test_infinite_scores_are_told_and_give_probabilities() -> None:
    big = X.copy()
    big[0] = 3e38
    found = lab.infer(lab.samples.tiny(), {"x": big}, labels=ABCD, allow_nan=True)
    assert np.isinf(found.outputs["logits"][0]).any()
    assert any("of output 'logits' are infinite" in n for n in found.notes)
    assert "infinite" in str(found)


def test_a_torch_tensor_is_a_feed() -> None:
    import torch

    x = torch.tensor(X, requires_grad=True)
    np.testing.assert_allclose(lab.infer(lab.samples.tiny(), {"x": x}).outputs["logits"], reference(X), rtol=1e-5)
    with pytest.raises(BadInput, match="float64"):
        lab.infer(lab.samples.tiny(), {"x": x.double()})


def test_a_fixed_length_is_padded_to(tmp_path: Path) -> None:
    spec = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["ids"], ["same"])],
        "g",
        [spec("ids", TensorProto.INT64, ["batch", 6])],
        [spec("same", TensorProto.INT64, ["batch", 6])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "fixed.onnx"
    )
    asked: dict[str, Any] = {}

    def tokenizer(texts: list[str], **options: Any) -> dict[str, np.ndarray]:
        asked.update(options)
        return {"ids": np.zeros((len(texts), options["max_length"]), np.int32)}

    found = lab.infer(lab.load(tmp_path / "fixed.onnx"), "one", tokenizer=tokenizer)
    assert found.outputs["same"].shape == (1, 6)
    assert (asked["padding"], asked["max_length"]) == ("max_length", 6)


def test_texts_that_were_cut_are_counted() -> None:
    masks = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    cut = cut_texts(("long", "short"), {"attention_mask": masks}, 4)
    assert list(cut) == ["1 of 2 texts fill all 4 tokens: what is longer was cut (max_length=...)"]
    assert not list(cut_texts((), {"attention_mask": masks}, 4))


def test_more_tokens_than_the_model_has_places_for() -> None:
    class Tokenizer:
        model_max_length = 512

        def __call__(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("not asked")

    with pytest.raises(BadInput, match="max_length=2000") as caught:
        lab.infer(lab.samples.tiny(), "word", tokenizer=Tokenizer(), max_length=2000)
    assert "up to 512 tokens" in str(caught.value)


def test_softmax_of_what_is_infinite() -> None:
    inf = float("inf")
    given = np.array([[inf, 0, -inf], [-inf, -inf, -inf], [1e5, 1e5, 0]], np.float32)
    np.testing.assert_allclose(probabilities_of(given), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])


def test_an_unknown_target() -> None:
    with pytest.raises(BadInput, match="did you mean 'openvino'"):
        lab.infer(lab.samples.tiny(), {"x": X}, target="openvin")
