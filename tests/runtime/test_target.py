"""Where a model runs: in words, with its own threads, without spinning, with tensors bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.target import Target, allowed_cpus

FEEDS = {"x": np.ones((2, 8), np.float32)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "cpu"),
        ({"threads": 1}, "cpu[threads=1]"),
        ({"provider": "openvino", "options": {"NUM_STREAMS": "1"}}, "openvino[NUM_STREAMS=1]"),
        ({"spinning": False, "io_binding": True}, "cpu[spinning=off,io_binding]"),
    ],
)
def test_in_words(options: dict[str, Any], words: str) -> None:
    assert str(Target(**options)) == words


def test_wrong_words() -> None:
    with pytest.raises(BadInput, match="threads=0"):
        Target(threads=0)
    with pytest.raises(BadInput, match="did you mean"):
        Target("openvin")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"spinning": False}, {"io_binding": True}, {"threads": 1}])
def test_the_same_answers_and_timings(options: dict[str, Any]) -> None:
    m = lab.samples.tiny()
    with Worker.for_model(m, Target(**options)) as worker:
        np.testing.assert_allclose(worker.run(FEEDS)["logits"], lab.infer(m, FEEDS).outputs["logits"], atol=1e-6)
        assert len(worker.block(FEEDS, min_runs=3).seconds) >= 3
        assert worker.info["threads"] == options.get("threads", allowed_cpus())


@pytest.mark.slow
def test_a_sweep_over_threads_keeps_to_what_each_target_says() -> None:
    most = allowed_cpus() + 1
    swept = lab.bench(lab.samples.tiny(), targets=[Target(threads=1), Target(threads=most)], budget_s=1)
    assert [r.target for r in swept.rows] == ["cpu[threads=1]", f"cpu[threads={most}]"]
    assert any(f"{most} threads on {most - 1} cores" in d for d in swept.doubts)
