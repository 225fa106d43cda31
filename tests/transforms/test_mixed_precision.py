"""mixed_precision: overflows found without a GPU, only what needs it in float32, and every refusal in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from branches import BRANCH, as_a_gpu, batches, cancelling, overflowing, save
from onnx import helper

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.transforms._half import learn_types, prepared
from onnx_lab.transforms._rounded import as_half
from onnx_lab.transforms._segments import search
from onnx_lab.transforms.code import code_for

TINY = [{"x": np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)}]


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_branch_that_overflows_stays_float32_and_nothing_else(tmp_path: Path, shared: bool) -> None:
    m, data = overflowing(tmp_path, shared=shared), batches()
    want = as_a_gpu(m, data[0])
    assert not np.allclose(as_a_gpu(lab.fp16(m), data[0]), want, atol=0.1)  # the plain file: inf, or a lost branch
    mixed = lab.mixed_precision(m, data)
    notes = mixed.lineage[-1].notes
    assert set(notes["float32_nodes"]) == BRANCH
    assert "writes 'b1', which reaches" in notes["reasons"]["/branch/up2"]
    np.testing.assert_allclose(as_a_gpu(mixed, data[0]), want, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(lab.infer(mixed, data[0]).outputs["y"], want, rtol=1e-2, atol=1e-2)
    assert any("stay float32: branch (3)" in s for s in notes["say"])


@pytest.mark.slow
def test_a_model_with_nothing_to_keep() -> None:
    seen: list[dict[str, Any]] = []
    mixed = lab.mixed_precision(lab.samples.tiny(), TINY, progress=seen.append)
    notes = mixed.lineage[-1].notes
    assert notes["float32_nodes"] == []
    assert (notes["nodes"], notes["evaluations"]) == (6, 1)
    assert 0 < notes["share"] < 1
    assert notes["say"][0] == "all 6 nodes are float16"
    assert mixed.header.weights == {"float16": 212}
    assert [e["kind"] for e in seen] == ["look", "evaluation"]


@pytest.mark.slow
def test_what_cancels_is_found_without_an_overflow(tmp_path: Path) -> None:
    m, data = cancelling(tmp_path), batches()
    mixed = lab.mixed_precision(m, data)
    assert set(mixed.lineage[-1].notes["float32_nodes"]) == {"/far/Add", "/far/Sub"}
    np.testing.assert_allclose(as_a_gpu(mixed, data[0]), as_a_gpu(m, data[0]), rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_the_recipe_and_the_code_of_it_need_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m, data = overflowing(tmp_path), batches()
    mixed = lab.mixed_precision(m, data)
    recipe = lab.Recipe.from_json(lab.Recipe.of(mixed).to_json())
    assert [verb for verb, _ in recipe.steps] == ["fp16"]
    np.testing.assert_array_equal(as_a_gpu(recipe(m), data[0]), as_a_gpu(mixed, data[0]))
    monkeypatch.chdir(tmp_path)
    m.save("model.onnx")
    exec(compile(code_for(mixed.lineage[-1]), "plain", "exec"), {"__name__": "plain"})
    half = lab.load("model-fp16.onnx")
    np.testing.assert_allclose(lab.infer(half, data[0]).outputs["y"], as_a_gpu(m, data[0]), rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_a_recipe_with_data_runs_and_is_no_json() -> None:
    recipe = lab.Recipe(("mixed_precision", {"data": TINY}))
    assert recipe(lab.samples.tiny()).header.weights == {"float16": 212}
    assert "lab.mixed_precision(m, data=data)" in recipe.to_python()
    with pytest.raises(BadInput, match="what JSON cannot"):
        recipe.to_json()


@pytest.mark.slow
def test_the_cache_knows_data_and_tolerance() -> None:
    m, other = lab.samples.tiny(), [{"x": np.ones((2, 8), np.float32)}]
    lab.mixed_precision(m, TINY)
    assert lab.mixed_precision(m, [dict(f) for f in TINY]).cached
    assert not lab.mixed_precision(m, TINY, rtol=0.5).cached
    assert not lab.mixed_precision(m, other).cached
    assert not any(lab.mixed_precision(m, TINY, validate=lambda *_: True).cached for _ in range(2))


@pytest.mark.slow
def test_validate_decides_in_place_of_the_tolerance() -> None:
    asked: list[float] = []

    def strict(exact: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> bool:
        asked.append(float(np.abs(exact["logits"] - got["logits"]).max()))
        return bool(asked[-1] == 0)

    mixed = lab.mixed_precision(lab.samples.tiny(), TINY, validate=strict)
    assert max(asked) > 0
    assert mixed.lineage[-1].notes["say"] == ["changed nothing: no node of tiny can be float16 within this tolerance"]
    assert mixed.header.weights == {"float32": 212}


def _raises(a: Any, b: Any) -> bool:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"data": []}, "data is empty"),
        ({"data": iter(TINY)}, "exhausted after one pass"),
        ({"data": [{"y": np.zeros((1, 8), np.float32)}]}, "batch 0 of data"),
        ({"rtol": -1.0}, "rtol=-1.0"),
        ({"rtol": 0.0, "atol": 0.0}, "one of them above 0"),
        ({"overflow_above": 1e6}, "at most 65504"),
        ({"max_evaluations": 0}, "a whole number from 1"),
        ({"tool": "onnx"}, "onnxruntime, onnxconverter-common"),
        ({"validate": 3}, "validate=3"),
        pytest.param(
            {"validate": _raises}, "validate failed on batch 0: ZeroDivisionError: oh", marks=pytest.mark.slow
        ),
        pytest.param({"validate": lambda *_: 1}, "validate answered with a int on batch 0", marks=pytest.mark.slow),
    ],
)
def test_wrong_words(options: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.mixed_precision(lab.samples.tiny(), **{"data": TINY, **options})
    assert text in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"validate": lambda *_: False}, "validate refuses the float32 model's own answers"),
        ({"keep_io": False, "rtol": 0.0, "atol": 1e-9}, "only inputs and outputs in float16"),
        ({"data": [{"x": np.full((1, 8), np.nan, np.float32)}]}, "the float32 model itself answers NaN"),
    ],
)
def test_what_no_mixture_can_meet(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TransformError) as caught:
        lab.mixed_precision(lab.samples.tiny(), **{"data": TINY, **options})
    assert text in str(caught.value)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["kind"] == "evaluation":
            raise KeyboardInterrupt

    before = sorted((workspace.root() / "models").iterdir())
    with pytest.raises(KeyboardInterrupt):
        lab.mixed_precision(overflowing(tmp_path), batches(seed=7), progress=stop)
    assert sorted((workspace.root() / "models").iterdir()) == before
    assert not list((workspace.root() / "tmp").iterdir())


@pytest.mark.slow
def test_inputs_and_outputs_too() -> None:
    mixed = lab.mixed_precision(lab.samples.tiny(), TINY, keep_io=False)
    assert (mixed.inputs[0].dtype, mixed.outputs[0].dtype) == ("float16", "float16")


@pytest.mark.slow
def test_headroom_keeps_what_comes_near(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "big"], ["a"], "/up"),
        helper.make_node("Mul", ["a", "small"], ["y"], "/down"),
    ]
    m = save(tmp_path / "near.onnx", nodes, {"big": 1e4, "small": 1e-4})
    assert lab.mixed_precision(m, batches()).lineage[-1].notes["float32_nodes"] == []
    kept = lab.mixed_precision(m, batches(), overflow_above=5000.0).lineage[-1].notes["float32_nodes"]
    assert kept == ["/up", "/down"]


@pytest.mark.slow
def test_the_named_alternative_and_what_it_does_not_see(tmp_path: Path) -> None:
    mixed = lab.mixed_precision(lab.samples.tiny(), TINY, tool="onnxconverter-common")
    assert mixed.header.weights == {"float16": 212}
    assert mixed.lineage[-1].options["tool"] == "onnxconverter-common"
    with pytest.raises(TransformError, match="onnxconverter-common") as caught:
        lab.mixed_precision(overflowing(tmp_path), batches(), tool="onnxconverter-common")
    assert "tool='onnxruntime'" in str(caught.value)


@pytest.mark.slow
def test_on_a_bert(bert: lab.Model, feeds: dict[str, np.ndarray]) -> None:
    loose = lab.mixed_precision(bert, [feeds])
    assert loose.lineage[-1].notes["float32_nodes"] == []
    share = loose.lineage[-1].notes["largest"]
    tight = lab.mixed_precision(bert, [feeds], rtol=0.0, atol=share / 2)
    notes = tight.lineage[-1].notes
    assert 0 < len(notes["float32_nodes"]) < notes["nodes"]
    assert notes["largest"] <= share / 2
    assert notes["evaluations"] <= 64
    assert lab.compare(bert, tight, [feeds], rtol=0, atol=share).outputs[0].close


@pytest.mark.slow
def test_overflowing_outputs_and_integer_outputs(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "big"], ["y1"], "/up"),
        helper.make_node("Mul", ["y1", "small"], ["y"], "/down"),
        helper.make_node("ArgMax", ["x"], ["top"], "/top", axis=1),
    ]
    m = save(tmp_path / "shown.onnx", nodes, {"big": 1e6, "small": 1e-6}, outputs=["y", "y1", "top"])
    mixed, feeds = lab.mixed_precision(m, batches()), batches()[0]
    assert mixed.lineage[-1].notes["reasons"]["/up"].startswith("writes 'y1', which reaches")
    got, want = lab.infer(mixed, feeds).outputs, lab.infer(m, feeds).outputs
    assert np.isfinite(got["y1"]).all()
    np.testing.assert_allclose(got["y1"], want["y1"], rtol=1e-2)
    np.testing.assert_array_equal(got["top"], want["top"])


@pytest.mark.slow
def test_what_cannot_be_searched(tmp_path: Path) -> None:
    old = save(tmp_path / "old.onnx", [helper.make_node("Relu", ["x"], ["y"], "relu")], {}, opset=9)
    with pytest.raises(TransformError, match="opset 9"):
        lab.mixed_precision(old, batches())
    shape = save(tmp_path / "shape.onnx", [helper.make_node("Shape", ["x"], ["y"], "shape")], {}, outputs=["y"])
    said = lab.mixed_precision(shape, batches()).lineage[-1].notes["say"]
    assert said == ["changed nothing: no node of shape can be float16 because none computes in float32"]
    top = save(tmp_path / "top.onnx", [helper.make_node("ArgMax", ["x"], ["top"], "top")], {}, outputs=["top"])
    with pytest.raises(BadInput, match="no output is a float tensor: top"):
        lab.mixed_precision(top, batches())


def test_search_finds_what_must_stay() -> None:
    nodes = [f"n{i}" for i in range(100)]
    bad = {"n3", "n50", "n51"}
    passes: Callable[[Any], bool] = lambda half: not bad & set(half)  # noqa: E731
    found = search(nodes, {"n50": 1.0}, passes, 200)
    assert (set(found.needed), found.undecided) == (bad, ())
    short = search(nodes, {}, passes, 5)
    assert passes(short.half)
    assert bad <= set(short.undecided) | set(short.needed)
    assert search([], {}, passes, 5).half == ()


def test_search_never_asks_more_often_than_allowed() -> None:
    asked: list[int] = []
    found = search("abcdefghijklmnop", {}, lambda half: bool(asked.append(len(half))), 7)
    assert len(asked) == 7
    assert found.half == ()


def test_weights_are_rounded_as_the_converter_does() -> None:
    from onnxruntime.transformers.float16 import convert_np_to_float16

    rng = np.random.default_rng(0)
    weights = np.concatenate([rng.normal(size=100) * 10.0 ** rng.integers(-12, 12, 100), [0, np.inf, -np.inf]])
    weights = weights.astype(np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(as_half(weights), convert_np_to_float16(weights))


@pytest.mark.slow
def test_types_that_no_inference_finds_are_asked_of_the_engine() -> None:
    graph = prepared(lab.samples.tiny())
    inner = [v for node in graph.graph for v in node.outputs if not v.is_graph_output()]
    for value in inner:
        value.type = None
    learn_types(graph, TINY[0])
    assert {v.dtype.name for v in inner} == {"FLOAT"}  # type: ignore[union-attr]
