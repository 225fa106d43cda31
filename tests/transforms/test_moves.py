"""The moves that pay on a CPU, each for itself: the same answers, and the reason where one does not apply."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from encoders import run
from graphs import HIDDEN, attention
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model

Exported = Callable[[str, str], Model]
ALONE = ("constant_embeddings", "patch_matmul", "scale_in_weights", "dead_tokens", "idle_masks", "batch_first")


def texts(batch: int, seq: int, *, padded: bool = True) -> dict[str, np.ndarray]:
    """All but the first are padded."""
    ids = np.random.default_rng(seq).integers(0, 200, (batch, seq))
    mask = np.ones_like(ids)
    if padded:
        mask[1:, seq // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}


def pictures(batch: int) -> dict[str, np.ndarray]:
    """Of 32 pixels."""
    return {"pixel_values": np.random.default_rng(batch).normal(size=(batch, 3, 32, 32)).astype(np.float32)}


def only(m: Model, name: str, **options: Any) -> Model:
    """`m` with this move alone, of those in question."""
    return lab.optimize(m, disable=[n for n in ALONE if n != name], enable=[name], **options)


def notes(m: Model) -> dict[str, Any]:
    """Of the last step."""
    return dict(m.lineage[-1].notes)


def same(a: Model, b: Model, *given: dict[str, np.ndarray], atol: float = 1e-5) -> None:
    """The first outputs of both are equal for all of `given`."""
    for feeds in given:
        np.testing.assert_allclose(run(a, feeds), run(b, feeds), atol=atol)


def conv(folder: Path, *, kernel: int = 4, stride: int = 4, side: Any = 8, bias: bool = True, end: str = "") -> Model:
    """``x [batch, 3, side, side]`` through a Conv into tokens ``[batch, patches, 5]``."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(5, 3, kernel, kernel)).astype(np.float32), "flat": np.array([0, 5, -1])}
    if bias:
        weights["b"] = rng.normal(size=5).astype(np.float32)
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w", *["b"] * bias], ["c"], "/patch", kernel_shape=[kernel] * 2, strides=[stride] * 2),
        node("Reshape", ["c", "flat"], ["f"], "/flat"),
        node("Transpose", ["f"], ["y"], "/tokens", perm=[0, 2, 1]),
    ]
    outputs = ["c"] if end == "pictures" else ["y"]
    graph = helper.make_graph(
        nodes[:1] if end == "pictures" else nodes,
        "patches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    path = folder / f"conv-{kernel}-{stride}-{side}-{bias}-{end}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


@pytest.mark.parametrize("bias", [True, False])
def test_patches_as_a_product(tmp_path: Path, bias: bool) -> None:
    m = conv(tmp_path, bias=bias)
    fast = lab.optimize(m)
    assert notes(fast)["fused"] == {"patch_matmul": 1}
    assert dict(fast.header.operators) == {"Reshape": 2, "Transpose": 1, "MatMul": 1, **({"Add": 1} if bias else {})}
    for batch in (1, 3):
        x = {"x": np.random.default_rng(batch).normal(size=(batch, 3, 8, 8)).astype(np.float32)}
        same(fast, m, x)


@pytest.mark.parametrize(
    ("different", "why"),
    [
        ({"side": 10}, "no whole number of patches"),
        ({"side": "side"}, "not fixed: fix_shapes first"),
        ({"end": "pictures"}, "does not become tokens"),
        ({"stride": 2}, ""),  # an ordinary convolution is not worth a word
    ],
)
def test_a_conv_that_stays_one(tmp_path: Path, different: dict[str, Any], why: str) -> None:
    m = lab.optimize(conv(tmp_path, **different))
    assert m.header.operators["Conv"] == 1
    assert why in notes(m)["left"].get("patch_matmul", "")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dynamo-sdpa", "torchscript-sdpa"])
def test_patches_of_a_vision_transformer(exported: Exported, form: str) -> None:
    m = exported("vit", form)
    fast = only(m, "patch_matmul", target="openvino")
    assert notes(fast)["fused"]["patch_matmul"] == 1
    assert "Conv" not in fast.header.operators
    same(fast, m, pictures(1), pictures(3))
    small = lab.quantize(only(m, "patch_matmul"))
    assert "Conv" not in small.header.operators  # it is quantized with the other products


@pytest.mark.parametrize("target", ["cpu", "openvino"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_scale_goes_into_the_query(tmp_path: Path, target: str, masked: bool) -> None:
    m = attention(tmp_path, masked=masked)
    fast = only(m, "scale_in_weights", target=target)
    assert notes(fast)["fused"]["scale_in_weights"] == 1
    if target == "openvino":
        assert "Mul" not in fast.header.operators
    else:
        (fused,) = [n for n in fast.to_ir().graph if n.op_type == "MultiHeadAttention"]
        assert fused.attributes["scale"].as_float() == 1.0
    keep = np.random.default_rng(0).random((3, 1, 1, 5)) > 0.3
    keep[..., 0] = True
    x = {"x": np.random.default_rng(1).normal(size=(3, 5, HIDDEN)).astype(np.float32), "keep": keep}
    same(fast, m, x, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "form"), [("bert", "dynamo-sdpa"), ("bert", "torchscript-sdpa"), ("vit", "dynamo-sdpa")]
)
@pytest.mark.parametrize("target", ["cpu", "openvino"])
def test_the_scale_of_real_exports(exported: Exported, kind: str, form: str, target: str) -> None:
    m = exported(kind, form)
    fast = only(m, "scale_in_weights", target=target)
    assert notes(fast)["fused"]["scale_in_weights"] == 2
    same(fast, m, *[{**texts(b, s), **pictures(b)} for b, s in ((1, 1), (3, 12))])


def test_native_attention_multiplies_inside(tmp_path: Path) -> None:
    m = lab.optimize(attention(tmp_path, causal=True), target="openvino")
    assert "multiplies inside" in notes(m)["left"]["scale_in_weights"]


@pytest.mark.slow
def test_positions_become_a_constant_at_a_fixed_length(bert: Model) -> None:
    assert "fix_shapes first" in notes(lab.optimize(bert))["left"]["constant_embeddings"]
    fixed = lab.fix_shapes(bert, batch=None, seq=12)
    fast = lab.optimize(fixed)
    assert "constant_embeddings" not in notes(fast)["left"]
    by_token = [n for n in fast.to_ir().graph if n.op_type == "Gather" and n.inputs[1].is_graph_input()]
    assert (
        len(by_token) == fast.header.operators["Gather"] - 3 == 2
    )  # words and types; the others cut and read the one token
    same(fast, bert, texts(1, 12), texts(3, 12))


def embeddings(folder: Path) -> Model:
    """Words by id, plus types and positions that nobody feeds, in the order in which BERT adds them."""
    rng = np.random.default_rng(0)
    tables = {k: rng.normal(size=(n, 400)).astype(np.float32) for k, n in (("words", 9), ("types", 2), ("places", 900))}
    tables |= {"kind": np.zeros((1, 3), np.int64), "place": np.arange(3)[None]}
    node = helper.make_node
    nodes = [
        node("Gather", ["words", "ids"], ["w"]),
        node("Gather", ["types", "kind"], ["t"]),
        node("Add", ["w", "t"], ["wt"]),
        node("Gather", ["places", "place"], ["p"]),
        node("Add", ["wt", "p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "embeddings",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v, k) for k, v in tables.items()],
    )
    path = folder / "embeddings.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return lab.load(path)


def test_one_constant_and_one_sum(tmp_path: Path) -> None:
    m = embeddings(tmp_path)
    fast = lab.optimize(m)
    assert dict(fast.header.operators) == {"Gather": 1, "Add": 1}
    assert notes(fast)["fused"] == {"constant_embeddings": 2}
    same(fast, m, {"ids": np.array([[1, 2, 3], [8, 0, 0]])}, atol=1e-6)


@pytest.mark.parametrize(
    "target", ["cpu", pytest.param("openvino", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.slow)]
)
def test_without_padding_there_is_no_mask(bert: Model, target: str) -> None:
    fast = lab.optimize(bert, target=target, padding=False)
    assert notes(fast)["fused"]["no_padding"] == 2
    assert any("right only for inputs without padding" in s for s in notes(fast)["say"])
    assert [i.name for i in fast.inputs] == [i.name for i in bert.inputs]  # feeds stay valid
    assert not {"Where", "GatherND", "Range"} & set(fast.header.operators)
    same(fast, bert, *[texts(b, s, padded=False) for b, s in ((1, 1), (1, 7), (3, 12))])
    assert np.abs(run(fast, texts(3, 12)) - run(bert, texts(3, 12))).max() > 1e-4, "padding has no effect here"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["torchscript-sdpa", "dynamo23-sdpa"])
def test_without_padding_in_other_exports(exported: Exported, form: str) -> None:
    m = exported("bert", form)
    for target in ("cpu", "openvino"):
        fast = lab.optimize(m, target=target, padding=False)
        assert notes(fast)["fused"]["no_padding"] == 2
        same(fast, m, texts(1, 7, padded=False), texts(3, 12, padded=False))


@pytest.mark.slow
def test_a_mask_that_is_no_padding_stays() -> None:
    import torch
    import transformers as t

    torch.manual_seed(0)
    small = {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 50, "n_positions": 32, "use_cache": False}
    m = lab.export(t.GPT2LMHeadModel(t.GPT2Config(**small)).eval(), name="gpt2")
    fast = lab.optimize(m, padding=False)
    assert "no_padding" not in notes(fast)["fused"]
    assert "causal" in notes(fast)["left"]["no_padding"]
    ids = np.random.default_rng(0).integers(0, 50, (2, 9))
    same(fast, m, {"input_ids": ids, "attention_mask": np.ones_like(ids)})


def test_padding_and_its_name_contradict_each_other() -> None:
    with pytest.raises(BadInput, match="one of the two"):
        lab.optimize(lab.samples.tiny(), padding=False, disable="no_padding")


@pytest.mark.slow
def test_a_mask_that_nobody_can_set_goes(exported: Exported) -> None:
    m = exported("vit", "dynamo-sdpa")
    fast = lab.optimize(m)
    assert notes(fast)["fused"]["idle_masks"] == 2
    assert "Where" not in fast.header.operators
    same(fast, m, pictures(1), pictures(3))
    assert "idle_masks" not in notes(lab.optimize(exported("bert", "dynamo-sdpa")))["fused"]
