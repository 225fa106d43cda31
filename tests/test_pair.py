"""ClipPair: two Models that stay together; what is given a pair and takes one Model says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import towers

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.pair import ClipPair


@pytest.fixture
def pair(tmp_path: Path) -> ClipPair:
    return towers.make_pair(tmp_path)


def test_the_card_shows_both_towers_side_by_side(pair: ClipPair) -> None:
    text = str(pair)
    assert "t-image" in text
    assert "image: float32[batch, 3, 4, 4]" in text
    assert "text: int64[batch, 8]" in text
    assert "logit scale  10" in text
    assert "sigmoid" not in text
    assert "<table" in pair._repr_html_()


@pytest.mark.slow
def test_a_transform_goes_to_both_towers(pair: ClipPair) -> None:
    half = pair.apply(lab.fp16, keep_io=True)
    assert [m.lineage[-1].verb for m in (half.image, half.text)] == ["fp16", "fp16"]
    assert (half.logit_scale, half.context_length) == (pair.logit_scale, pair.context_length)
    both = pair.apply(lab.Recipe("simplify", "fp16", name="r"))
    assert [s.verb for s in both.text.lineage] == ["simplify", "fp16"]


def test_apply_refuses_what_makes_no_model(pair: ClipPair) -> None:
    with pytest.raises(BadInput, match="made a Inspection"):
        pair.apply(lab.inspect)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="name= for a pair"):
        pair.apply(lab.fp16, name="x")
    with pytest.raises(BadInput, match="a transform"):
        pair.apply("fp16")  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", ["fp16", "simplify", "optimize", "quantize", "inspect"])
def test_a_verb_for_one_model_names_apply(pair: ClipPair, verb: str) -> None:
    with pytest.raises(BadInput, match="pair of two Models") as caught:
        getattr(lab, verb)(pair)
    assert "pair.apply" in caught.value.do
    assert not hasattr(pair, "digest"), "still an AttributeError for those who look"
    with pytest.raises(AttributeError, match="'colour'"):
        _ = pair.colour


@pytest.mark.slow
def test_save_and_load(pair: ClipPair, tmp_path: Path) -> None:
    folder = pair.apply(lab.fp16).save(tmp_path / "new" / "folder")
    assert sorted(p.name for p in folder.iterdir()) == ["image.onnx", "pair.json", "text.onnx"]
    again = ClipPair.load(folder)
    assert (again.name, again.logit_scale, again.logit_bias, again.context_length) == ("toy", 10.0, None, 8)
    assert again.image.lineage[-1].verb == "fp16"
    asked = {"preprocess": towers.preprocess, "tokenizer": towers.tokenizer, "prompts": ["red", "blue"]}
    assert lab.infer(again, towers.colours(), **asked).labels[0] == "red"


def test_a_folder_that_is_no_pair(pair: ClipPair, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"no pair\.json"):
        ClipPair.load(tmp_path)
    folder = pair.save(tmp_path / "p")
    facts = json.loads((folder / "pair.json").read_text())
    (folder / "pair.json").write_text(json.dumps({**facts, "format": 99}))
    with pytest.raises(BadModel, match="format 99"):
        ClipPair.load(folder)
    (folder / "pair.json").write_text("{")
    with pytest.raises(BadModel, match="cannot be read"):
        ClipPair.load(folder)
    (folder / "pair.json").write_text(json.dumps(facts))
    (folder / "text.onnx").unlink()
    with pytest.raises(BadModel):
        ClipPair.load(folder)
