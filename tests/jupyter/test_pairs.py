"""A pair in the magics: prompts by the name of a list, in words, and as plain code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import towers


@pytest.fixture
def desk(notebook: Any, tmp_path: Path) -> Any:
    notebook.ns.update(
        toy=towers.make_pair(tmp_path),
        images=towers.colours(),
        words=("red", "green", "blue"),
        preprocess=towers.preprocess,
        tokenizer=towers.tokenizer,
    )
    yield notebook
    for name in ("toy", "images", "words", "preprocess", "tokenizer"):
        notebook.ns.pop(name, None)


OPTIONS = "--preprocess preprocess --tokenizer tokenizer"


def test_infer_takes_a_pair_pictures_and_prompts(desk: Any) -> None:
    found = desk.run(f"%onnx_infer toy images --prompts words {OPTIONS}")
    assert found.labels == ("red", "green", "blue")
    one = desk.run(f"%onnx_infer toy images[2] --prompts red,blue {OPTIONS}")
    assert one.labels == ("blue",)


def test_a_pair_is_offered(desk: Any) -> None:
    assert "toy" in desk.tab("%onnx_infer to")
    assert "--prompts" in desk.tab("%onnx_infer toy images --pro")


def test_the_plain_code_reads_two_files(desk: Any) -> None:
    text = str(desk.run(f"%onnx_infer toy images --prompts words {OPTIONS} --code"))
    assert "image.onnx" in text
    assert "text.onnx" in text
    assert "10 * features[0] @ features[1].T" in text
    compile(text, "plain", "exec")
