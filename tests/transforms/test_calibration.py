"""calibration: ranges of inner tensors over all batches, in memory that does not grow with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.transforms._calibration import BINS, Histograms, Ranges, Seen, _noted, calibrate

RNG = np.random.default_rng(0)
NORMAL = [RNG.normal(size=(50, 8)).astype(np.float32) * k for k in (0.5, 1, 0.1)]


def of_the_input(arrays: list[np.ndarray], method: str = "minmax", percentile: float = 99.0) -> Ranges:
    """Ranges of ``x``, which needs no engine's arithmetic."""
    graph = lab.samples.tiny().to_ir()
    batches = [{"x": a} for a in arrays]
    return calibrate(graph, ["x"], batches, method=method, percentile=percentile, cap_bytes=1 << 20)


def test_inner_tensors_over_all_batches() -> None:
    graph = lab.samples.tiny().to_ir()
    batches = [{"x": a} for a in NORMAL]
    found = calibrate(graph, ["x", "logits"], batches, method="minmax", percentile=100, cap_bytes=1)
    every = np.concatenate(NORMAL)
    logits = lab.infer(lab.samples.tiny(), {"x": every}).outputs["logits"]
    assert found.ranges["x"] == (every.min(), every.max())
    np.testing.assert_allclose(found.ranges["logits"], (logits.min(), logits.max()), rtol=1e-5)
    assert found.batches == 3
    assert found.say() == []


@pytest.mark.parametrize("method", BINS)
def test_histograms_count_every_batch(method: str) -> None:
    counts = RNG.normal(size=(3, 40_000)).astype(np.float32)
    counts[1, 7] = 80.0  # one outlier, in the middle of the data
    histograms = Histograms(method, 99.0, *BINS[method])
    for batch in counts:
        histograms.add("t", batch)
    low, high = histograms.ranges()["t"]
    if method == "percentile":
        np.testing.assert_allclose((low, high), np.percentile(counts, (0.5, 99.5)), rtol=0.05)
    elif method == "entropy":
        assert 2 < high < 40, "it gives up the outlier"
    else:
        assert high >= 80


def test_bins_stay_few_when_the_first_batch_says_nothing() -> None:
    histograms = Histograms("percentile", 99.0, *BINS["percentile"])
    scales = (0, 1e-40, 1e-9, 1e-3, 1, 1e4)
    for scale in scales:
        histograms.add("t", (RNG.normal(size=1000) * scale).astype(np.float32))
    assert histograms.bins("t") <= BINS["percentile"][1]
    hist, edges, _, high, reach = histograms._collector.histogram_dict["t"]
    assert hist.sum() == 1000 * len(scales)
    assert edges[-1] >= high
    assert reach >= high


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.full(8, np.finfo(np.float32).min), "as large as a mask"),
        (np.zeros(8), "always zero"),
        (np.full(8, np.nan), "no finite value"),
        (np.array([np.inf, *range(7)]), "infinite or NaN now and then"),
        (np.zeros(0), "no finite value"),
    ],
)
def test_what_looks_suspicious_is_told(value: np.ndarray, text: str) -> None:
    seen, histograms = Seen(), Histograms("percentile", 99.0, *BINS["percentile"])
    finite = _noted(seen, value.astype(np.float32))
    assert np.isfinite(finite).all()
    if finite.size:
        histograms.add("x", finite)
        histograms.ranges()
    (said,) = Ranges({}, {"x": seen}).say()
    assert "'x'" in said
    assert text in said


def test_endless_values_are_left_out_of_the_range() -> None:
    assert of_the_input([np.array([[np.inf, *range(7)]], np.float32)]).ranges["x"] == (0, 6)


def test_a_range_never_reaches_beyond_what_was_seen() -> None:
    """The quantizer drops a Relu in the belief that its range begins at zero."""
    positive = [np.abs(a) for a in NORMAL]
    low, high = of_the_input(positive, "distribution").ranges["x"]
    assert low == min(a.min() for a in positive)
    assert high == max(a.max() for a in positive)


def test_data_that_is_gone_the_second_time() -> None:
    with pytest.raises(BadInput, match="exhausted"):
        of_the_input([])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_batches(tmp_path: Path) -> None:
    """Nine inner tensors of 8 MB in each of six batches, 430 MB, through a cap of 16 MB."""
    names = [f"t{i}" for i in range(10)]
    nodes = [helper.make_node("Neg", [a], [b], b) for a, b in pairwise(names)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1024]) for n in (names[0], names[-1])]
    path = tmp_path / "wide.onnx"
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)

    class Batches:
        def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
            for i in range(6):
                yield {"t0": np.full((2048, 1024), i, np.float32)}

    model = lab.load(path).to_ir()
    tracemalloc.start()
    found = calibrate(model, names[1:], Batches(), method="percentile", percentile=99.9, cap_bytes=16_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ranges["t9"][0] == pytest.approx(-5, rel=0.01)
    assert peak < 130_000_000, "a first batch in groups of eight, as long as no size is known"
