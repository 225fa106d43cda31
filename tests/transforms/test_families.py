"""optimize on other families than BERT: every block found, the answers kept, no operator out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import onnx_lab as lab
from onnx_lab.feeds import model_feeds

pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 200,
    "max_position_embeddings": 64,
}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def _families() -> dict[str, Callable[[], Any]]:
    import torch
    import transformers as t

    layer = lambda: torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)  # noqa: E731
    image = {"image_size": 32, "patch_size": 8}
    no_vocabulary = {k: v for k, v in SMALL.items() if "vocab" not in k and "position" not in k}
    gpt2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 200, "n_positions": 64, "use_cache": False}
    t5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 200}
    return {
        "mpnet": lambda: t.MPNetForSequenceClassification(t.MPNetConfig(**SMALL)),  # a position bias beside the mask
        "t5": lambda: t.T5EncoderModel(t.T5Config(**t5)),  # no bias in its projections, no scale
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(**gpt2, **IDS)),  # heads joined into two axes
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**SMALL, num_key_value_heads=2, use_cache=False)),
        "clip-vision": lambda: t.CLIPVisionModel(t.CLIPVisionConfig(**no_vocabulary, **image)),
        "torch": lambda: torch.nn.TransformerEncoder(layer(), 2, enable_nested_tensor=False),  # keys turned first
    }


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("family", ["mpnet", "t5", "gpt2", "llama", "clip-vision", "torch"])
def test_every_block(family: str, target: str) -> None:
    import torch

    torch.manual_seed(0)
    net = _families()[family]().eval()
    m = lab.export(net, torch.randn(2, 7, 64) if family == "torch" else None, name=family)
    fast = lab.optimize(m, target=target)
    assert fast.lineage[-1].notes["attention_blocks"] == {"found": 2, "fused": 2}
    feeds = model_feeds(m, batch=2, seq=9)
    if "attention_mask" in feeds:
        feeds["attention_mask"][1, 6:] = 0
    assert lab.compare(m, fast, feeds, rtol=1e-4, atol=1e-5)
    small = lab.quantize(fast)
    assert min(o.cosine_mean for o in lab.compare(m, small, feeds).outputs) > 0.998


def test_why_deberta_s_stay_open() -> None:
    import transformers as t

    m = lab.export(t.DebertaV2ForSequenceClassification(t.DebertaV2Config(**SMALL)).eval(), name="deberta")
    notes = lab.optimize(m).lineage[-1].notes
    assert notes["attention_blocks"] == {"found": 2, "fused": 0}
    assert {b["module"] for b in notes["unfused"]} == {f"deberta.encoder.layer.{i}.attention.self" for i in (0, 1)}
    assert all("folded into one axis" in b["reason"] for b in notes["unfused"])
