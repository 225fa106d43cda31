"""What a run does with what goes wrong, or is another thing than last time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_conductor import conductor, row, run

import onnx_lab as lab
from onnx_lab.jupyter.dashboard import changes, snapshot, table
from onnx_lab.jupyter.dashboard.activity import Activity
from onnx_lab.jupyter.dashboard.conductor import Conductor
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.state import Budget, State, from_json, to_json
from onnx_lab.runtime import doctor

pytestmark = pytest.mark.slow


def given(c: Conductor, **things: Any) -> None:
    """What a cell of the notebook does."""
    c.sources._scope().update(things)  # type: ignore[attr-defined]  # a plain dict in these tests


def edited(c: Conductor, verb: str, **options: str) -> State:
    """A run with one more edit, ticked."""

    def add(s: State) -> State:
        s = changes.add_edit(s, verb)
        index = next(i for i, d in enumerate(s.drafts) if d.step.verb == f"surgery.{verb}")
        for name, text in options.items():
            s = changes.set_option(s, index, name, text)
        return s

    c.store.change(add)
    return run(c)


def test_data_that_does_not_fit_is_said_and_another_choice_heals_it() -> None:
    c = conductor("optimize", data="wrong")
    given(c, wrong=[{"nope": np.zeros((1, 64), np.float32)}])
    state = run(c)
    assert [bool(v.p50) for v in state.variants] == [True, True], "what cannot be judged is timed all the same"
    assert "nope" in state.variants[0].unjudged
    assert not any(v.taken for v in state.variants)
    c.store.change(changes.pick_judge)
    state = run(c)
    assert [(v.unjudged, v.asked) for v in state.variants] == [("", "random feeds")] * 2
    assert next(v.speed for v in state.variants) == "reference"
    assert sum(v.taken for v in state.variants) == 1


def test_a_target_that_does_not_run_is_said_and_another_one_heals_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(provider="CUDAExecutionProvider", runs=False, why="no NVIDIA GPU here")
    monkeypatch.setattr(doctor, "doctor", lambda: SimpleNamespace(providers=(cuda,)))
    c = conductor("optimize", target="cuda")
    state = run(c)
    assert "cuda does not run here: no NVIDIA GPU here" in c.activity.error
    c.store.change(lambda s: replace(s, target="cpu"))
    state = run(c)
    first = state.baseline
    assert first is not None
    assert (first.target, first.state, first.speed) == ("cpu", "done", "reference")
    assert {v.state for v in state.variants if v.target == "cpu"} == {"done"}


def test_rows_that_were_read_back_in_the_middle_are_finished() -> None:
    c = conductor("optimize")
    state = run(c)
    broken = replace(state, variants=tuple(replace(v, state="measuring", asked="") for v in state.variants))
    again = conductor("optimize")
    again.store.learn(lambda _: from_json(to_json(broken)))
    state = run(again)
    assert [v.state for v in state.variants] == ["done", "done"]
    tight = judged(replace(state, budget=Budget(mb=1e-9)))
    assert not any(v.taken or v.qualifies for v in tight.variants)


def test_another_model_under_the_same_name_begins_anew() -> None:
    c = conductor("optimize")
    before = {v.id: c.model(v).digest for v in run(c).variants}
    given(c, net=lab.samples.tiny(features=64, seed=77))
    after = {v.id: c.model(v).digest for v in run(c).variants}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert c.model(row(c, "net")) == lab.samples.tiny(features=64, seed=77)


def test_other_data_under_the_same_name_are_asked_anew() -> None:
    c = conductor("quantize", data="few")
    run(c)
    before = row(c, "net-int8").cosine
    given(c, few=[{"x": np.full((8, 64), 1e3, np.float32)}])
    run(c)
    assert row(c, "net-int8").cosine != before


def test_timings_say_the_shape_that_they_are_of() -> None:
    c = conductor()
    run(c)
    assert table.columns(c.store.state)[2]["title"] == "latency, ms [99 %]"
    asked = replace(c.store.state, measuring=replace(c.store.state.measuring, batch=64))
    assert table.columns(asked)[2]["title"] == "latency, ms [99 %] at batch 1"
    assert re.search(r"measured at +batch 1\n", snapshot.card(asked).text())


def test_fixed_shapes_answer_as_what_they_are_made_of() -> None:
    c = conductor("fix_shapes")
    state = run(c)
    assert [(v.state, v.asked, v.unjudged, v.untimed) for v in state.variants] == [("done", "random feeds", "", "")] * 2
    assert state.variants[1].cosine == state.variants[0].cosine
    assert state.variants[1].p50


def test_a_row_of_another_shape_leaves_the_others_their_benchmark() -> None:
    c = conductor()
    state = edited(c, "set_batch", size="4")
    first, four = state.variants
    assert first.p50
    assert not four.p50
    assert "one of them has fixed dimensions" in four.untimed
    assert four.cosine == pytest.approx(1.0), "asked with feeds of its own size"
    assert "not timed beside the others" in table.verdict(four)
    assert c.activity.error == ""


def test_a_row_with_other_names_is_made_and_says_why_it_is_not_judged() -> None:
    c = conductor()
    state = edited(c, "rename", old="x", new="pixels")
    renamed = state.variants[1]
    assert (renamed.state, renamed.error) == ("done", "")
    assert "x" in renamed.unjudged
    assert "could not be judged" in table.verdict(renamed)


def test_a_search_knows_the_files_that_are_there() -> None:
    c = conductor("quantize")
    run(c)
    names = [v.name for v in c.store.state.variants]
    c.search()
    c.wait(300)
    digests = [(c.model(v).digest, v.target) for v in c.store.state.variants]
    assert len(digests) == len(set(digests)), [v.name for v in c.store.state.variants]
    assert [v.name for v in c.store.state.variants][: len(names)] == names


def test_a_file_that_was_written_again_is_another_model(tmp_path: Path) -> None:
    path = lab.samples.tiny(features=64).save(tmp_path / "again.onnx")
    c = conductor("optimize", source=str(path))
    run(c)
    lab.samples.tiny(features=64, seed=5).save(path)
    state = run(c)
    assert c.activity.error == ""
    assert {v.state for v in state.variants} == {"done"}
    assert state.baseline is not None
    assert c.model(state.baseline) == lab.load(path)


def test_only_what_was_judged_by_the_same_is_judged() -> None:
    c = conductor(task="task")
    state = edited(c, "rename", old="x", new="pixels")
    first, renamed = state.variants
    swapped = replace(first, asked="", unjudged="its feeds are called otherwise", accuracy=None)
    odd = judged(replace(state, variants=(swapped, replace(renamed, asked="toy", accuracy=0.0, unjudged=""))))
    assert odd.best is None, "nothing to hold it against"
    assert table.worth(odd.variants[1], odd) == ""
    other = judged(replace(state, variants=(first, replace(renamed, asked="another task", accuracy=0.9, unjudged=""))))
    assert [v.taken for v in other.variants] == [True, False]
    assert table.verdict(other.variants[1]).startswith("not judged yet")


def test_a_model_that_is_taken_away_meanwhile_ends_the_run_calmly() -> None:
    c = conductor("optimize")
    c.run()
    while not c.activity.words.startswith(("optimize", "asking", "measuring")):
        c.wait(0.01)
    c.store.change(lambda s: replace(s, variants=()))
    c.wait(60)
    assert c.activity == Activity(error="cancelled; what was made stays", calm=True)


def test_what_a_name_means_is_looked_up_at_each_run(tmp_path: Path) -> None:
    c = conductor()
    run(c)
    assert c.store.state.is_model
    given(c, net=str(lab.samples.tiny(features=64).save(tmp_path / "own.onnx")))
    state = run(c)
    assert not state.is_model, "its line is no transform of a path"


def test_data_of_one_dict_are_asked_once() -> None:
    c = conductor("quantize", data="one")
    given(c, one={"x": np.ones((8, 64), np.float32)})
    run(c)
    said: list[str] = []
    c._on_news = lambda: said.append(c.activity.words)
    run(c)
    assert not [words for words in said if words.startswith("asking")]
    assert {v.asked for v in c.store.state.variants} == {"one"}
