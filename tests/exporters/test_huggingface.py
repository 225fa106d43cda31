"""Hugging Face models, folders and hub names: nothing but the model is given."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import onnx_lab as lab
from onnx_lab.errors import ExportError

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "vocab_size": 99,
    "max_position_embeddings": 64,
}
TOKENS = "int64[batch, sequence]"


def bert() -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = transformers.BertConfig(**SMALL, num_labels=3, id2label={0: "no", 1: "maybe", 2: "yes"})
    return transformers.BertForSequenceClassification(config)


def said(m: lab.Model) -> str:
    return "\n".join(m.lineage[-1].notes["say"])


@pytest.mark.slow
def test_bert_needs_nothing_else_and_is_left_as_it_was() -> None:
    net = bert().train()
    net.config.return_dict = False
    m = lab.export(net)
    assert [str(i) for i in m.inputs] == [
        f"input_ids: {TOKENS}",
        f"attention_mask: {TOKENS}",
        f"token_type_ids: {TOKENS}",
    ]
    assert [str(o) for o in m.outputs] == ["logits: float32[batch, 3]"]
    assert m.labels == ("no", "maybe", "yes")
    assert "at (1, 37) and (3, 60), padding masked" in said(m)
    assert m.lineage[-1].notes["parity"]["largest"] < 1e-5
    assert m.header.operators["LayerNormalization"] == 5
    assert m.header.operators["Gelu"] == 2
    assert net.training
    assert net.bert.training
    assert net.config.return_dict is False
    assert lab.export(net).cached


@pytest.mark.slow
def test_a_folder_in_the_hubs_layout(tmp_path: Path) -> None:
    net = transformers.DistilBertModel(
        transformers.DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=37, vocab_size=99)
    ).eval()
    net.save_pretrained(tmp_path / "tiny-distil")
    m = lab.export(tmp_path / "tiny-distil", exporter="torchscript")
    assert m.name == "tiny-distil"
    assert [str(i) for i in m.inputs] == [f"input_ids: {TOKENS}", f"attention_mask: {TOKENS}"]
    assert [o.name for o in m.outputs] == ["last_hidden_state"]
    assert lab.export(tmp_path / "tiny-distil", exporter="torchscript").cached
    feeds = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.ones(1, 3, dtype=torch.int64)}
    with torch.no_grad():
        want = net(**feeds).last_hidden_state
    from onnx_lab.runtime.client import session

    got = session(m).run({k: v.numpy() for k, v in feeds.items()})["last_hidden_state"]
    assert torch.allclose(want, torch.from_numpy(got), atol=1e-5)


@pytest.mark.slow
def test_a_vision_model() -> None:
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=37, image_size=32, patch_size=8
    )
    m = lab.export(transformers.ViTForImageClassification(config), exporter="torchscript")
    assert [str(i) for i in m.inputs] == ["pixel_values: float32[batch, 3, 32, 32]"]
    assert m.labels == ("LABEL_0", "LABEL_1")


@pytest.mark.slow
def test_the_tokenizers_own_batch_is_an_example() -> None:
    batch = transformers.BatchEncoding(
        {
            "input_ids": torch.tensor([[2, 5, 3, 0], [2, 6, 7, 3]]),
            "attention_mask": torch.tensor([[1, 1, 1, 0], [1] * 4]),
        }
    )
    m = lab.export(bert(), example=batch, exporter="torchscript")
    assert [i.name for i in m.inputs] == ["input_ids", "attention_mask"]
    assert [str(o) for o in m.outputs] == ["logits: float32[batch, 3]"]
    assert m.inputs[0].shape == ("batch", "sequence")
    assert "padding masked" in said(m)


def test_code_from_a_repository_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}')
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ExportError, match="trust_remote_code"):
        lab.export(tmp_path)


def test_an_unknown_architecture(tmp_path: Path) -> None:
    net = bert()
    net.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("BertForSequenceClassification", "BertForMindReading"))
    with pytest.raises(ExportError, match="BertForMindReading, which transformers"):
        lab.export(tmp_path)


def test_weights_that_are_not_in_the_checkpoint_are_told(tmp_path: Path) -> None:
    bert().bert.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"BertModel"', '"BertForSequenceClassification"'))
    assert "2 weights are not in the checkpoint and were drawn at random: classifier.bias" in said(
        lab.export(tmp_path, check=False, exporter="torchscript")
    )


@pytest.mark.slow
def test_a_hub_name_is_found_in_the_local_cache_and_identified_by_its_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    hub = tmp_path / "hub" / "models--someone--tiny"
    bert().save_pretrained(hub / "snapshots" / commit)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text(commit)
    code = "from onnx_lab import export as e; m = e('someone/tiny'); print(m.name, m.cached, e('someone/tiny').cached)"
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert out.stdout.splitlines() == ["tiny False True"], out.stderr
    assert out.stderr == ""


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=99))


def t5() -> Any:
    config = transformers.T5Config(
        d_model=32, d_ff=37, d_kv=16, num_layers=2, num_heads=2, vocab_size=99, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


def roberta() -> Any:
    return transformers.RobertaForMaskedLM(transformers.RobertaConfig(**SMALL, type_vocab_size=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (gpt2, ["input_ids", "attention_mask"]),
        (t5, ["input_ids", "attention_mask", "decoder_input_ids"]),
        (roberta, ["input_ids", "attention_mask"]),
    ],
)
def test_other_families(make: Callable[[], Any], inputs: list[str]) -> None:
    m = lab.export(make())
    assert [i.name for i in m.inputs] == inputs
    assert "padding masked" in said(m)


@pytest.mark.slow
def test_bert_base_is_within_1e_4() -> None:
    torch.manual_seed(0)
    m = lab.export(transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=4)), name="bert-base")
    assert m.lineage[-1].notes["parity"]["largest"] < 1e-4
    assert m.header.nodes < 600
    assert m.header.opsets[""] == 20
    assert "(1, 37) and (3, 91), padding masked" in said(m)
