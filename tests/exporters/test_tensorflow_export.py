"""TensorFlow by tf2onnx, in processes of its own: these tests never import it beside torch."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel, UnsupportedOperator

pytestmark = pytest.mark.slow

SAVED = """
import numpy as np, tensorflow as tf
tf.random.set_seed(0)

class Net(tf.Module):
    def __init__(self):
        self.kernel = tf.Variable(tf.random.normal([3, 3, 3, 8]))
        self.dense = tf.Variable(tf.random.normal([8, 4]))

    def answer(self, image):
        states = tf.nn.relu(tf.nn.conv2d(image, self.kernel, 1, "SAME"))
        return {"scores": tf.nn.softmax(tf.reduce_mean(states, [1, 2]) @ self.dense)}

    def odd(self, image):
        return {"y": tf.linalg.svd(image[..., 0], compute_uv=False)}

net = Net()
def save(folder, method, shape):
    f = tf.function(method, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    tf.saved_model.save(net, f"FOLDER/{folder}", signatures=f.get_concrete_function())
save("free", net.answer, [None, 16, 16, 3])
save("fixed", net.answer, [8, 16, 16, 3])
save("unset", net.answer, None)
save("odd", net.odd, [None, 4, 4, 2])
tf.saved_model.save(net, "FOLDER/without")
"""


def in_tensorflow(code: str, folder: Path) -> str:
    """Run in a process that has TensorFlow and no torch; what it printed."""
    text = textwrap.dedent(code).replace("FOLDER", str(folder))
    env = {**os.environ, "KERAS_BACKEND": "tensorflow"}  # other tests may have asked for torch
    run = subprocess.run([sys.executable, "-P", "-c", text], capture_output=True, text=True, cwd=folder, env=env)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    in_tensorflow(SAVED, folder)
    return folder


def test_a_saved_model(saved: Path) -> None:
    m = lab.export(saved / "free")
    assert str(m.inputs[0]) == "image: float32[batch, 16, 16, 3]"
    assert str(m.outputs[0]) == "scores: float32[batch, 4]"
    assert m.header.opsets == {"": 20}
    notes = m.lineage[-1].notes
    assert notes["parity"]["shapes"] == ["(1, 16, 16, 3)", "(3, 16, 16, 3)"]
    assert notes["parity"]["largest"] < 1e-5
    assert sys.modules.get("tensorflow") is None
    assert lab.export(saved / "free").cached


def test_a_batch_axis_that_came_out_fixed(saved: Path) -> None:
    m = lab.export(saved / "fixed")
    assert m.inputs[0].shape == ("batch", 16, 16, 3)
    assert any("came out fixed at 8: made dynamic" in note for note in m.lineage[-1].notes["say"])
    same = lab.infer(lab.export(saved / "free"), {"image": np.ones((2, 16, 16, 3), np.float32)})
    got = lab.infer(m, {"image": np.ones((2, 16, 16, 3), np.float32)})
    np.testing.assert_allclose(got.outputs["scores"], same.outputs["scores"], atol=1e-6)


def test_a_shape_that_was_never_set_needs_an_example(saved: Path) -> None:
    with pytest.raises(BadInput, match="has no shape"):
        lab.export(saved / "unset")
    m = lab.export(saved / "unset", example=np.ones((2, 16, 16, 3), np.float32))
    assert m.inputs[0].shape == ("batch", 16, 16, 3)


def test_what_cannot_be_exported_says_why(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperator, match="Svd"):
        lab.export(saved / "odd")
    with pytest.raises(BadModel, match="no signature"):
        lab.export(saved / "without")
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(BadModel, match="cannot be loaded"):
        lab.export(tmp_path)
    with pytest.raises(BadInput, match="exporter='torchscript' for a TensorFlow model"):
        lab.export(saved / "free", exporter="torchscript")


def test_live_objects_in_a_process_with_tensorflow(tmp_path: Path) -> None:
    said = in_tensorflow(
        """
        import os
        os.environ["KERAS_BACKEND"] = "tensorflow"
        import sys
        import numpy as np, tensorflow as tf
        import onnx_lab as lab

        @tf.function(input_signature=[tf.TensorSpec([None, 6], tf.float32, name="x")])
        def double(x):
            return {"y": 2 * x}
        print(lab.export(double).inputs[0])

        class Scale(tf.Module):
            def __call__(self, x):
                return {"y": 3 * x}
        print(lab.export(Scale(), example=np.ones((2, 5), np.float32)).inputs[0].shape)

        import keras
        net = keras.Sequential([keras.layers.Input((8, 8, 3), name="image"), keras.layers.Conv2D(4, 3, name="c"),
                                keras.layers.Flatten(), keras.layers.Dense(3, name="scores")])
        m = lab.export(net, name="net")
        print(m.inputs[0].shape, m.lineage[-1].notes["parity"]["largest"] < 1e-5, "torch" in sys.modules)
        """,
        tmp_path,
    )
    assert said.splitlines() == ["x: float32[batch, 6]", "('batch', 5)", "('batch', 8, 8, 3) True False"]
