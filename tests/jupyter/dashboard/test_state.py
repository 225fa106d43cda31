"""What a dashboard knows: choices as pure functions, JSON there and back, undo that keeps measurements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from onnx_lab.errors import BadInput, WorkspaceError
from onnx_lab.jupyter.dashboard import changes, store
from onnx_lab.jupyter.dashboard.state import Draft, State, Step, from_json, to_json
from onnx_lab.jupyter.dashboard.store import Store

VERBS = ("simplify", "optimize", "fix_shapes", "fp16", "quantize")


def begun(*ticked: str, source: str = "net") -> State:
    s = changes.pick_source(changes.fresh("one", VERBS), source)
    return replace(s, drafts=tuple(replace(d, on=d.step.verb in ticked) for d in s.drafts))


def names(s: State) -> list[str]:
    return [v.name for v in s.variants]


def test_each_ticked_step_is_a_row_that_comes_from_the_one_before() -> None:
    s = changes.planned(begun("optimize", "quantize"))
    assert names(s) == ["net", "net-optimized", "net-optimized-int8"]
    assert [v.parent for v in s.variants] == [None, s.variants[0].id, s.variants[1].id]
    assert [v.name for v in s.lineage(s.variants[2])] == names(s)
    assert changes.planned(s) == s  # a second time plans nothing new


def test_another_option_is_another_row_with_a_name_of_its_own() -> None:
    s = changes.planned(begun("quantize"))
    s = changes.planned(changes.set_option(s, 2, "per_channel", "false"))
    assert names(s) == ["net", "net-int8", "net-int8 (2)"]
    s = changes.planned(changes.set_option(s, 2, "per_channel", None))
    assert len(s.variants) == 3


def test_another_target_is_another_row() -> None:
    s = changes.planned(begun("optimize"))
    s = changes.planned(replace(s, target="openvino"))
    assert names(s) == ["net", "net-optimized", "net-optimized on openvino"]
    s = changes.planned(changes.tick(s, 2, True))
    assert names(s)[-1] == "net-optimized-int8 on openvino"


def test_the_order_of_steps_is_the_order_of_work() -> None:
    s = begun("optimize", "quantize")
    assert [d.step.verb for d in s.drafts][:3] == ["simplify", "optimize", "quantize"]
    s = changes.move(s, 2, -1)
    assert [x.verb for x in s.steps] == ["quantize", "optimize"]
    assert changes.move(s, 0, -1) == s


def test_a_fork_takes_the_steps_of_a_row_into_the_form() -> None:
    s = changes.planned(changes.set_option(begun("optimize", "quantize"), 2, "method", "int4"))
    s = replace(s, drafts=tuple(Draft(Step(v)) for v in VERBS))
    s = changes.fork(s, s.variants[2].id)
    assert s.steps == (Step("optimize"), Step("quantize", (("method", "int4"),)))
    assert len(s.drafts) == len(VERBS)
    assert s.selected == s.variants[2].id
    assert changes.planned(s).variants == s.variants


def test_a_row_goes_with_what_comes_from_it() -> None:
    s = changes.planned(begun("optimize", "quantize"))
    s = replace(s, selected=s.variants[2].id)
    less = changes.drop(s, s.variants[1].id)
    assert names(less) == ["net"]
    assert less.selected == s.variants[0].id
    assert changes.drop(s, s.variants[0].id) == s  # the model itself stays


def test_what_failed_is_tried_again() -> None:
    s = changes.planned(begun("optimize"))
    s = changes.learn(s, s.variants[1].id, state="failed", error="no")
    again = changes.planned(s).variants[1]
    assert (again.state, again.error) == ("planned", "")


def test_another_model_begins_anew() -> None:
    s = changes.planned(begun("optimize"))
    other = changes.pick_source(s, "other")
    assert (other.variants, other.selected) == ((), "")
    assert changes.pick_source(s, s.source) is s


@pytest.mark.parametrize(
    ("source", "name"),
    [("lab.samples.bert()", "bert"), ("my/model.onnx", "model"), ("net", "net"), ("org/name", "name")],
)
def test_the_first_row_is_called_after_the_source(source: str, name: str) -> None:
    assert names(changes.planned(begun(source=source))) == [name]


def test_json_there_and_back() -> None:
    s = changes.planned(changes.set_option(begun("optimize", "quantize"), 2, "method", "static"))
    s = changes.learn(s, s.variants[1].id, state="done", p50=0.012, notes=("a", "b"), path="/x.onnx")
    assert from_json(json.loads(json.dumps(to_json(s)))) == s


def test_what_was_under_way_is_planned_when_it_is_read() -> None:
    s = changes.planned(begun("optimize"))
    s = changes.learn(s, s.variants[1].id, state="making")
    assert from_json(to_json(s)).variants[1].state == "planned"


@pytest.mark.parametrize("value", [{}, {"kind": "Recipe", "format": 1}, {"kind": "Dashboard", "format": 99}])
def test_what_is_no_dashboard_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        from_json(value)


def test_undo_takes_back_a_choice_and_never_a_measurement() -> None:
    kept = Store(begun("optimize"))
    heard: list[int] = []
    kept.subscribe(lambda: heard.append(1))
    kept.change(changes.planned)
    row = kept.state.variants[1].id
    kept.change(lambda s: changes.tick(s, 2, True))
    kept.learn(lambda s: changes.learn(s, row, p50=0.5))
    kept.undo()
    assert not kept.state.drafts[2].on
    assert kept.state.variants[1].p50 == 0.5
    kept.redo()
    assert kept.state.drafts[2].on
    kept.undo()
    kept.undo()
    assert kept.state.variants == ()
    assert not kept.can_undo
    assert kept.can_redo
    assert len(heard) == 7


def test_what_changes_nothing_leaves_no_trace() -> None:
    kept = Store(begun())
    kept.change(lambda s: replace(s, source="net"))
    kept.undo()
    assert not kept.can_undo
    assert not kept.can_redo


def test_the_newest_comes_back_from_the_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="no dashboard in"):
        store.newest()
    store.save(begun(source="first"), store.folder())
    path = store.save(replace(begun(source="second"), id="two"), store.folder())
    assert store.newest().source == "second"
    path.write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        store.newest()


def test_a_workspace_that_cannot_be_written_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path / "file"))
    with pytest.raises(WorkspaceError):
        store.save(begun(), store.folder())
