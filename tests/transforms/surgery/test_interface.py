"""The interface: names, order, types, outputs and inputs, and the part between tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_input_takes_another_type(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    half = lab.surgery.input_dtype(m, "x", "float16")
    assert [str(s) for s in (*half.inputs, *half.outputs)] == ["x: float16[batch, 8]", "logits: float32[batch, 4]"]
    assert "answers as tiny does" in said(half)
    assert str(by_hand(half, m, tmp_path).inputs[0]) == "x: float16[batch, 8]"
    with pytest.raises(BadInput, match="takes float16 already"):
        lab.surgery.input_dtype(half, "x", "float16")


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_weight_becomes_an_input_and_a_number_takes_its_place_again(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    asked = lab.surgery.add_input(m, "b1")
    assert [str(s) for s in asked.inputs] == ["x: float32[batch, 8]", "b1: float32[16]"]
    assert "answers as tiny does" in said(asked)
    assert str(by_hand(asked, m, tmp_path).inputs[1]) == "b1: float32[16]"
    back = lab.surgery.remove_input(asked, "b1", 0.5)
    assert [s.name for s in back.inputs] == ["x"]
    half = np.full(16, 0.5, np.float32)
    wanted = lab.infer(asked, {"x": X, "b1": half}).outputs["logits"]
    assert np.array_equal(lab.infer(back, {"x": X}).outputs["logits"], wanted)
    with pytest.raises(BadInput, match=r"read by (.|\n)*a value in its place"):
        lab.surgery.remove_input(asked, "b1")
    kept = lab.surgery.add_input(m, "b1", default=True)
    assert np.array_equal(lab.infer(kept, {"x": X}).outputs["logits"], lab.infer(m, {"x": X}).outputs["logits"])


def test_what_is_computed_becomes_an_input_and_its_makers_go() -> None:
    m = lab.surgery.add_input(lab.samples.tiny(), "h2")
    assert [str(s) for s in m.inputs] == ["x: float32[batch, 8]", "h2: float32[batch, 16]"]
    assert m.header.nodes < lab.samples.tiny().header.nodes


@pytest.mark.slow
def test_an_input_that_is_removed_takes_its_size_from_another(tmp_path: Path) -> None:
    """The batch of `h2` is that of `x`, which stays."""
    both = lab.surgery.add_input(lab.surgery.expose(lab.samples.tiny(), "h1"), "h2")
    m = lab.surgery.remove_input(both, "h2", 0)
    zeros = np.zeros((3, 16), np.float32)
    wanted = lab.infer(both, {"x": X, "h2": zeros}).outputs["logits"]
    assert np.array_equal(lab.infer(m, {"x": X}).outputs["logits"], wanted)
    hand = by_hand(m, both, tmp_path)
    assert np.array_equal(lab.infer(hand, {"x": X}).outputs["logits"], wanted)
    with pytest.raises(BadInput, match="known from no other input"):
        lab.surgery.remove_input(lab.surgery.extract(both, "h2", "logits"), "h2", 0)


@pytest.mark.slow
def test_two_halves_make_one_again(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    head, tail = lab.surgery.split(m, "h2")
    assert (head.name, tail.name) == ("tiny-head", "tiny-tail")
    whole = lab.surgery.merge(head, tail)
    assert np.array_equal(lab.infer(m, {"x": X}).outputs["logits"], lab.infer(whole, {"x": X}).outputs["logits"])
    assert "one after the other" in said(whole)
    assert [s.verb for s in whole.lineage] == ["tiny", "surgery.split", "surgery.merge"]
    assert any("surgery.split" in s for s in whole.lineage[-1].notes["lineage"])
    tail.save(tmp_path / "other.onnx")
    assert [s.name for s in by_hand(whole, head, tmp_path).outputs] == ["logits"]


@pytest.mark.slow
def test_names_that_both_have_get_a_prefix() -> None:
    first = lab.surgery.extract(lab.samples.tiny(), "x", "h1")
    second = lab.surgery.rename(lab.surgery.extract(lab.samples.tiny(), "h1", "logits"), "h1", "x")
    twice = lab.surgery.merge(first, second, "h1=x")
    assert [s.name for s in (*twice.inputs, *twice.outputs)] == ["x", "logits"]
    with pytest.raises(BadInput, match="did you mean 'h1'"):
        lab.surgery.merge(first, second, "h11=x")
    with pytest.raises(BadInput, match="does not fit"):
        lab.surgery.merge(second, second, "logits=x")


@pytest.mark.slow
def test_another_opset_up_and_down(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    up, down = lab.surgery.set_opset(m, 22), lab.surgery.set_opset(m, 19)
    assert (m.header.opsets[""], up.header.opsets[""], down.header.opsets[""]) == (20, 22, 19)
    assert all("answers as tiny does" in said(x) for x in (up, down))
    assert by_hand(down, m, tmp_path).header.opsets[""] == 19
    with pytest.raises(BadInput, match="already"):
        lab.surgery.set_opset(up, up.header.opsets[""])


def test_an_operator_without_a_form_there_is_named() -> None:
    gelu = lab.surgery.replace_op(lab.samples.tiny(), "Relu", "Gelu")
    with pytest.raises(lab.errors.TransformError, match=r"no form in opset 19: .*Gelu"):
        lab.surgery.set_opset(gelu, 19)


@pytest.mark.slow
def test_weights_go_outside_and_come_back(tmp_path: Path) -> None:
    m = lab.samples.tiny()
    out = lab.surgery.external_data(m)
    assert (out.path.parent / out.header.external[0]).stat().st_size > 500
    back = lab.surgery.external_data(out, "inside")
    assert back.header.external == ()
    assert np.array_equal(lab.infer(out, {"x": X}).outputs["logits"], lab.infer(back, {"x": X}).outputs["logits"])
    assert by_hand(out, m, tmp_path).header.external


@pytest.mark.slow
def test_what_tells_of_its_origin_is_taken_out(tmp_path: Path) -> None:
    model = lab.samples.tiny().to_ir()
    model.graph[0].metadata_props["pkg.torch.onnx.stack_trace"] = "/home/someone/net.py"
    model.graph[0].metadata_props["pkg.torch.onnx.name_scopes"] = "['', 'body', 'mm']"
    model.metadata_props["secret"] = "yes"
    model.doc_string = "made by someone"
    ir.save(model, tmp_path / "told.onnx")
    m = lab.load(tmp_path / "told.onnx")
    bare = lab.surgery.strip_metadata(m)
    text = bare.path.read_bytes()
    assert not [w for w in (b"someone", b"secret", b"body") if w in text]
    assert b"body" in lab.surgery.strip_metadata(m, "modules").path.read_bytes()
    assert "secret" in lab.surgery.strip_metadata(m, ["secret"]).header.metadata


@pytest.mark.slow
def test_undo_goes_back_to_the_file_a_step_began_with(tmp_path: Path) -> None:
    lab.samples.tiny(features=24).save(tmp_path / "mine.onnx")
    m = lab.load(tmp_path / "mine.onnx")
    twice = lab.surgery.rename(lab.surgery.expose(m, "h1"), "h1", "hidden")
    assert [s.name for s in lab.surgery.undo(twice).outputs] == ["logits", "h1"]
    assert lab.surgery.undo(twice, 2).digest == m.digest
    with pytest.raises(BadInput, match="no 9 steps"):
        lab.surgery.undo(twice, 9)


def test_what_is_gone_cannot_be_gone_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path / "home"))
    m = lab.surgery.expose(lab.samples.tiny(features=24), "h1")
    m.save(tmp_path / "kept.onnx")
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path / "another"))
    with pytest.raises(lab.errors.BadModel, match=r"is gone(.|\n)*made by: tiny"):
        lab.surgery.undo(lab.load(tmp_path / "kept.onnx"))
