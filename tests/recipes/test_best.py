"""best and its shortlist: what is tried for which model, what is taken, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, ProviderError
from onnx_lab.recipes.best import Ranking
from onnx_lab.recipes.shortlist import kind_of, not_listed, shortlist

CPU = [lab.Target("cpu")]


@pytest.fixture(scope="module")
def m() -> lab.Model:
    return lab.samples.tiny()


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def ranking(m: lab.Model, events: list[dict[str, Any]]) -> Ranking:
    return lab.best(m, target="cpu", budget_s=2, progress=events.append)


@pytest.mark.slow
def test_it_makes_asks_times_and_ranks(ranking: Ranking, m: lab.Model) -> None:
    assert {r.name for r in ranking.rows} == {"tiny", "tiny-optimized", "tiny-int8"}
    ratios = [r.ratio for r in ranking.rows]
    assert ratios == sorted(ratios, reverse=True)
    assert all(r.cosine is not None and r.cosine > 0.99 for r in ranking.rows)
    assert ranking
    assert ranking.best is not None
    assert str(ranking.best_target) == "cpu"
    assert ranking.recipe is not None
    assert ranking.recipe(m).digest == ranking.best.digest
    assert next(r for r in ranking.rows if r.name == "tiny").size_ratio == 1


def test_it_shows_reasons_and_draws(ranking: Ranking) -> None:
    text = str(ranking)
    assert f"take {ranking.best.name} on cpu" in text  # type: ignore[union-attr]
    assert "one scale for each channel" in text
    assert "the file as it is" in text
    assert "tiny-int8: " in text
    assert "8-bit products" in text
    assert "Take " in ranking.plot().title
    assert {"reason", "ratio", "qualifies"} <= ranking._records()[0].keys()


def test_progress_names_what_is_made_then_measured(ranking: Ranking, events: list[dict[str, Any]]) -> None:
    assert ranking
    making = [e["name"] for e in events if e["kind"] == "making"]
    assert making == ["tiny", "tiny-optimized", "tiny-int8"]
    assert events[len(making)]["kind"] == "start"


@pytest.mark.slow
def test_on_a_task_points_decide(m: lab.Model) -> None:
    x = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    truth = lab.infer(m, {"x": x}).outputs["logits"].argmax(axis=1)
    task = lab.Task("toy", [{"x": x}], truth.astype(np.int64), ("a", "b", "c", "d"))
    found = lab.best(m, task, target="cpu", budget_s=1.5, max_points_lost=100)
    assert all(r.accuracy is not None and r.cosine is None for r in found.rows)
    none = lab.best(m, task, target="cpu", budget_s=1.5, max_mb=1e-6)
    assert not none
    assert none.best is none.best_target is none.recipe is None
    assert "none qualifies" in str(none)


@pytest.mark.slow
def test_fixed_files_stand_beside_their_twins_and_are_judged_by_their_answers(m: lab.Model) -> None:
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((n, 8)).astype(np.float32)} for n in (3, 7)]  # of sizes a fixed file refuses
    ranking = lab.best(m, feeds, target="cpu", batch=2, fixed=True, budget_s=2, explain=False)
    rows = {r.name: r for r in ranking.rows}
    assert set(rows) == {"tiny", *(f"tiny-{x}{f}" for x in ("optimized", "int8") for f in ("", "-fixed"))}
    fixed, target = ranking.models["tiny-int8-fixed"]
    assert [s.shape for s in fixed.inputs] == [(2, 8)]
    assert target == lab.Target("cpu")
    assert rows["tiny-int8-fixed"].cosine == rows["tiny-int8"].cosine
    assert "shapes fixed" in ranking.reasons["tiny-int8-fixed"]


@pytest.mark.slow
def test_a_target_that_does_not_run_is_refused(m: lab.Model) -> None:
    with pytest.raises(ProviderError, match="coreml does not run here"):
        lab.best(m, target="coreml")
    with pytest.raises(BadInput, match="no target"):
        lab.best(m, target=[])


@pytest.mark.slow
def test_what_cannot_be_made_is_left_out_with_the_reason(m: lab.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def quantize(*_: Any, **__: Any) -> lab.Model:
        raise lab.errors.TransformError("no weights of that kind")

    monkeypatch.setattr("onnx_lab.transforms.quantize.quantize", quantize)
    found = lab.best(m, target="cpu", budget_s=1)
    assert found.left_out == (("tiny-int8", "no weights of that kind"),)
    assert "left out: tiny-int8: no weights of that kind" in str(found)


def test_kinds_and_lists(m: lab.Model) -> None:
    assert kind_of(m) == "other"
    assert kind_of(lab.quantize(m)) == "quantized"
    assert [p.name for p in shortlist(lab.quantize(m, name="q"), CPU)] == ["q"]
    small = shortlist(m, CPU, smallest=True)[-1]
    assert (small.name, small.steps[-1]) == ("tiny-int4", ("quantize", {"method": "int4"}))
    both = shortlist(m, [*CPU, lab.Target("cuda")])
    assert [p.name for p in both][-2:] == ["tiny-cuda", "tiny-fp16-cuda"]
    assert [t.provider for t in (p.target for p in both)] == ["cpu"] * 3 + ["cuda"] * 2


@pytest.fixture(scope="module")
def towers() -> lab.ClipPair:
    return lab.export(lab.samples.clip().model)


@pytest.mark.slow
def test_a_transformer_gets_int8_and_a_network_of_convolutions_wants_data(towers: lab.ClipPair) -> None:
    assert kind_of(towers.image) == "transformer"
    assert [p.steps[-1][1].get("method") for p in shortlist(towers.image, CPU) if p.steps] == [None, "dynamic"]
    vgg = lab.export(lab.samples.vgg16().model)
    assert kind_of(vgg) == "convolutional"
    assert [p.name.split("-")[-1] for p in shortlist(vgg, CPU)] == [vgg.name, "optimized"]
    assert not_listed(vgg, CPU, calibrated=False) == [
        (f"{vgg.name}-int8", "no calibration data: give some with calibration=")
    ]
    assert [p.calibrated for p in shortlist(vgg, CPU, calibrated=True)] == [False, False, True]
