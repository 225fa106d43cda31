"""quantize: works on exports and after optimize, keeps masks, and says what it did."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import pytest
from encoders import cosine, run
from graphs import HIDDEN, attention, weights_only

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput, NotInThisVersion, TransformError
from onnx_lab.model import Model
from onnx_lab.produce import Made, produce
from onnx_lab.transforms import _int8

Exported = Callable[[str, str], Model]


def int8_weights(m: Model) -> dict[str, np.ndarray]:
    """8-bit matrices by name."""
    found = {v.name or "": v.const_value for v in m.to_ir().graph.initializers.values()}
    return {k: t.numpy() for k, t in found.items() if t is not None and t.dtype == ir.DataType.INT8 and t.size > 99}


@pytest.mark.parametrize("prepare", ["as exported", "optimized", "simplified", "as attention", "for cuda"])
def test_after_each_step(bert: Model, feeds: dict[str, np.ndarray], prepare: str) -> None:
    steps: dict[str, Callable[[Model], Model]] = {
        "as exported": lambda m: m,
        "optimized": lab.optimize,
        "simplified": lab.simplify,
        "as attention": lambda m: lab.optimize(m, attention="attention"),
        "for cuda": lambda m: lab.optimize(m, target="cuda"),
    }
    small = lab.quantize(steps[prepare](bert))
    assert cosine(run(small, feeds), run(bert, feeds)) > 0.998
    shares = small.header.weights
    if prepare != "for cuda":  # its embeddings have no quantized form, and stay
        assert shares["float32"] < 0.05 * sum(shares.values())


def test_masks_survive(tmp_path: Path) -> None:
    """The quantizer would drop the additive mask of Attention without a word."""
    m = attention(tmp_path, masked=True)
    fused = lab.optimize(m, attention="attention")
    assert fused.header.operators["Attention"] == 1
    small = lab.quantize(fused)
    assert small.header.operators["MatMulInteger"] == 1
    keep = np.zeros((2, 1, 1, 5), bool)
    keep[..., 0] = True
    x = np.random.default_rng(1).normal(size=(2, 5, HIDDEN)).astype(np.float32)
    masked, unmasked = {"x": x, "keep": keep}, {"x": x, "keep": ~keep | keep}
    assert cosine(run(small, masked), run(m, masked)) > 0.999
    assert cosine(run(small, unmasked), run(m, unmasked)) > 0.999
    assert cosine(run(small, masked), run(small, unmasked)) < 0.9


@pytest.mark.slow
def test_files_fused_by_onnxscript_alone(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    """Its Attention reads a Concat of weights and carries sizes: both keep a quantizer away."""
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    theirs, counts = optimize_for_ort(bert.to_ir())
    assert counts["attention"] == 2
    m = produce("theirs", {}, lambda: Made(theirs), tools=[], name="theirs", parent=bert)
    small = lab.quantize(m)
    assert small.header.weights["float32"] < 0.05 * sum(small.header.weights.values())
    assert cosine(run(small, feeds), run(bert, feeds)) > 0.998


@pytest.mark.slow
def test_native_attention_is_not_mistaken_for_the_other(exported: Exported, feeds: dict[str, np.ndarray]) -> None:
    m = exported("bert", "dynamo23-sdpa")
    small = lab.quantize(m)
    assert small.header.operators["Attention"] == 2
    assert cosine(run(small, feeds), run(m, feeds)) > 0.998


def test_per_channel_has_a_scale_for_each(tmp_path: Path) -> None:
    weights = np.outer(np.ones(16), np.geomspace(1e-3, 1, 12)) * np.random.default_rng(0).normal(size=(16, 12))
    m = weights_only(tmp_path, weights)
    x = {"x": np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)}
    by_channel, by_tensor = lab.quantize(m), lab.quantize(m, per_channel=False)
    true = run(m, x)

    def worst(q: Model) -> float:
        return float((np.abs(run(q, x) - true).max(axis=0) / np.abs(true).max(axis=0)).max())

    assert worst(by_channel) < 0.1, "8 bits, or 7 on a CPU without VNNI"
    assert worst(by_tensor) > 0.2


def test_reduced_range_is_seven_bits(tmp_path: Path) -> None:
    m = weights_only(tmp_path, np.random.default_rng(0).normal(size=(16, 12)))
    (full,) = int8_weights(lab.quantize(m, reduce_range=False)).values()
    (reduced,) = int8_weights(lab.quantize(m, reduce_range=True)).values()
    assert np.abs(full).max() > 64 >= np.abs(reduced).max()


@pytest.mark.parametrize(
    ("features", "reduced"),
    [
        ({"AVX2": True, "AVX512": True, "VNNI": False, "AMX_INT8": False}, True),
        ({"AVX2": True, "AVX512": True, "VNNI": True, "AMX_INT8": False}, False),
        ({}, False),
    ],
)
def test_the_range_that_this_cpu_needs(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], reduced: bool
) -> None:
    monkeypatch.setattr(_int8, "this_hardware", lambda: SimpleNamespace(features=features))
    step = lab.quantize(lab.samples.tiny()).lineage[-1]
    assert step.options["reduce_range"] is reduced
    assert ("no VNNI" in step.notes["say"][-1]) is reduced


def test_what_to_leave_out(bert: Model) -> None:
    fast = lab.optimize(bert)
    by_module = lab.quantize(fast, exclude_nodes=["bert.encoder.layer.0"])
    left = [n for n in by_module.to_ir().graph if n.op_type == "MatMul"]
    assert len(left) == 4
    assert all(module_of(n).startswith("bert.encoder.layer.0") for n in left)
    no_tables = lab.quantize(fast, exclude_ops=["Gather"])
    assert "uint8" not in no_tables.header.weights or no_tables.header.weights["uint8"] < 100


def test_excluded_attention_stays_whole_in_float(bert: Model) -> None:
    m = lab.optimize(bert, attention="attention")
    name = next(n.name for n in m.to_ir().graph if n.op_type == "Attention") or ""
    small = lab.quantize(m, exclude_nodes=[name])
    assert sum(n.op_type == "MatMul" for n in small.to_ir().graph) == 1


def test_new_nodes_know_their_module(bert: Model) -> None:
    graph = lab.quantize(lab.optimize(bert)).to_ir().graph
    products = [n for n in graph if n.op_type == "MatMulInteger"]
    assert products
    assert all(module_of(n) for n in products)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"method": "static"}, BadInput, "about 100 typical samples"),
        ({"calibration": "entropy"}, BadInput, "calibration with method 'static'"),
        ({"method": "fp8"}, NotInThisVersion, "Hopper"),
        ({"method": "fp4"}, NotInThisVersion, "Blackwell"),
        ({"method": "dynamc"}, BadInput, "did you mean 'dynamic'?"),
        ({"data": [{}]}, BadInput, "no data"),
        ({"op_types": ["Matmul"]}, BadInput, "did you mean 'MatMul'?"),
        ({"weight_type": "int3"}, BadInput, "int8, uint8"),
        ({"exclude_nodes": ["first/matmull"]}, BadInput, "did you mean 'first/matmul'?"),
    ],
)
def test_wrong_words(options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        lab.quantize(lab.samples.tiny(), **options)  # type: ignore[arg-type]
    assert text in str(caught.value)


def test_half_precision_comes_after() -> None:
    with pytest.raises(TransformError, match="quantize before fp16"):
        lab.quantize(lab.fp16(lab.samples.tiny()))


def test_nothing_of_the_chosen_kind() -> None:
    m = lab.quantize(lab.samples.tiny(), op_types=["LSTM"])
    assert m.lineage[-1].notes["say"][0].startswith("changed nothing")


def test_silent(
    bert: Model,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    handlers = list(logging.root.handlers)
    lab.quantize(bert, name="silent")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list
    assert logging.root.handlers == handlers
