"""lab.view without a page: what it shows, what is selected, what it asks the kernel for, and Netron."""

from __future__ import annotations

import json
import sys
import types
import zlib
from typing import Any

import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, MissingExtra
from onnx_lab.jupyter.view.widget import GraphWidget


def test_selecting_from_python_and_from_the_page() -> None:
    v = lab.view(lab.samples.tiny())
    assert v is not None
    assert (v.selected, v.node) == ((), None)
    assert v.select("first/relu").node.op == "Relu"
    v._widget.selected = [v._sheet.box("first")]  # as a click on the group does
    assert v.selected == ("first/matmul", "first/add", "first/relu", "first/identity")
    assert (v.node, v.module) == (None, "first")
    with pytest.raises(BadInput, match="nothing in tiny is called 'frist'"):
        v.select("frist")


def test_names_and_layouts_follow_the_first_picture() -> None:
    v = lab.view(lab.samples.tiny())
    assert v is not None
    assert not v._widget.rest
    v._widget.send_the_rest().join(20)
    assert "first/relu" in json.loads(zlib.decompress(v._widget.index))["names"]
    assert v._widget.rest


def test_the_page_asks_for_a_group_and_for_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    v = lab.view(lab.samples.tiny())
    assert v is not None
    sent: list[Any] = []
    monkeypatch.setattr(GraphWidget, "send", lambda _, content, buffers: sent.append((content, buffers[0])))
    group, node = v._sheet.box("first"), v._sheet.box("first/relu")
    for message in ({"group": group}, {"node": node}, {"group": 10**6}, {"node": -1}, "nonsense", {"group": "x"}):
        v._widget._asked(None, message, [])
    parts = [json.loads(zlib.decompress(data)) for _, data in sent]
    assert str(group) in parts[0]["g"]
    assert parts[1]["one"][0] == node
    assert parts[2:] == [{}, {}]


def test_a_front_end_without_widgets_has_a_picture_and_a_table() -> None:
    m = lab.samples.tiny()
    v = lab.view(m, lab.simplify(m))
    assert v is not None
    bundle = v._repr_mimebundle_()
    assert "<table" in bundle["text/html"]
    assert "tiny → tiny-simplified" in bundle["text/plain"]
    assert v.diff is not None
    assert v.diff.counts == {"removed": 1}


def test_what_cannot_be_shown_is_refused() -> None:
    m = lab.samples.tiny()
    with pytest.raises(BadInput, match="did you mean 'netron'"):
        lab.view(m, tool="netorn")
    with pytest.raises(BadInput, match="two models and color"):
        lab.view(m, m, color="size")


def test_netron_is_opened_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    m = lab.samples.tiny()
    monkeypatch.setitem(sys.modules, "netron", None)
    with pytest.raises(MissingExtra, match="pip install netron"):
        lab.view(m, tool="netron")
    started: list[str] = []

    def start(path: str, browse: bool = True) -> tuple[str, int]:
        started.append(path)
        return "localhost", 8080

    monkeypatch.setitem(sys.modules, "netron", types.SimpleNamespace(start=start))
    lab.view(m)
    assert not started
    assert lab.view(m, tool="netron") is None
    assert started == [str(m.path)]
    assert "http://localhost:8080" in capsys.readouterr().out
    with pytest.raises(BadInput, match="two models in Netron"):
        lab.view(m, m, tool="netron")
