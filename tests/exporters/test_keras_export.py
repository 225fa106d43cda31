"""Keras on the torch backend: live models and files, the graph that comes out, and files that are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import onnx_lab as lab
from onnx_lab._metadata import module_of
from onnx_lab.errors import BadInput, ExportError
from onnx_lab.exporters import _keras_files
from onnx_lab.exporters.export import plain_code
from onnx_lab.runtime.keras_models import without_tensorflow
from onnx_lab.task import Feeds

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
from keras import layers


def small(name: str = "small", batch_norm: bool = False) -> Any:
    """Two convolutions and a dense layer, 16x16x3 -> 5."""
    parts = [
        layers.Input((16, 16, 3), name="image"),
        layers.Conv2D(4, 3, activation="relu", name="first"),
        *[layers.BatchNormalization(name="norm")] * batch_norm,
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(6, 3, activation="relu", name="second"),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(5, activation="softmax", name="scores"),
    ]
    return keras.Sequential(parts, name=name)


@pytest.fixture(scope="module")
def model() -> Any:
    return small()


@pytest.fixture(scope="module")
def exported(model: Any) -> lab.Model:
    return lab.export(model, labels=list("abcde"))


@pytest.mark.slow
def test_the_graph_is_the_network(exported: lab.Model) -> None:
    assert str(exported.inputs[0]) == "image: float32[batch, 16, 16, 3]"
    assert str(exported.outputs[0]) == "scores: float32[batch, 5]"
    operators = exported.header.operators
    assert (operators["Conv"], operators["Transpose"], operators.get("Add", 0)) == (2, 2, 0)
    assert exported.header.opsets == {"": 20}
    assert any("nodes became" in note for note in exported.lineage[-1].notes["say"])


def test_nodes_are_named_by_the_layers(exported: lab.Model) -> None:
    scopes = {n.op_type: module_of(n) for n in exported.to_ir().graph}
    assert (scopes["MaxPool"], scopes["Softmax"]) == ("pool", "scores")


def test_the_answers_are_those_of_keras_and_carry_labels(model: Any, exported: lab.Model) -> None:
    x = np.random.default_rng(0).random((7, 16, 16, 3), np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(x), training=False).numpy()
    answer = lab.infer(exported, {"image": x})
    assert np.abs(answer.outputs["scores"] - expected).max() < 1e-5
    assert answer.classes == tuple("abcde")
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)  # a Softmax in the model is not applied twice


@pytest.mark.slow
def test_the_same_model_is_cached_and_another_is_not(model: Any, exported: lab.Model) -> None:
    assert lab.export(model, labels=list("abcde")).cached
    assert not lab.export(small(), labels=list("abcde"), check=False).cached


def test_the_model_is_left_as_it_was_and_tensorflow_out(model: Any, exported: lab.Model) -> None:
    assert type(model).__name__ == "Sequential"
    assert sys.modules.get("tensorflow") is None


@pytest.mark.slow
def test_batch_normalization_goes_into_the_convolution() -> None:
    net = small("normed", batch_norm=True)
    for w in net.get_layer("norm").weights:
        w.assign(np.random.default_rng(1).random(w.shape) + 0.5)
    m = lab.export(net)
    assert not {"Sub", "BatchNormalization"} & set(m.header.operators)


@pytest.mark.slow
def test_any_size_of_picture_stays_any_size() -> None:
    net = keras.Sequential(
        [layers.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    m = lab.export(net, name="any_size")
    assert str(m.inputs[0]) == "input: float32[batch, height, width, 3]"
    assert lab.infer(m, {"input": np.zeros((1, 40, 30, 3), np.float32)}).outputs["output"].shape == (1, 2)


@pytest.mark.slow
def test_several_inputs_and_outputs_have_their_own_names() -> None:
    ids, extra = layers.Input((None,), dtype="int32", name="ids"), layers.Input((4,), name="extra")
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(layers.Embedding(11, 6)(ids)), extra])
    net = keras.Model({"ids": ids, "extra": extra}, {"kind": layers.Dense(3)(x), "size": layers.Dense(1)(x)})
    m = lab.export(net, name="two")
    assert {s.name for s in m.inputs} == {"ids", "extra"}
    assert {s.name for s in m.outputs} == {"kind", "size"}
    assert dict(zip([s.name for s in m.inputs], m.inputs, strict=True))["ids"].dtype == "int32"


@pytest.mark.slow
def test_a_subclassed_model_needs_an_example() -> None:
    class Mine(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    with pytest.raises(BadInput, match="declares no inputs"):
        lab.export(Mine())
    m = lab.export(Mine(), example=np.zeros((2, 4), np.float32))
    assert str(m.inputs[0]) == "input: float32[batch, 4]"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_files_with_the_optimizers_state(suffix: str, tmp_path: Path) -> None:
    net = small()
    net.compile("adam", "mse")
    net.optimizer.build(net.trainable_variables)
    with without_tensorflow():
        net.save(tmp_path / f"trained.{suffix}")
    m = lab.export(tmp_path / f"trained.{suffix}")
    said = m.lineage[-1].notes["say"]
    assert any(note.startswith("optimizer state,") and note.endswith("stays behind") for note in said)
    assert m.name == "trained"
    assert m.size_bytes < (tmp_path / f"trained.{suffix}").stat().st_size / 2
    assert lab.export(tmp_path / f"trained.{suffix}").cached


def test_weights_only(tmp_path: Path) -> None:
    with without_tensorflow():
        small().save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(BadInput, match=r"weights only[\s\S]*load_weights"):
        lab.export(tmp_path / "w.weights.h5")


def test_files_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.keras").write_bytes(b"not a zip")
    (tmp_path / "b.h5").write_bytes(b"\x80\x04 a pickle")
    with zipfile.ZipFile(tmp_path / "c.keras", "w") as archive:
        archive.writestr("readme", "x")
    for name, says in (("a.keras", "no .keras archive"), ("b.h5", "but a pickle"), ("c.keras", "lacks config.json")):
        with pytest.raises(BadInput, match=says):
            lab.export(tmp_path / name)


def test_a_lambda_is_not_run(tmp_path: Path) -> None:
    net = keras.Sequential([layers.Input((3,)), layers.Lambda(lambda x: x * 2)])
    with without_tensorflow():
        net.save(tmp_path / "l.keras")
    with pytest.raises(ExportError, match=r"Lambda layer[\s\S]*never runs code"):
        lab.export(tmp_path / "l.keras")


def test_a_class_of_the_users(tmp_path: Path) -> None:
    class Twice(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    with without_tensorflow():
        keras.Sequential([layers.Input((3,)), Twice()]).save(tmp_path / "t.keras")
    with pytest.raises(ExportError, match=r"not Keras's own[\s\S]*custom_objects"):
        lab.export(tmp_path / "t.keras")


def test_a_file_of_another_version_says_which(tmp_path: Path) -> None:
    e = _keras_files._explained
    with without_tensorflow():
        small().save(tmp_path / "v.keras")
    assert _keras_files.version_in(tmp_path / "v.keras") == keras.__version__
    text = str(e(tmp_path / "v.keras", TypeError("unexpected keyword 'batch_shape'"), "9.9"))
    assert f"saved by Keras {keras.__version__}, here is 9.9" in text


@pytest.mark.slow
def test_the_plain_code_makes_the_same_model(model: Any, tmp_path: Path) -> None:
    """In a process of its own: it sets the backend."""
    with without_tensorflow():
        model.save(tmp_path / "s.keras")
    m = lab.export(tmp_path / "s.keras")
    step = m.lineage[-1]
    (tmp_path / "code.py").write_text(plain_code(**{**step.options, **step.notes}))
    run = subprocess.run([sys.executable, "code.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-1000:]
    made = lab.load(tmp_path / "model.onnx")
    assert made.inputs[0].shape == m.inputs[0].shape
    assert m.header.nodes <= made.header.nodes <= m.header.nodes + m.header.operators["Conv"]
    feeds: list[Feeds] = [{"image": np.random.default_rng(3).random((3, 16, 16, 3), np.float32)}]
    assert lab.compare(m, made, feeds).outputs[0].largest < 1e-5


@pytest.mark.slow
def test_live_models_are_contestants_and_have_accuracy(model: Any, exported: lab.Model) -> None:
    feeds: list[Feeds] = [{"image": np.random.default_rng(i).random((4, 16, 16, 3), np.float32)} for i in range(2)]
    same = lab.compare(model, exported, feeds)
    assert max(o.largest for o in same.outputs) < 1e-5


@pytest.mark.slow
def test_vgg16_is_forty_nodes() -> None:
    net = keras.applications.VGG16(weights=None, input_shape=(128, 128, 3), classes=10)
    m = lab.export(net)
    assert m.header.nodes == 40
    assert m.lineage[-1].notes["parity"]["largest"] < 1e-4
    assert lab.fp16(m).size_bytes <= 0.51 * m.size_bytes
