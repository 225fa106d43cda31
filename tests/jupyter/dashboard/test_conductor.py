"""Run: files are made, asked and timed; what fails is one row; a second run re-uses what is there."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.activity import Activity, told
from onnx_lab.jupyter.dashboard.conductor import Conductor
from onnx_lab.jupyter.dashboard.judge import judged
from onnx_lab.jupyter.dashboard.sources import Sources
from onnx_lab.jupyter.dashboard.state import Measuring, State, Step, Variant
from onnx_lab.jupyter.dashboard.store import Store
from onnx_lab.recipes.recipe import VERBS


def conductor(*ticked: str, source: str = "net", **options: str) -> Conductor:
    model = lab.samples.tiny(features=64)
    feeds = [{"x": np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)}]
    task = lab.Task("toy", feeds, np.zeros(8, np.int64), ("a", "b", "c", "d"))
    scope = {"net": model, "task": task, "few": feeds}
    state = changes.pick_source(changes.fresh("test", VERBS), source, is_model=source == "net")
    drafts = tuple(replace(d, on=d.step.verb in ticked) for d in state.drafts)
    state = replace(state, drafts=drafts, measuring=Measuring(seconds=1.0), **options)
    return Conductor(Store(state), Sources(lambda: scope))


def row(c: Conductor, name: str) -> Variant:
    return next(v for v in c.store.state.variants if v.name == name)


def run(c: Conductor) -> State:
    c.run()
    c.wait(120)
    assert not c.activity.busy
    return c.store.state


@pytest.mark.slow
def test_a_run_makes_asks_and_times_each_row() -> None:
    heard: list[str] = []
    c = conductor("optimize", "quantize", task="task")
    c._on_news = lambda: heard.append(c.activity.words)
    state = run(c)
    assert c.activity == Activity()
    assert [v.name for v in state.variants] == ["net", "net-optimized", "net-optimized-int8"]
    for v in state.variants:
        assert (v.state, v.asked, v.error) == ("done", "toy", "")
        assert Path(v.path).is_file()
        assert v.size_bytes == lab.load(v.path).size_bytes
        assert v.low is not None
        assert v.p50 is not None
        assert v.accuracy is not None
        assert v.provider
    assert sum(v.taken for v in state.variants) == 1
    assert {"optimize: making net-optimized", "asking net"} <= set(heard)
    assert [s.verb for s in c.model(row(c, "net-optimized-int8")).lineage][1:] == ["optimize", "quantize"]


@pytest.mark.slow
def test_outputs_are_compared_on_data_of_the_notebook() -> None:
    c = conductor("quantize", data="few")
    state = run(c)
    base, small = state.variants
    assert (base.asked, small.asked, small.error) == ("few", "few", "")
    own = lab.compare(c.model(base), c.model(small), c.sources.value("few"))
    assert small.cosine == min(o.cosine_mean for o in own.outputs) < 1.0
    c.store.change(lambda s: changes.pick_judge(s, data="gone"))
    state = run(c)
    assert "gone is no name here" in c.activity.error
    assert state.variants[1].asked == "few", "what is known stays"


@pytest.mark.slow
def test_what_fails_is_one_row_and_the_rest_goes_on() -> None:
    c = conductor("mixed_precision", "optimize")
    state = c.store.change(lambda s: changes.set_option(s, 1, "disable", "no_such_step"))
    assert state.drafts[1].step.verb == "optimize"
    state = run(c)
    first, second, third = state.variants
    assert (first.state, first.p50 is not None, first.cosine) == ("done", True, 1.0)
    assert second.state == "failed"
    assert "no_such_step" in second.error
    assert third.state == "failed"
    assert "was not made" in third.error
    assert c.activity.error == ""  # the row says it


@pytest.mark.slow
def test_a_second_run_makes_nothing_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx_lab.jupyter.dashboard import asking, work

    started: list[str] = []
    real = work.start

    def spy(verb: str, *given: object, **options: object) -> lab.Job:
        started.append(verb)
        return real(verb, *given, **options)

    for module in (work, asking):
        monkeypatch.setattr(module, "start", spy)
    c = conductor("optimize")
    run(c)
    assert started == ["optimize", "compare", "compare", "bench"]
    started.clear()
    c.store.change(lambda s: replace(s, drafts=(*s.drafts[:2], replace(s.drafts[2], on=True), *s.drafts[3:])))
    state = run(c)
    assert started == ["quantize", "compare", "bench"]
    assert all(v.p50 for v in state.variants)


@pytest.mark.slow
def test_a_cancel_ends_it_and_keeps_what_was_made() -> None:
    c = conductor("optimize")
    c.store.change(lambda s: replace(s, measuring=Measuring(seconds=60.0)))
    c.run()
    end = 0
    while not c.activity.words.startswith("measuring") and end < 1200:
        c.wait(0.05)
        end += 1
    c.cancel()
    c.wait(10)
    assert c.activity.error == "cancelled; what was made stays"
    assert {v.state for v in c.store.state.variants} == {"done"}
    assert all(v.path for v in c.store.state.variants)


def test_a_source_that_is_none_says_so() -> None:
    c = conductor("optimize", source="no/such/model.onnx")
    state = run(c)
    assert state.variants[0].state == "failed"
    assert "no/such/model.onnx" in c.activity.error


@pytest.mark.slow
def test_the_search_becomes_rows() -> None:
    c = conductor("optimize")
    state = run(c)
    c.search()
    c.wait(120)
    assert c.activity.error == ""
    after = c.store.state
    assert [v.name for v in after.variants[:2]] == ["net", "net-optimized"]  # found again, not a second row
    assert len(after.variants) > len(state.variants)
    assert all(v.cosine is not None for v in after.variants)
    assert after.variants[-1].steps
    assert after.drafts == state.drafts


def test_the_verdict_follows_the_budget_without_a_measurement() -> None:
    s = changes.planned(conductor("optimize", "quantize", task="task").store.state)
    facts = {"state": "done", "asked": "toy", "provider": "CPU"}
    a, b, c = (v.id for v in s.variants)
    s = changes.learn(
        s, a, **facts, size_bytes=9_000_000, p50=0.03, ratio=1.0, ratio_low=1.0, ratio_high=1.0, accuracy=0.9
    )
    s = changes.learn(
        s, b, **facts, size_bytes=9_000_000, p50=0.02, ratio=1.5, ratio_low=1.4, ratio_high=1.6, accuracy=0.9
    )
    s = changes.learn(
        s, c, **facts, size_bytes=3_000_000, p50=0.01, ratio=3.0, ratio_low=2.9, ratio_high=3.1, accuracy=0.88
    )
    best = judged(s).best
    assert best is not None
    assert best.id == b
    assert judged(s).variants[2].verdict == "loses 2.0 points"
    looser = judged(replace(s, budget=replace(s.budget, points=3.0)))
    assert looser.best is not None
    assert looser.best.id == c
    tight = judged(replace(s, budget=replace(s.budget, ms=15, mb=5)))
    assert tight.best is None
    assert tight.variants[0].verdict == "over 15 ms; over 5 MB"


@pytest.mark.slow
def test_it_tells_how_far_it_is() -> None:
    told: list[str] = []
    c = conductor("quantize", task="task")
    c._on_news = lambda: told.append(f"{c.activity.words}: {c.activity.far(time.monotonic())}")
    run(c)
    assert any(re.match(r"measuring: \d of 1 s · \d s left$", t) for t in told), told
    assert any(t.startswith("measuring: starting processes for net, net-int8") for t in told), told


def test_an_error_is_one_line_with_what_to_do() -> None:
    assert told(lab.errors.BadInput("x", accepted="y", do="z")) == "x. Accepted: y. z"
    assert told(ValueError("no")) == "ValueError: no"


def test_steps_that_are_made_for_a_target_get_that_of_their_row() -> None:
    from onnx_lab.jupyter.dashboard.work import _for_target

    assert _for_target(Step("optimize"), "openvino") == Step("optimize", (("target", "openvino"),))
    assert _for_target(Step("optimize", (("target", "cpu"),)), "openvino").options == (("target", "cpu"),)
    assert _for_target(Step("quantize"), "openvino") == Step("quantize")


def test_sources_offer_what_fits() -> None:
    c = conductor()
    assert c.sources.models()[0] == "net"
    assert "lab.samples.bert()" in c.sources.models()
    assert c.sources.tasks("net") == ["task"]
    assert c.sources.tasks("lab.samples.bert()") == ["bert.task", "task"]
    assert c.sources.feeds("net") == ["few"]
    model = lab.samples.tiny()
    assert c.sources.give(model, "mine") == "mine"
    assert c.sources.resolve("mine") is model
    assert c.sources.give(c.sources.value("net"), "other") == "net"
