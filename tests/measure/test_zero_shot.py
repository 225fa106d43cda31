"""A pair at work: pictures against prompts, features alone, a zero-shot head as one Model, and what goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import towers

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.pair import ClipPair

PROMPTS = ("red", "green", "blue")
ASKED: dict[str, Any] = {"preprocess": towers.preprocess, "tokenizer": towers.tokenizer}


@pytest.fixture
def pair(tmp_path: Path) -> ClipPair:
    return towers.make_pair(tmp_path)


def expected(prompts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Features of the three pictures and of the prompts, in NumPy."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    pictures = np.stack([towers.preprocess(p) for p in towers.colours()]).mean(axis=(2, 3))
    text = towers.EMBEDDING[towers.tokenizer(list(prompts))].sum(axis=1)
    return unit(pictures @ towers.PROJECTION), unit(text)


def test_pictures_against_prompts(pair: ClipPair) -> None:
    found = lab.infer(pair, towers.colours(), prompts=PROMPTS, **ASKED)
    image, text = expected(PROMPTS)
    np.testing.assert_allclose(found.outputs["image_features"], image, atol=1e-5)
    np.testing.assert_allclose(found.outputs["text_features"], text, atol=1e-5)
    scores = 10 * image @ text.T
    np.testing.assert_allclose(found.outputs["logits_per_image"], scores, atol=1e-4)
    e = np.exp(scores)
    np.testing.assert_allclose(found.probabilities, e / e.sum(axis=1, keepdims=True), rtol=1e-4)
    assert found.labels == found.classes == PROMPTS
    assert len(found.pictures) == 3
    assert found._repr_html_().count("<img") == 3
    named = lab.infer(pair, towers.colours(), prompts=PROMPTS, labels=["r", "g", "b"], **ASKED)
    assert named.labels == ("r", "g", "b")


@pytest.mark.slow
def test_a_model_with_a_bias_gives_a_sigmoid_for_each_prompt(tmp_path: Path) -> None:
    pair = towers.make_pair(tmp_path, bias=-5.0)
    found = lab.infer(pair, towers.colours(), prompts=PROMPTS, **ASKED)
    image, text = expected(PROMPTS)
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(5 - 10 * image @ text.T)), rtol=1e-4)
    assert any("need not add up" in n for n in found.notes)
    head = pair.zero_shot(PROMPTS, tokenizer=towers.tokenizer)
    scores = lab.infer(head, towers.colours(), preprocess=towers.preprocess).outputs["scores"]
    np.testing.assert_allclose(scores, 10 * image @ text.T - 5, atol=1e-4)


def test_features_alone(pair: ClipPair) -> None:
    image, text = expected(PROMPTS)
    found = lab.infer(pair, towers.colours() * 30, preprocess=towers.preprocess)
    assert list(found.outputs) == ["image_features"]
    np.testing.assert_allclose(found.outputs["image_features"][-3:], image, atol=1e-5)
    words = lab.infer(pair, list(PROMPTS), tokenizer=towers.tokenizer)
    np.testing.assert_allclose(words.outputs["text_features"], text, atol=1e-5)
    arrays = {"image": np.stack([towers.preprocess(p) for p in towers.colours()])}
    ready = lab.infer(pair, arrays, prompts=PROMPTS, tokenizer=towers.tokenizer)
    assert ready.labels == PROMPTS


def test_paths_are_pictures(pair: ClipPair, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    towers.colours()[0].save(file)
    assert lab.infer(pair, str(file), prompts=PROMPTS, **ASKED).labels == ("red",)


@pytest.mark.slow
def test_the_head_is_one_model_with_labels_and_lineage(pair: ClipPair) -> None:
    head = pair.zero_shot(PROMPTS, ("R", "G", "B"), tokenizer=towers.tokenizer)
    assert head.labels == ("R", "G", "B")
    assert head.lineage[-1].verb == "zero_shot"
    assert [str(o) for o in head.outputs] == ["scores: float32[batch, 3]"]
    image, text = expected(PROMPTS)
    found = lab.infer(head, towers.colours(), preprocess=towers.preprocess)
    np.testing.assert_allclose(found.outputs["scores"], 10 * image @ text.T, atol=1e-4)
    assert found.labels == ("R", "G", "B")
    feeds = [{"image": np.stack([towers.preprocess(p) for p in towers.colours()])}]
    task = lab.Task("colours", feeds, np.arange(3), head.labels)
    assert lab.accuracy(head, task).value == 1.0
    assert lab.accuracy(lab.fp16(head), task).value == 1.0
    assert pair.zero_shot(PROMPTS, ("R", "G", "B"), tokenizer=towers.tokenizer).cached
    assert not pair.zero_shot(("red", "green", "red blue"), ("R", "G", "B"), tokenizer=towers.tokenizer).cached


@pytest.mark.slow
def test_the_head_of_a_half_precision_tower(pair: ClipPair) -> None:
    half = pair.apply(lab.fp16, keep_io=False)
    head = half.zero_shot(PROMPTS, tokenizer=towers.tokenizer)
    assert head.outputs[0].dtype == "float16"
    assert lab.infer(head, towers.colours(), preprocess=towers.preprocess).labels == PROMPTS


@pytest.mark.slow
def test_several_prompts_for_a_class_are_averaged(pair: ClipPair) -> None:
    head = pair.zero_shot([("red", "red red green"), ("blue",)], tokenizer=towers.tokenizer)
    assert head.labels == ("red", "blue")
    _, text = expected(("red", "red red green", "blue"))
    mean = text[:2].mean(axis=0)
    image, _ = expected(PROMPTS)
    scores = lab.infer(head, towers.colours(), preprocess=towers.preprocess).outputs["scores"]
    np.testing.assert_allclose(scores[:, 0], 10 * image @ (mean / np.linalg.norm(mean)), atol=1e-4)


@pytest.mark.slow
def test_texts_that_fill_the_context_are_counted(pair: ClipPair) -> None:
    found = lab.infer(pair, towers.colours(), prompts=["red", "green " * 9], **ASKED)
    assert "1 of 2 texts fill all 8 tokens: what is longer was cut" in found.notes
    assert not lab.infer(pair, towers.colours(), prompts=["red"], **ASKED).notes


@pytest.mark.parametrize(
    ("change", "came", "hint"),
    [
        ({"prompts": []}, "no prompt at all", "one text"),
        ({"prompts": ["red", "  "]}, "prompt '  '", "at least one word"),
        ({"tokenizer": None}, "prompts without a tokenizer", "text: int64[batch, 8]"),
        ({"tokenizer": 3}, "a int as tokenizer", "open_clip"),
        ({"preprocess": None}, "a picture without preprocess", "float32[3, 4, 4]"),
        ({"preprocess": lambda _: np.zeros((3, 9, 9), np.float32)}, "float32[3, 9, 9]", "float32[3, 4, 4]"),
        ({"tokenizer": lambda t: np.zeros((len(t), 5), np.int64)}, "axis 1 is 5", "fixed at 8"),
        ({"labels": ["one"]}, "1 labels for 3 prompts", "one label"),
    ],
)
def test_a_wrong_question_is_told_in_words(pair: ClipPair, change: dict[str, Any], came: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.infer(pair, towers.colours(), **{"prompts": PROMPTS, **ASKED, **change})
    assert came in caught.value.came
    assert hint in caught.value.accepted


def test_what_is_no_picture(pair: ClipPair, tmp_path: Path) -> None:
    file = tmp_path / "notes.png"
    file.write_text("not a picture")
    with pytest.raises(BadInput, match="is not a picture"):
        lab.infer(pair, file, prompts=PROMPTS, **ASKED)
    with pytest.raises(BadInput, match="as pictures, without preprocess"):
        lab.infer(pair, "red", prompts=PROMPTS, tokenizer=towers.tokenizer)


def test_prompts_for_one_model(pair: ClipPair) -> None:
    with pytest.raises(BadInput, match="one Model"):
        lab.infer(pair.image, towers.colours(), prompts=PROMPTS, preprocess=towers.preprocess)
    with pytest.raises(BadInput, match="2 classes for 3 prompts"):
        pair.zero_shot(PROMPTS, ("a", "b"), tokenizer=towers.tokenizer)
    with pytest.raises(BadInput, match="no prompt"):
        pair.zero_shot([], tokenizer=towers.tokenizer)
