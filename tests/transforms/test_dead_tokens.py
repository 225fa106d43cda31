"""dead_tokens: the same answers from fewer rows, only where one token is read, and the reason where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from encoders import run
from onnx import TensorProto, helper, numpy_helper
from sequence_first import open_clip_model

import onnx_lab as lab
from onnx_lab.model import Model

Exported = Callable[[str, str], Model]
SHAPES = ((1, 1), (1, 7), (3, 12))
FORMS = [
    ("bert", "dynamo-sdpa", "cpu"),
    *(
        pytest.param(kind, form, target, marks=pytest.mark.slow)
        for kind, form, target in (
            ("bert", "dynamo-sdpa", "openvino"),
            ("bert", "torchscript-sdpa", "openvino"),
            ("bert", "dynamo23-sdpa", "openvino"),
            ("distilbert", "dynamo-sdpa", "cpu"),
            ("vit", "torchscript-sdpa", "openvino"),
        )
    ),
]


def feeds(batch: int, seq: int) -> dict[str, np.ndarray]:
    """Texts of which all but the first are padded, and pictures."""
    rng = np.random.default_rng(seq)
    ids = rng.integers(0, 200, (batch, seq))
    mask = np.ones_like(ids)
    mask[1:, seq // 2 :] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": ids % 2,
        "pixel_values": rng.normal(size=(batch, 3, 32, 32)).astype(np.float32),
    }


def rows_of_products(m: Model, given: dict[str, np.ndarray]) -> list[int]:
    """For each product with weights of its own: how many rows it makes of one sample."""
    import onnx_ir as ir
    from onnx_ir.passes.common import NameFixPass

    from onnx_lab.runtime.activations import tapped

    graph = m.to_ir()
    NameFixPass()(graph)
    products = [
        n
        for n in graph.graph
        if n.op_type == "MatMul"
        and n.inputs[1] is not None
        and ir.convenience.get_const_tensor(n.inputs[1]) is not None
    ]
    names = {i.name for i in m.inputs}
    with tapped(graph, [n.outputs[0].name or "" for n in products]) as tap:
        values = dict(tap.read({k: v for k, v in given.items() if k in names}))
    return [values[n.outputs[0].name or ""].shape[1] for n in products]


@pytest.mark.parametrize(("kind", "form", "target"), FORMS)
def test_same_answers(exported: Exported, kind: str, form: str, target: str) -> None:
    m = exported(kind, form)
    fast = lab.optimize(m, target=target)
    assert fast.lineage[-1].notes["fused"]["dead_tokens"] >= 5
    for batch, seq in SHAPES:
        given = feeds(batch, seq)
        np.testing.assert_allclose(run(fast, given), run(m, given), atol=1e-5)


@pytest.mark.slow
def test_only_keys_and_values_of_the_last_layer_see_all_tokens(bert: Model) -> None:
    given = feeds(2, 9)
    assert sorted(rows_of_products(lab.optimize(bert), given)) == [1] * 4 + [9] * 5
    assert set(rows_of_products(lab.optimize(bert, disable="dead_tokens"), given)) == {9}


@pytest.mark.slow
def test_after_an_optimize_that_packed_everything(bert: Model) -> None:
    """The query is cut out of a packed product: right, if not as fast as in one go."""
    twice = lab.optimize(lab.optimize(bert, disable="dead_tokens"))
    assert twice.lineage[-1].notes["fused"]["dead_tokens"] >= 4
    np.testing.assert_allclose(run(twice, feeds(3, 12)), run(bert, feeds(3, 12)), atol=1e-5)


@pytest.mark.slow
def test_quantized_then(bert: Model) -> None:
    small = lab.quantize(lab.optimize(bert))
    np.testing.assert_allclose(run(small, feeds(3, 12)), run(bert, feeds(3, 12)), atol=0.05)


@pytest.mark.slow
def test_open_clip() -> None:
    pair = lab.export(open_clip_model(), name="oc")
    image, text = (lab.optimize(m, target="openvino") for m in (pair.image, pair.text))
    assert image.lineage[-1].notes["fused"]["dead_tokens"] >= 5
    assert "token of its own" in text.lineage[-1].notes["left"]["dead_tokens"]
    for batch in (1, 3):
        pictures = {"image": np.random.default_rng(batch).normal(size=(batch, 3, 32, 32)).astype(np.float32)}
        np.testing.assert_allclose(run(image, pictures), run(pair.image, pictures), atol=1e-5)


def block(folder: Path, end: list[Any], outputs: list[str], **more: np.ndarray) -> Model:
    """``x [batch, 5, 8]`` through one product and a Relu to ``h``, then `end`."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(8, 8)).astype(np.float32), **more}
    node = helper.make_node
    nodes = [node("MatMul", ["x", "w"], ["p"], "/layer/product"), node("Relu", ["p"], ["h"], "/layer/act"), *end]
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 5, 8])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    path = folder / f"{'-'.join(outputs)}-{end[0].op_type if end else ''}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


FIRST = helper.make_node("Gather", ["h", "zero"], ["y"], "/pool", axis=1)
LAST = helper.make_node("Slice", ["h", "start", "stop", "axis"], ["y"], "/pool")
ZERO = {"zero": np.array(0)}
END = {"start": np.array([-1]), "stop": np.array([2**63 - 1]), "axis": np.array([1])}


@pytest.mark.parametrize(("read", "constants"), [(FIRST, ZERO), (FIRST, {"zero": np.array(-2)}), (LAST, END)])
def test_any_one_token(tmp_path: Path, read: Any, constants: dict[str, np.ndarray]) -> None:
    m = block(tmp_path, [read], ["y"], **constants)
    fast = lab.optimize(m)
    assert fast.lineage[-1].notes["fused"] == {"dead_tokens": 1}
    x = {"x": np.random.default_rng(1).normal(size=(3, 5, 8)).astype(np.float32)}
    np.testing.assert_allclose(run(fast, x), run(m, x), atol=1e-6)


@pytest.mark.parametrize(
    ("end", "outputs", "why"),
    [
        ([FIRST], ["y", "h"], "an output of the model ('h')"),
        ([FIRST, helper.make_node("Softmax", ["h"], ["z"], "/other")], ["y", "z"], "also read by Softmax"),
        ([helper.make_node("ReduceMean", ["h", "axes"], ["y"], "/mean", keepdims=0)], ["y"], "all are read"),
        ([helper.make_node("CumSum", ["h", "one"], ["c"], "/sum"), helper.make_node("Gather", ["c", "zero"], ["y"],
          "/pool", axis=1)], ["y"], "it ends at CumSum"),
    ],
)  # fmt: skip
def test_why_it_is_left_out(tmp_path: Path, end: list[Any], outputs: list[str], why: str) -> None:
    m = block(tmp_path, end, outputs, zero=np.array(0), axes=np.array([1]), one=np.array(1))
    fast = lab.optimize(m)
    notes = fast.lineage[-1].notes
    assert "dead_tokens" not in notes["fused"]
    assert why in notes["left"]["dead_tokens"]
    assert any("left out: dead_tokens (" in s for s in notes["say"])
    x = {"x": np.random.default_rng(1).normal(size=(3, 5, 8)).astype(np.float32)}
    np.testing.assert_allclose(run(fast, x), run(m, x), atol=1e-6)


def test_a_network_without_tokens_is_told_nothing() -> None:
    assert "dead_tokens" not in lab.optimize(lab.samples.tiny()).lineage[-1].notes["left"]
