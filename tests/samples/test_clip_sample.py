"""The CLIP sample: scenes by seed, weights from where they are, a small CLIP that knows pairs it has never seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import onnx_lab as lab
from onnx_lab.errors import BadInput, MissingExtra
from onnx_lab.samples import _scenes, _small_clip, _weights
from onnx_lab.samples.clip_sample import Batches
from onnx_lab.samples.data import train_clip


@pytest.fixture(scope="module")
def sample() -> lab.samples.ClipSample:
    with pytest.MonkeyPatch.context() as patch:  # what lies in the cache of this machine is not what is tested
        patch.setattr(_weights, "_from_hub", lambda **_: None)
        return lab.samples.clip(offline=True)


def test_scenes_are_the_same_for_the_same_seed() -> None:
    first, again, other = (_scenes.scenes(_scenes.SEEN, 40, seed=s) for s in (3, 3, 4))
    assert first == again != other
    assert _scenes.picture(first[0]).tobytes() == _scenes.picture(again[0]).tobytes()
    assert _scenes.picture(first[0]).size == (_scenes.PIXELS, _scenes.PIXELS)


def test_unseen_pairs_are_two_of_each_colour_and_of_each_shape() -> None:
    assert len(_scenes.UNSEEN) == 16
    assert len(_scenes.SEEN) == 48
    assert not set(_scenes.UNSEEN) & set(_scenes.SEEN)
    for place, words in ((0, _scenes.COLOURS), (1, _scenes.SHAPES)):
        assert all(sum(pair[place] == w for pair in _scenes.UNSEEN) == 2 for w in words)


def test_captions_are_true_and_in_english() -> None:
    rng = np.random.default_rng(0)
    for scene in _scenes.scenes(_scenes.SEEN, 200, seed=1):
        sentence, said = _scenes.caption(scene, rng)
        assert scene.colour in sentence
        assert all(not w or w in sentence for w in said)
        assert all(w in ("", fact) for w, fact in zip(said, _scenes.facts(scene), strict=True))
        assert " a orange" not in f" {sentence}"
    assert _scenes.prompt("orange", "star") == "a photo of an orange star"


def test_a_picture_shows_its_colour() -> None:
    scene = _scenes.Scene("red", "square", "large", "on the left", "white", 5)
    pixels = np.asarray(_scenes.picture(scene)).astype(int)
    left, right = pixels[40:88, 20:60].mean(axis=(0, 1)), pixels[:, 110:].mean(axis=(0, 1))
    assert left[0] > 150 > 90 > left[1]
    assert right.min() > 200


def test_what_is_true_of_what() -> None:
    facts = [("red", "star", "small", "at the top", "white"), ("red", "star", "large", "at the top", "white")]
    said = [("red", "star", "", "", ""), ("red", "star", "large", "", "")]
    assert train_clip._true_of(facts, said).tolist() == [[1, 0], [1, 1]]


def test_the_checkpoint_is_small_and_no_pickle() -> None:
    from safetensors.torch import load_file

    assert _small_clip.CHECKPOINT.stat().st_size <= 8e6
    state = load_file(_small_clip.CHECKPOINT)
    assert len(state["tokens"]) == len(state["token_embedding.weight"]) < 100
    assert {t.dtype for n, t in state.items() if n != "tokens"} == {torch.float16}


@pytest.mark.slow
def test_the_small_model_is_always_the_same() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again = _small_clip.load_model(), _small_clip.load_model()
    assert torch.equal(first.token_embedding.weight, again.token_embedding.weight)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not first.training
    assert first.context_length == 32


@pytest.mark.slow
def test_what_was_trained_comes_back_in_the_full_model() -> None:
    tokens = torch.tensor([5, 9, 49406, 49407])
    part = _small_clip.new_model(tokens=4, positions=6, seed=3)
    full = _small_clip.with_trained(_small_clip.trained_state(part, tokens))
    row = torch.zeros(1, 32, dtype=torch.long)
    row[0, :4] = torch.tensor([49406, 9, 5, 49407])
    ids = torch.zeros(1, 6, dtype=torch.long)
    ids[0, :4] = torch.searchsorted(tokens, row[0, :4])
    with torch.no_grad():
        torch.testing.assert_close(full.encode_text(row), part.encode_text(ids), atol=5e-3, rtol=0)


def test_batches_are_made_when_asked_for() -> None:
    asked: list[Any] = []

    def preprocess(picture: Any) -> torch.Tensor:
        asked.append(picture)
        return torch.zeros(3, 4, 4)

    made = Batches(["a", "b", "c"], preprocess, 2)  # type: ignore[list-item]
    assert (len(made), asked) == (2, [])
    assert made[1]["image"].shape == (1, 3, 4, 4)
    assert asked == ["c"]
    assert [f["image"].shape[0] for f in made] == [2, 1]
    assert len(made[:1]) == 1


@pytest.mark.slow
def test_it_names_pairs_it_has_never_seen(sample: lab.samples.ClipSample) -> None:
    assert len(sample.task) >= 500
    assert np.bincount(sample.task.labels).min() == 40
    assert lab.accuracy(sample.classifier, sample.task).value >= 0.90
    fresh = train_clip.right(sample.model, _scenes.UNSEEN, _scenes.UNSEEN, 320)
    assert fresh >= 0.90, "on other scenes of these pairs, too"


@pytest.mark.slow
def test_it_says_which_weights_are_in_use(sample: lab.samples.ClipSample) -> None:
    assert "small CLIP" in sample.source
    assert sample.source in str(sample)
    assert "drawn scenes" in str(sample)
    calibration = sample.calibration[0]["image"]
    assert calibration.shape == (32, 3, 64, 64)
    assert sample.batches(sample.images[:3])[0]["image"].shape[0] == 3


@pytest.mark.slow
def test_the_pair_and_its_head_are_as_right_as_pytorch(sample: lab.samples.ClipSample) -> None:
    pair = lab.export(sample.model, name="clip")
    head = pair.zero_shot(sample.prompts, sample.classes, tokenizer=sample.tokenizer)
    assert head.labels == sample.classes
    want, got = (lab.accuracy(m, sample.task) for m in (sample.classifier, head))
    assert (got.predictions == want.predictions).mean() > 0.995
    small = pair.apply(lab.optimize, target="cpu").apply(lab.quantize, per_channel=True)
    quantized = small.zero_shot(sample.prompts, sample.classes, tokenizer=sample.tokenizer)
    assert lab.accuracy(quantized, sample.task).value >= want.value - 0.02
    found = lab.infer(
        small,
        sample.images[:4],
        prompts=sample.prompts,
        preprocess=sample.preprocess,
        tokenizer=sample.tokenizer,
    )
    assert found.probabilities is not None
    assert found.probabilities.shape == (4, 16)


@pytest.mark.slow
def test_a_folder_in_the_hub_s_layout_comes_first(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "my-clip")
    found = lab.samples.clip(folder, offline=True)
    assert found.source == "the folder my-clip"
    assert found.task.feeds[0]["image"].shape == (32, 3, 64, 64)
    assert found.tokenizer(["a"]).shape == (1, 32)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"lacks open_clip_model\.safetensors"):
        lab.samples.clip(folder)


@pytest.mark.slow
def test_the_local_hub_cache_comes_before_the_small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    repository = tmp_path / ("models--" + _weights.CLIP_L14_336.name.replace("/", "--"))
    hub_folder(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    download = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: download(*a, cache_dir=tmp_path, **k))
    found = lab.samples.clip(offline=True)
    assert found.source == f"{_weights.CLIP_L14_336.name} from the local hub cache"
    shutil.rmtree(tmp_path)


def test_without_open_clip_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtra, match=r"onnx-lab\[clip\]"):
        lab.samples.clip(offline=True)


def hub_folder(folder: Path) -> Path:
    """The small model as the hub would have it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    config = {"model_cfg": _small_clip.CONFIG, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {k: v.contiguous() for k, v in _small_clip.load_model().state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder
