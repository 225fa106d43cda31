"""The VGG16 sample: what the shipped weights really reach, and where ImageNet's would come from."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.samples import _slim_vgg16 as slim
from onnx_lab.samples import vgg16_sample


@pytest.fixture(scope="module")
def sample() -> lab.samples.Vgg16Sample:
    return lab.samples.vgg16(offline=True)


def test_the_shipped_weights_are_small_and_no_pickle() -> None:
    assert slim.FILE.stat().st_size <= 8e6
    header = slim.FILE.read_bytes()[8:9]
    assert header == b"{", "safetensors begin with a JSON header"


def test_train_and_test_share_no_digit() -> None:
    train, test = slim.read_digits()
    assert (len(train.labels), len(test.labels)) == (1297, 500)
    kept = {p.tobytes() for p in train.pixels}
    assert sum(p.tobytes() in kept for p in test.pixels) == 0
    assert np.bincount(test.labels).min() >= 35


@pytest.mark.slow
def test_held_out_digits_are_read(sample: lab.samples.Vgg16Sample) -> None:
    m = lab.export(sample.model, labels=sample.classes)
    assert lab.accuracy(m, sample.task).value >= 0.95
    answer = lab.infer(m, list(sample.images[:8]), preprocess=sample.preprocess)
    right = [sample.classes[i] for i in sample.task.labels[:8]]
    assert sum(a == r for a, r in zip(answer.labels, right, strict=True)) >= 7


def test_it_is_a_vgg16(sample: lab.samples.Vgg16Sample) -> None:
    kinds = [type(layer).__name__ for layer in sample.model.layers]
    assert (kinds.count("Conv2D"), kinds.count("Dense"), kinds.count("MaxPooling2D")) == (13, 3, 5)
    assert sample.source.startswith("slim VGG16")
    assert sys.modules.get("tensorflow") is None


def test_the_preprocessing_is_that_of_the_task(sample: lab.samples.Vgg16Sample) -> None:
    x = sample.preprocess(sample.images[3])
    assert (x.dtype, x.shape) == (np.dtype("float32"), (128, 128, 3))
    np.testing.assert_array_equal(x, sample.task.feeds[0]["image"][3])
    assert len(sample.images) == len(sample.task) == 500
    assert sum(len(f["image"]) for f in sample.calibration) == 100


def test_it_reads_as_a_card(sample: lab.samples.Vgg16Sample) -> None:
    assert "13 convolutions" in str(sample)
    assert "digits" in str(sample)


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file at"):
        lab.samples.vgg16(tmp_path)


def test_keras_own_cache_comes_before_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    cached = tmp_path / "models" / vgg16_sample.IMAGENET_FILE
    cached.write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert vgg16_sample._imagenet_weights(None, False) == (cached, "VGG16 on ImageNet, from Keras's cache")
    cached.unlink()
    assert vgg16_sample._imagenet_weights(None, True) is None


def test_a_host_that_does_not_answer_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_args: Any) -> None:
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    monkeypatch.setattr(vgg16_sample, "_PATIENCE_S", 0.2)
    vgg16_sample._host_answers.cache_clear()
    assert vgg16_sample._downloaded() is None
    vgg16_sample._host_answers.cache_clear()


@pytest.mark.slow
def test_a_file_in_the_layout_of_imagenets_weights(tmp_path: Path) -> None:
    """The full VGG16 at 224x224 with its 1000 classes, its weights drawn at random: 550 MB."""
    slim.keras_on_torch().applications.VGG16(weights=None).save_weights(tmp_path / "vgg16.weights.h5")
    net = lab.samples.vgg16(tmp_path / "vgg16.weights.h5")
    assert (net.side, len(net.classes), len(net.task)) == (224, 1000, 48)
    assert net.source == "VGG16 of vgg16.weights.h5"
    assert net.preprocess(net.images[0]).shape == (224, 224, 3)
