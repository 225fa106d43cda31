"""Controls come from the function's own signature, and say what a magic's line would."""

from __future__ import annotations

from typing import Any, Literal

import ipywidgets as w
import numpy as np
import pytest

from onnx_lab import samples
from onnx_lab.errors import BadInput
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._signature import read
from onnx_lab.jupyter.dashboard import lines
from onnx_lab.jupyter.dashboard.forms import Form
from onnx_lab.jupyter.dashboard.state import State, Step
from onnx_lab.recipes.recipe import VERBS
from onnx_lab.task import Dataset


def brand_new(
    m: Any,
    *,
    kind: Literal["a", "b"] = "a",
    deep: bool = True,
    share: float = 0.5,
    limit: int | None = None,
    blocks: tuple[str, ...] = (),
    data: Dataset | None = None,
    name: str | None = None,
) -> Any:
    """A transform that nobody has heard of.

    Parameters
    ----------
    kind : {"a", "b"}, default "a"
        Which.
    deep : bool, default True
    share : float, default 0.5
    limit : int, optional
    blocks : sequence of str
    data : dataset, optional
    """


@pytest.fixture
def said() -> list[tuple[str, str | None]]:
    return []


@pytest.fixture
def form(said: list[tuple[str, str | None]]) -> Form:
    return Form(read(brand_new), Step("brand_new"), lambda name, text: said.append((name, text)), feeds=("few", "many"))


def test_a_new_transform_has_controls_by_itself(form: Form) -> None:
    kinds = {name: type(c) for name, c in form.controls.items()}
    assert kinds == {
        "kind": w.Dropdown,
        "deep": w.Checkbox,
        "share": w.Text,
        "limit": w.Text,
        "blocks": w.Text,
        "data": w.Dropdown,
    }
    assert form.controls["deep"].value is True
    assert [v for _, v in form.controls["data"].options] == ["", "few", "many"]
    assert "Which" in form.controls["kind"].tooltip
    assert form.controls["share"].placeholder == "0.5"


def test_what_is_set_is_told_as_a_word_and_the_default_as_none(form: Form, said: list[tuple[str, str | None]]) -> None:
    form.controls["kind"].value = "b"
    form.controls["deep"].value = False
    form.controls["share"].value = "0.25"
    form.controls["limit"].value = "3"
    form.controls["blocks"].value = "x,y"
    form.controls["share"].value = "0.5"
    assert said == [
        ("kind", "b"),
        ("deep", "false"),
        ("share", "0.25"),
        ("limit", "3"),
        ("blocks", "x,y"),
        ("share", None),
    ]


def test_what_the_magic_would_refuse_is_refused_here(form: Form) -> None:
    with pytest.raises(BadInput, match="--share half") as e:
        form.controls["share"].value = "half"
    assert "a number" in str(e.value)


def test_showing_another_step_sets_the_controls(form: Form) -> None:
    form.show(Step("brand_new", (("kind", "b"), ("data", "other"), ("deep", "false"))))
    assert (form.controls["kind"].value, form.controls["data"].value) == ("b", "other")
    assert form.controls["deep"].value is False
    form.show(Step("brand_new"))
    assert (form.controls["kind"].value, form.controls["data"].value) == ("", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_transform_has_a_form_in_which_nothing_is_set(verb: str) -> None:
    said: list[Any] = []
    form = Form(lines.signature_of(verb), Step(verb), lambda *word: said.append(word))
    assert {p.name for p in lines.signature_of(verb).parameters[1:]} - set(form.controls) <= {"name"}
    assert len(form.controls) >= 2
    assert all(c.description for c in form.controls.values())
    assert not said


def test_the_line_that_is_shown_is_what_is_run() -> None:
    names = Names({"few": [{"x": np.ones((1, 8), np.float32)}]})
    step = Step("quantize", (("method", "static"), ("data", "few"), ("per_channel", "false"), ("cap_mb", "64")))
    found = lines.arguments(step, names)
    assert found == {"method": "static", "data": names.get("few"), "per_channel": False, "cap_mb": 64}
    assert lines.line(step) == "%onnx_quantize m --method static --data few --no-per-channel --cap-mb 64"


def test_a_line_can_be_typed_as_it_is_shown(notebook: Any) -> None:
    step = Step("quantize", (("method", "int4"), ("block_size", "16")))
    notebook.ns["net"] = samples.tiny()
    typed = notebook.run("made = " + lines.line(step, "net") + "\nmade")
    assert [s.verb for s in typed.lineage] == ["tiny", "quantize"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step("quantize", (("metod", "static"),)), "option 'metod'"),
        (Step("quantize", (("cap_mb", "much"),)), "--cap-mb much"),
        (Step("mixed_precision"), "needs data"),
    ],
)
def test_what_cannot_be_run_says_why(step: Step, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        lines.arguments(step, Names())


def test_the_walk_begins_with_the_export_unless_it_is_a_model() -> None:
    steps = (Step("optimize"), Step("fp16"))
    assert lines.walk(State("a", source="net"), steps).splitlines() == [
        "m = %onnx_export net",
        "m = %onnx_optimize m",
        "m = %onnx_fp16 m",
    ]
    assert lines.walk(State("a", source="net", is_model=True), steps).splitlines()[0] == "m = %onnx_optimize net"
    sample = lines.walk(State("a", source="lab.samples.bert()"), ())
    assert sample == "bert = lab.samples.bert()\nm = %onnx_export bert.model"
