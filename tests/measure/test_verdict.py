"""verdict: who qualifies, who is taken, and why not the others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.measure.bench import Row
from onnx_lab.runtime.client import session


def speed(**ratios: tuple[float, float, float]) -> Any:
    """A benchmark's rows, made by hand: name -> (ratio, low, high); the reference takes 10 ms."""
    rows = [
        Row(
            *(name, "cpu", 1, 8, 0.010 / r, 0.02, 0.03, 0.009, 0.011, 100.0, 0.1, 1, 1, r, low, high),
            verdict="faster",
            provider="CPU",
            precision="as the file says",
        )
        for name, (r, low, high) in ratios.items()
    ]
    return SimpleNamespace(rows=tuple(rows))


@pytest.fixture(scope="module")
def big() -> lab.Model:
    return lab.samples.tiny()


@pytest.fixture(scope="module")
def small(big: lab.Model) -> lab.Model:
    return lab.simplify(big, name="small")


@pytest.fixture(scope="module")
def wrong() -> lab.Model:
    return lab.load(lab.samples.tiny(seed=7).path, name="wrong")


@pytest.fixture(scope="module")
def task(big: lab.Model) -> lab.Task:
    x = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    truth = session(big).run({"x": x})["logits"].argmax(axis=1)
    return lab.Task("toy", [{"x": x}], truth.astype(np.int64), ("a", "b", "c", "d"))


def test_the_fastest_that_keeps_the_answers_is_taken(
    big: lab.Model, small: lab.Model, wrong: lab.Model, task: lab.Task
) -> None:
    timed = speed(net=(1, 1, 1), tiny=(2, 1.9, 2.1), small=(3, 2.9, 3.1), wrong=(9, 8, 10))
    found = lab.verdict([big, small, wrong], task=task, speed=timed)
    assert found
    assert found.best == small
    why = {r.name: r.why for r in found.rows}
    assert why["wrong"].startswith("loses ")
    assert why["small"] == "keeps the answers"
    assert found.rows[0].name == "net", "PyTorch is shown, and no candidate"
    assert found.rows[0].accuracy is None
    assert "take small" in str(found)


def test_of_two_that_cannot_be_told_apart_the_smaller_is_taken(
    big: lab.Model, small: lab.Model, task: lab.Task
) -> None:
    timed = speed(tiny=(2.1, 1.8, 2.4), small=(2.0, 1.8, 2.2))
    assert small.size_bytes != big.size_bytes
    expected = min([big, small], key=lambda m: m.size_bytes)
    assert lab.verdict([big, small], task=task, speed=timed).best == expected


def test_budgets(big: lab.Model, small: lab.Model, task: lab.Task) -> None:
    timed = speed(tiny=(1, 1, 1), small=(2, 1.9, 2.1))
    assert lab.verdict([big, small], task=task, speed=timed, max_ms=6).best == small
    none = lab.verdict([big, small], task=task, speed=timed, max_ms=1)
    assert not none
    assert "none qualifies" in str(none)
    assert all("over 1 ms" in r.why for r in none.rows)
    assert not lab.verdict([big], task=task, max_mb=1e-6)


def test_without_a_task_outputs_are_compared_on_random_feeds(
    big: lab.Model, small: lab.Model, wrong: lab.Model
) -> None:
    found = lab.verdict([big, small, wrong])
    assert {r.name: r.qualifies for r in found.rows} == {"tiny": True, "small": True, "wrong": False}
    assert "random feeds" in next(r.why for r in found.rows if r.name == "wrong")


def test_what_cannot_be_judged(big: lab.Model) -> None:
    with pytest.raises(BadInput, match="no models"):
        lab.verdict([])
    with pytest.raises(BadInput, match="a name for each"):
        lab.verdict([big, big])
    with pytest.raises(BadInput, match="without a benchmark"):
        lab.verdict([big], max_ms=3)


def test_it_travels(big: lab.Model) -> None:
    assert '"kind": "Verdict"' in lab.verdict([big]).to_json()
    assert len(lab.verdict([big]).to_pandas()) == 1


@pytest.mark.slow
def test_a_dict_gives_the_names() -> None:
    m = lab.samples.tiny()
    both = {"as it came": m, "slim": lab.simplify(m)}
    speed = lab.bench(both, budget_s=1.0)
    found = lab.verdict(both, speed=speed, max_ms=1e3)
    assert [r.name for r in found.rows] == list(both)
    assert all(r.p50 for r in found.rows)
    assert found.taken in both
    assert f"take {found.taken}" in repr(found)
    assert "take this" in repr(lab.verdict(both)), "without a benchmark, too"
    with pytest.raises(BadInput, match="no timing of other"):
        lab.verdict({"other": m}, speed=speed, max_ms=1e-6)
    with pytest.raises(BadInput, match="a model called 1"):
        lab.verdict({1: m})  # type: ignore[dict-item]
