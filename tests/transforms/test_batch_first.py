"""Attention that runs sequence first is turned where that is proven, and left alone where it is something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoders import run
from sequence_first import HIDDEN, LENGTH, open_clip_model, sequence_first

import onnx_lab as lab


def x(batch: int) -> dict[str, np.ndarray]:
    """Random."""
    return {"x": np.random.default_rng(batch).normal(size=(batch, LENGTH, HIDDEN)).astype(np.float32)}


def kinds(m: lab.Model) -> dict[str, int]:
    """Operator counts."""
    return dict(m.header.operators)


@pytest.mark.slow
@pytest.mark.parametrize("dims", [("batch", LENGTH), (3, LENGTH)])
def test_turned_and_fused(tmp_path: Path, dims: tuple[Any, int]) -> None:
    m = sequence_first(tmp_path, dims=dims)
    fast = lab.optimize(m)
    assert fast.lineage[-1].notes["fused"]["batch_first"] == 2  # the projection, and what comes back
    assert fast.lineage[-1].notes["attention_blocks"] == {"found": 1, "fused": 1}
    assert kinds(fast) == {"MatMul": 2, "Split": 1, "MultiHeadAttention": 1, "Add": 1}
    for batch in (3,) if dims[0] == 3 else (1, 2, 7):
        np.testing.assert_allclose(run(fast, x(batch)), run(m, x(batch)), atol=1e-6)


@pytest.mark.parametrize(("wrong", "turned"), [("rows", 1), ("shown", 1)])
def test_what_only_looks_like_it_is_left(tmp_path: Path, wrong: str, turned: int) -> None:
    """Rows in another order are another computation; a projection that is an output has to stay."""
    m = sequence_first(tmp_path, wrong=wrong)
    fast = lab.optimize(m)
    assert fast.lineage[-1].notes["fused"]["batch_first"] == turned
    for batch in (2, 3):
        np.testing.assert_allclose(run(fast, x(batch)), run(m, x(batch)), atol=1e-6)


def test_turned_off_by_name(tmp_path: Path) -> None:
    m = lab.optimize(sequence_first(tmp_path), disable="batch_first")
    assert "batch_first" not in m.lineage[-1].notes["fused"]
    assert kinds(m)["Transpose"] > 4


@pytest.mark.slow
def test_both_towers_of_open_clip() -> None:
    pair = lab.export(open_clip_model(), name="oc")
    fast = pair.apply(lab.optimize)
    rng = np.random.default_rng(0)
    for m, quick in ((pair.image, fast.image), (pair.text, fast.text)):
        assert quick.lineage[-1].notes["attention_blocks"] == {"found": 2, "fused": 2}
        assert quick.lineage[-1].notes["fused"]["batch_first"] == 4
        assert quick.header.operators.get("Transpose", 0) <= 1  # that of the patches
        for batch in (1, 3):
            pictures = rng.normal(size=(batch, 3, 32, 32)).astype(np.float32)
            feeds = {"image": pictures, "text": rng.integers(1, 99, (batch, 12))}
            np.testing.assert_allclose(run(quick, feeds), run(m, feeds), atol=1e-5)
