"""Pictures as feeds: every form in which they come, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.measure._pictures import is_picture
from onnx_lab.model import Model

RED = np.zeros((20, 30, 3), np.uint8) + np.array([255, 0, 0], np.uint8)


def colours(path: Path, size: int = 16, probabilities: bool = False) -> Model:
    """image float32[batch, 3, size, size] -> the mean of each channel, or softmax over them."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat" if probabilities else "scores"]),
    ]
    if probabilities:
        nodes.append(helper.make_node("Softmax", ["flat"], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return lab.load(path)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return colours(tmp_path / "colours.onnx")


def preprocess(picture: Image.Image) -> Any:
    return np.asarray(picture.resize((16, 16)), np.float32).transpose(2, 0, 1) / 255


def ask(m: Model, pictures: Any, **options: Any) -> Any:
    return lab.infer(m, pictures, preprocess=preprocess, labels=["red", "green", "blue"], **options)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["array", "PIL", "path", "text path", "grey and alpha"])
def test_every_form_of_a_picture(model: Model, tmp_path: Path, form: str) -> None:
    Image.fromarray(RED).save(tmp_path / "red.png")
    alpha = np.concatenate([RED, np.full((20, 30, 1), 255, np.uint8)], axis=2)
    forms: dict[str, Any] = {
        "array": RED,
        "PIL": Image.fromarray(RED),
        "path": tmp_path / "red.png",
        "text path": str(tmp_path / "red.png"),
        "grey and alpha": [alpha, np.full((5, 5), 255, np.uint8)],
    }
    found = ask(model, forms[form])
    assert found.labels[0] == "red"
    np.testing.assert_allclose(found.outputs["scores"][0], [1, 0, 0], atol=1e-6)
    assert found.pictures[0].startswith("data:image/jpeg")
    assert "<img src='data:image/jpeg" in found._repr_html_()


def test_the_card_shows_several_with_their_answers(model: Model) -> None:
    found = ask(model, [RED, RED[..., ::-1].copy()])
    assert found.labels == ("red", "blue")
    assert found._repr_html_().count("<figcaption") == 2
    assert "data:" not in str(found)


def test_probabilities_are_not_softmaxed_again(tmp_path: Path) -> None:
    m = colours(tmp_path / "probabilities.onnx", probabilities=True)
    found = ask(m, RED)
    np.testing.assert_allclose(found.probabilities, found.outputs["scores"])


def test_a_processor_of_hugging_face_is_taken(model: Model) -> None:
    found = lab.infer(model, RED, preprocess=lambda p: {"pixel_values": preprocess(p)[None]})
    assert found.outputs["scores"].shape == (1, 3)


@pytest.mark.parametrize(
    ("given", "came", "do"),
    [
        ("notes.txt", "notes.txt is not a picture that can be read", "viewer"),
        ("cut.png", "cut.png is not a picture that can be read", "cut off"),
        ("nothing.png", "no file at", "working folder"),
        (RED / 255, r"float64\[20, 30, 3\] as picture", "astype('uint8')"),
        (RED[..., :2], r"uint8\[20, 30, 2\] as picture", "input name"),
    ],
)
def test_what_is_no_picture(model: Model, tmp_path: Path, given: Any, came: str, do: str) -> None:
    (tmp_path / "notes.txt").write_text("no picture at all")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:9000])
    with pytest.raises(BadInput, match=came) as caught:
        ask(model, tmp_path / given if isinstance(given, str) else given)
    assert do in str(caught.value)


def test_a_picture_needs_preprocessing(model: Model) -> None:
    with pytest.raises(BadInput, match="without preprocess=") as caught:
        lab.infer(model, RED)
    assert "float32[3, 16, 16]" in str(caught.value)


def test_another_size_or_place_of_the_channels(model: Model) -> None:
    for wrong in ((3, 32, 32), (16, 16, 3)):
        with pytest.raises(BadInput, match="preprocess gives") as caught:
            lab.infer(model, RED, preprocess=lambda _, shape=wrong: np.zeros(shape, np.float32))
        assert "float32[3, 16, 16], as colours takes it in 'image'" in str(caught.value)


def test_a_model_without_a_picture_input() -> None:
    with pytest.raises(BadInput, match="a picture for tiny"):
        ask(lab.samples.tiny(), RED)


def test_text_is_no_picture() -> None:
    assert not is_picture("a text")
    assert not is_picture(["a text", RED])
    assert not is_picture({"x": RED})
    assert is_picture([RED, Path("x.png")])
