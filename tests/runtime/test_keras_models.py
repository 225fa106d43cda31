"""Keras models on their way to a fresh process, and their names."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.runtime import keras_models
from onnx_lab.runtime.client import Worker

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
from keras import layers


class Twice(layers.Layer):  # type: ignore[misc]  # keras is not read by the type checker
    """A layer that no fresh process finds in Keras."""

    def call(self, x: Any) -> Any:
        return x * 2


@pytest.fixture(scope="module")
def model() -> Any:
    return keras.Sequential([layers.Input((6,), name="x"), Twice(), layers.Dense(3, name="scores")], name="net")


@pytest.mark.slow
def test_a_live_model_answers_in_a_child_with_classes_of_the_users(model: Any) -> None:
    x = np.random.default_rng(0).random((4, 6), np.float32)
    with Worker.for_torch(model, threads=1) as worker:
        got = worker.run({"x": x})
    assert list(got) == ["scores"]
    np.testing.assert_allclose(got["scores"], model(x, training=False).detach().numpy(), atol=1e-6)
    assert sys.modules.get("tensorflow") is None


@pytest.mark.slow
def test_a_live_model_is_a_contestant_under_its_own_name(model: Any) -> None:
    m = lab.export(model, name="file")
    speed = lab.bench([model, m], threads=1, budget_s=8)
    assert [r.name for r in speed.rows] == ["net (Keras)", "file"]
    assert speed.reference[0] == "net (Keras)"


def test_names_that_keras_numbered_are_left_out() -> None:
    def names(*parts: Any) -> tuple[str, ...]:
        net = keras.Sequential([layers.Input((6,)), *parts])
        return keras_models.input_names(net) + keras_models.output_names(net, None, 1)

    assert names(layers.Dense(3)) == ("input", "output")
    assert names(layers.Dense(3, name="scores")) == ("input", "scores")
    assert names(layers.LayerNormalization()) == ("input", "output")


def test_another_backend_is_refused_in_words(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_models, "backend", lambda: "jax")
    with pytest.raises(lab.errors.BadInput, match=r"on the jax backend[\s\S]*KERAS_BACKEND=torch"):
        keras_models.as_torch(model)


def test_what_is_no_keras_model_is_left_alone() -> None:
    thing = object()
    assert keras_models.as_torch(thing) is thing
    assert keras_models.module_name(thing) == "object"
