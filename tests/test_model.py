"""Model, cards, errors and Task: what a person sees and what they may rely on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from large import four_gigabytes

import onnx_lab as lab
from onnx_lab import errors
from onnx_lab.card import Card, Table
from onnx_lab.model import Step, lineage_from_json, lineage_to_json


def test_a_model_cannot_be_edited() -> None:
    model = lab.samples.tiny()
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.name = "other"  # type: ignore[misc]


def test_the_card_is_a_few_lines_and_never_a_dump() -> None:
    text = str(lab.samples.tiny())
    assert len(text.splitlines()) < 15
    for word in ("size", "nodes", "opset", "x: float32[batch, 8]", "lineage"):
        assert word in text
    html = lab.samples.tiny()._repr_html_()
    assert len(html) < 5_000
    assert "<script" not in html


def test_to_ir_is_a_private_copy() -> None:
    model = lab.samples.tiny()
    digest = model.digest
    graph = model.to_ir()
    graph.graph.name = "changed"
    assert lab.load(model.path).digest == digest


def test_a_big_external_model_shows_its_card_without_its_weights(tmp_path: Path) -> None:
    """4 GB of weights that do not even exist on disk as blocks: the card is made from the graph alone."""
    path = four_gigabytes(tmp_path)
    model = lab.load(path)
    assert "4295.0 MB with external data" in str(model)
    assert model.header.weights == {"float32": 32_768**2}


def test_save_takes_the_model_home(tmp_path: Path) -> None:
    model = lab.samples.tiny()
    home = model.save(tmp_path / "out" / "mine.onnx")
    assert home.read_bytes() == model.path.read_bytes()
    assert model.save(tmp_path / "out").name == "tiny.onnx"
    assert sorted(p.name for p in home.parent.iterdir()) == ["mine.onnx", "tiny.onnx"]
    onnx.checker.check_model(home)


def test_lineage_round_trip_and_damage() -> None:
    steps = (Step("export", {"opset": 20}), Step("fp16", {"keep_io": True}, {"onnx": "1"}, "abc", {"say": ["x"]}))
    assert lineage_from_json(lineage_to_json(steps)) == steps
    assert lineage_from_json("nonsense") == ()
    assert lineage_from_json('[{"unknown": 1}]') == ()


def test_an_error_shows_itself_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    error = errors.BadInput("x is 3", accepted="1 or 2", do="choose one")
    assert error._render_traceback_() == ["BadInput: x is 3", "  accepted: 1 or 2", "  try: choose one"]
    assert isinstance(error, ValueError)
    monkeypatch.setattr(errors, "debug", True)
    assert any("BadInput" in line for line in error._render_traceback_())


def test_card_and_table_text_and_html_say_the_same() -> None:
    table = Table(("name", "ms"), (("a", "1.0"), ("bb", "22.0")), "latency", {(1, 1): "good"})
    card = Card("Title <b>", [("size", "1 MB")], [table], ["a note"])
    text, html = card.text(), card.html()
    for word in ("size", "1 MB", "22.0", "latency", "a note"):
        assert word in text
        assert word in html
    assert "<b>" not in html, "names are escaped"


def test_task_checks_its_labels() -> None:
    feeds = [{"x": np.zeros((2, 8), np.float32)}, {"x": np.zeros((3, 8), np.float32)}]
    task = lab.Task("t", feeds, np.array([0, 1, 1, 0, 1]), ("a", "b"))
    assert len(task) == 5
    assert len(task.take(1)) == 2
    with pytest.raises(errors.BadInput, match="5 samples"):
        lab.Task("t", feeds, np.array([0]), ("a", "b"))
    with pytest.raises(errors.BadInput, match="labels from 0 to 7"):
        lab.Task("t", feeds, np.array([0, 1, 1, 0, 7]), ("a", "b"))


def test_target_in_plain_words() -> None:
    assert lab.Target.of(None).provider_name == "CPUExecutionProvider"
    with pytest.raises(errors.BadInput, match="did you mean 'openvino'"):
        lab.Target.of("opnvino")
    with pytest.raises(errors.BadInput, match="threads=0"):
        lab.Target("cpu", threads=0)


def test_a_file_tells_a_session_nothing_but_how_to_optimize(tmp_path: Path) -> None:
    proto = onnx.load(lab.samples.tiny().path)
    told = {"profile_to": "/", "save_optimized_to": "/tmp/x", "disabled_optimizers": ["A"], "other": 1}
    for key, value in {"session": json.dumps(told), "labels": "{", "lineage": '[{"verb": 3}]'}.items():
        proto.metadata_props.add(key=f"onnx_lab.{key}", value=value)
    onnx.save(proto, tmp_path / "m.onnx")
    m = lab.load(tmp_path / "m.onnx")
    assert m.session_hints == {"disabled_optimizers": ["A"]}
    assert (m.labels, m.lineage) == ((), ())


def test_a_graph_that_contradicts_itself_is_a_bad_model(tmp_path: Path) -> None:
    proto = onnx.load(lab.samples.tiny().path)
    proto.graph.node[1].output[0] = proto.graph.node[0].output[0]
    onnx.save(proto, tmp_path / "m.onnx")
    m = lab.load(tmp_path / "m.onnx")
    with pytest.raises(errors.BadModel, match=r"h0.* is redeclared"):
        m.to_ir()
    with pytest.raises(errors.BadModel, match=r"h0.* is redeclared"):
        m.to_graph()
