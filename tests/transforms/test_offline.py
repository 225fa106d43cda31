"""optimize(offline=True): loads without optimizing again, only where it was made for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from encoders import run

import onnx_lab as lab
from onnx_lab.errors import ProviderError, TransformError
from onnx_lab.model import Model
from onnx_lab.runtime import offline
from onnx_lab.runtime.client import Worker


@pytest.fixture(scope="module")
def frozen(bert: Model) -> Model:
    return lab.optimize(lab.quantize(lab.optimize(bert)), offline=True, name="frozen")


@pytest.mark.slow
def test_it_holds_what_the_engine_made(bert: Model, frozen: Model, feeds: dict[str, np.ndarray]) -> None:
    assert frozen.header.operators["DynamicQuantizeMatMul"] >= 6
    assert frozen.session_hints == {"graph_optimization_level": "disable"}
    np.testing.assert_allclose(run(frozen, feeds), run(lab.quantize(lab.optimize(bert)), feeds), atol=1e-5)


def test_the_load_time_is_measured(frozen: Model) -> None:
    seconds = frozen.lineage[-1].notes["load_seconds"]
    assert seconds["after"] > 0
    assert seconds["before"] > 0
    assert any("a session opens in" in s for s in frozen.lineage[-1].notes["say"])


def test_it_loads_here(frozen: Model, feeds: dict[str, np.ndarray]) -> None:
    with Worker.for_model(frozen, "cpu") as worker:
        assert worker.run(feeds)["logits"].shape == (3, 4)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cpu": ["riscv64"]}, "cpu riscv64"),
        ({"onnxruntime": {"onnxruntime": "1.99.0"}}, "onnxruntime 1.99.0"),
        ({"provider": "cuda"}, "provider cuda"),
    ],
)
def test_refused_elsewhere(frozen: Model, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: str) -> None:
    true = offline.conditions
    monkeypatch.setattr(offline, "conditions", lambda t: {**true(t), **change})
    with pytest.raises(ProviderError, match="optimized offline for") as caught:
        Worker.for_model(frozen, "cpu")
    assert named in str(caught.value)
    assert "offline=True" in caught.value.do


@pytest.mark.parametrize("verb", ["simplify", "optimize", "fp16", "quantize"])
def test_no_transform_takes_it(frozen: Model, verb: str) -> None:
    with pytest.raises(TransformError, match=f"{verb}: frozen was optimized offline"):
        getattr(lab, verb)(frozen)
