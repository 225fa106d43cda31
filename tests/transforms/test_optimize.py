"""optimize: all blocks in every form that exporters write, the same answers, and the reason where one stays open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoders import BERT_FORMS, SLOW_FORMS, run
from graphs import HIDDEN, attention

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput
from onnx_lab.model import Model

Exported = Callable[[str, str], Model]
FORMS = [("bert", f) for f in BERT_FORMS]
MORE = [*(("bert", f) for f in SLOW_FORMS), ("vit", "torchscript-eager")] + [
    (kind, form) for kind in ("distilbert", "vit") for form in ("dynamo-sdpa", "torchscript-sdpa")
]
ALL = [*FORMS, *(pytest.param(*m, marks=pytest.mark.slow) for m in MORE)]


def kinds(m: Model) -> dict[str, int]:
    """Operator counts."""
    return dict(m.header.operators)


def pixels() -> dict[str, np.ndarray]:
    """Three images."""
    return {"pixel_values": np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)}


@pytest.mark.parametrize("target", ["cpu", *(pytest.param(t, marks=pytest.mark.slow) for t in ("cuda", "openvino"))])
@pytest.mark.parametrize(("kind", "form"), ALL)
def test_every_export_form(exported: Exported, feeds: dict[str, np.ndarray], kind: str, form: str, target: str) -> None:
    m = exported(kind, form)
    fast = lab.optimize(m, target=target)
    given = {**feeds, **pixels()}
    np.testing.assert_allclose(run(fast, given), run(m, given), atol=1e-5)
    fused = 0 if target == "openvino" else 2
    assert fast.lineage[-1].notes["attention_blocks"] == {"found": 2, "fused": fused}
    assert "Softmax" not in kinds(fast) or target == "openvino"
    # cutting out the one token that is read takes up to four nodes, of which a deeper graph has no more
    assert fast.header.nodes <= m.header.nodes + 4


def test_the_cpu_form(bert: Model) -> None:
    fast = lab.optimize(bert)
    found = kinds(fast)
    assert found["MultiHeadAttention"] == 2
    # Q, K and V are one product: four products a layer instead of six; in the last one the query is of one token alone
    assert found["MatMul"] == 4 + 5
    assert "SkipLayerNormalization" not in found
    assert fast.session_hints == {"disabled_optimizers": ["SkipLayerNormFusion"]}
    assert fast.lineage[-1].notes["say"][0] == "2 of 2 attention blocks fused"


def test_the_cuda_form(bert: Model) -> None:
    found = kinds(lab.optimize(bert, target="cuda"))
    assert found["Attention"] == 2
    assert found["SkipLayerNormalization"] == 4
    assert found["BiasGelu"] == 2
    assert found["EmbedLayerNormalization"] == 1


@pytest.mark.slow
def test_compilers_get_onnx_s_own_operators(exported: Exported) -> None:
    m = lab.optimize(exported("bert", "torchscript-sdpa"), target="openvino")
    assert set(m.header.opsets) == {""}
    assert "IsNaN" not in kinds(m)
    assert "openvino" in m.lineage[-1].notes["unfused"][0]["reason"]


@pytest.mark.slow
def test_attention_as_asked(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    m = lab.optimize(bert, attention="attention")
    assert kinds(m)["Attention"] == 2
    node = next(n for n in m.to_ir().graph if n.op_type == "Attention")
    assert "qkv_hidden_sizes" not in node.attributes  # the quantizer would leave its weights float
    np.testing.assert_allclose(run(m, feeds), run(bert, feeds), atol=1e-5)


def test_nodes_keep_their_module(bert: Model) -> None:
    graph = lab.optimize(bert).to_ir().graph
    fused = [n for n in graph if n.op_type == "MultiHeadAttention"]
    assert [module_of(n) for n in fused] == [f"bert.encoder.layer.{i}.attention.self" for i in (0, 1)]
    assert all(module_of(n) for n in graph if n.op_type == "MatMul")


@pytest.mark.slow
def test_a_text_without_any_token_is_not_nan(exported: Exported, feeds: dict[str, np.ndarray]) -> None:
    m = lab.optimize(exported("bert", "torchscript-sdpa"))
    empty = {**feeds, "attention_mask": feeds["attention_mask"] * np.array([[1], [1], [0]])}
    assert np.isfinite(run(m, empty)).all()


def test_turned_off_by_name(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    m = lab.optimize(bert, disable=["attention", "gelu"])
    notes = m.lineage[-1].notes
    assert notes["attention_blocks"] == {"found": 2, "fused": 0}
    assert "turned off" in notes["unfused"][0]["reason"]
    assert notes["unfused"][0]["module"] == "bert.encoder.layer.0.attention.self"
    # ONNX Runtime would fuse at load what was turned off here
    assert {"AttentionFusion", "GeluFusionL2"} <= set(m.session_hints["disabled_optimizers"])
    np.testing.assert_allclose(run(m, feeds), run(bert, feeds), atol=1e-5)


@pytest.mark.slow
def test_approximate_gelu_only_when_asked(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    assert "FastGelu" not in kinds(lab.optimize(bert))
    m = lab.optimize(bert, enable="gelu_approximation")
    assert kinds(m)["FastGelu"] == 2
    np.testing.assert_allclose(run(m, feeds), run(bert, feeds), atol=1e-2)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"disable": ["atention"]}, "did you mean 'attention'?"),
        ({"enable": "skip_layernorm"}, "did you mean 'skip_layer_norm'?"),
        ({"attention": "mah"}, "did you mean 'mha'?"),
        ({"target": "opnvino"}, "did you mean 'openvino'?"),
        ({"disable": "gelu", "enable": "gelu"}, "in disable and in enable"),
    ],
)
def test_wrong_words(options: dict[str, object], hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        lab.optimize(lab.samples.tiny(), **options)  # type: ignore[arg-type]
    assert hint in str(caught.value)


@pytest.mark.slow
def test_nothing_to_fuse() -> None:
    m = lab.optimize(lab.samples.tiny())
    assert m.lineage[-1].notes["say"][0] == "no attention block in this graph"
    assert m.session_hints == {}
    np.testing.assert_allclose(
        *(run(x, {"x": np.ones((2, 8), np.float32)}) for x in (m, lab.samples.tiny())), atol=1e-6
    )


def test_a_plain_block_by_hand(tmp_path: Path) -> None:
    m = attention(tmp_path)
    fast = lab.optimize(m)
    assert kinds(fast)["MultiHeadAttention"] == 1
    x = {"x": np.random.default_rng(1).normal(size=(3, 5, HIDDEN)).astype(np.float32)}
    np.testing.assert_allclose(run(fast, x), run(m, x), atol=1e-5)


@pytest.mark.parametrize(
    ("different", "reason"),
    [
        ({"rank": 3}, "batch and heads are folded into one axis"),
        ({"axis": 1}, "runs over axis 1"),
        ({"show_weights": True}, "an output of the model"),
        ({"causal": True}, "is_causal=1"),
    ],
)
def test_why_a_block_stays_open(tmp_path: Path, different: dict[str, object], reason: str) -> None:
    m = lab.optimize(attention(tmp_path, **different))  # type: ignore[arg-type]
    notes = m.lineage[-1].notes
    assert notes["attention_blocks"] == {"found": 1, "fused": 0}
    (block,) = notes["unfused"]
    assert reason in block["reason"]
    assert block["module"] == "block"
    assert block["do"]
    assert any(s.startswith("1 of 1 attention blocks not fused: block (node") for s in notes["say"])


@pytest.mark.slow
def test_the_input_is_untouched_and_the_second_call_cached(bert: Model) -> None:
    before = bert.path.read_bytes()
    first = lab.optimize(bert, disable=["packed_qkv"])
    again = lab.optimize(lab.load(bert.path), disable=["packed_qkv"])
    assert bert.path.read_bytes() == before
    assert again.cached
    assert first.digest == again.digest


@pytest.mark.slow
def test_simplified_first(exported: Exported, feeds: dict[str, np.ndarray]) -> None:
    m = exported("bert", "torchscript-eager")
    fast = lab.optimize(lab.simplify(m))
    assert fast.lineage[-1].notes["attention_blocks"] == {"found": 2, "fused": 2}
    np.testing.assert_allclose(run(fast, feeds), run(m, feeds), atol=1e-5)


def test_twice_is_as_good_as_once(bert: Model, feeds: dict[str, np.ndarray]) -> None:
    twice = lab.optimize(lab.optimize(bert))
    assert twice.lineage[-1].notes["attention_blocks"] == {"found": 2, "fused": 2}
    assert twice.session_hints == {"disabled_optimizers": ["SkipLayerNormFusion"]}
    np.testing.assert_allclose(run(twice, feeds), run(bert, feeds), atol=1e-5)


@pytest.mark.slow
def test_silent(bert: Model, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    lab.optimize(bert, name="silent")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
