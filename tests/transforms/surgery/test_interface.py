"""The interface: names, order, types, outputs and inputs, and the part between tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for

X = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)


def said(m: Model) -> str:
    return "\n".join(m.lineage[-1].notes["say"])


def by_hand(m: Model, source: Model, folder: Path) -> Model:
    """What the plain code of the last step of `m` makes of `source`."""
    source.save(folder / "model.onnx")
    subprocess.run([sys.executable, "-c", code_for(m.lineage[-1])], cwd=folder, check=True)
    made = list(folder.glob("model-*.onnx"))
    assert len(made) == 1
    return lab.load(made[0])


def test_names_change_inside_and_outside_and_may_change_places(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    new = lab.surgery.rename(m, {"x": "h1", "h1": "x", "logits": "scores", "first/matmul": "projection"})
    assert (new.inputs[0].name, new.outputs[0].name) == ("h1", "scores")
    assert [n.name for n in new.to_ir().graph][:1] == ["projection"]
    assert np.array_equal(lab.infer(m, {"x": X}).outputs["logits"], lab.infer(new, {"h1": X}).outputs["scores"])
    assert "answers as tiny does" in said(new)
    assert [str(s) for s in by_hand(new, m, tmp_path).inputs] == [str(s) for s in new.inputs]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("h11", "a", "did you mean 'h1'"), ("h1", "x", "'x' is the name of something else"), ("h1", None, "to what")],
)
def test_names_that_cannot_be_given(old: str, new: str | None, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        lab.surgery.rename(lab.samples.tiny(), old, new)


def test_the_part_between_tensors_answers_as_the_whole_does_there(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    part = lab.surgery.extract(m, "h1", "logits")
    assert [str(s) for s in part.inputs] == ["h1: float32[batch, 16]"]
    assert "answers as the whole does" in said(part)
    hidden = lab.infer(lab.surgery.expose(m, "h1"), {"x": X}).outputs
    assert np.allclose(lab.infer(part, {"h1": hidden["h1"]}).outputs["logits"], hidden["logits"], atol=1e-6)
    head = lab.surgery.extract(m, None, ["h2"])
    assert [s.name for s in (*head.inputs, *head.outputs)] == ["x", "h2"]
    assert [s.name for s in by_hand(part, m, tmp_path).inputs] == ["h1"]
    with pytest.raises(BadInput, match="no output depends on logits"):
        lab.surgery.extract(m, ["x", "logits"], "h1")


def test_an_input_takes_another_type(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    half = lab.surgery.input_dtype(m, "x", "float16")
    assert [str(s) for s in (*half.inputs, *half.outputs)] == ["x: float16[batch, 8]", "logits: float32[batch, 4]"]
    assert "answers as tiny does" in said(half)
    assert str(by_hand(half, m, tmp_path).inputs[0]) == "x: float16[batch, 8]"
    with pytest.raises(BadInput, match="takes float16 already"):
        lab.surgery.input_dtype(half, "x", "float16")


def test_outputs_are_put_in_order_and_removed(tmp_path: Path) -> None:
    m = lab.surgery.expose(lab.samples.tiny(), ["h1", "h2"])
    turned = lab.surgery.reorder(m, ["h2", "logits"])
    assert [s.name for s in turned.outputs] == ["h2", "logits", "h1"]
    less = lab.surgery.remove_output(turned, ["logits", "h2"])
    assert [s.name for s in less.outputs] == ["h1"]
    assert less.header.nodes < m.header.nodes
    assert [s.name for s in by_hand(turned, m, tmp_path).outputs] == ["h2", "logits", "h1"]
    with pytest.raises(BadInput, match="no output would be left"):
        lab.surgery.remove_output(less, "h1")
