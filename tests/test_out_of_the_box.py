"""What fails out of the box in other tools, tried here: it works, or a clear error says what to do.

Each test names the tool and what it says.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.recipes.shortlist import shortlist

pytestmark = pytest.mark.slow


def texts(batches: int = 4) -> list[dict[str, np.ndarray]]:
    """Two texts each, one padded."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(batches):
        ids = rng.integers(5, 200, (2, 12))
        mask = np.ones_like(ids)
        mask[1, 8:] = 0
        found.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
    return found


def config() -> Any:
    from transformers import BertConfig

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    return BertConfig(vocab_size=200, num_labels=3, **sizes)


@pytest.fixture(scope="module")
def classifier() -> Model:
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    return lab.export(BertForSequenceClassification(config()).eval(), name="classifier")


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any name that is looked up outside is a failure: several tools want a dataset or a model nobody asked for."""
    import socket

    def refused(host: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"something wants {host} from the network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


def agrees(a: Model, b: Model, least: float) -> None:
    assert lab.compare(a, b, texts()).outputs[0].cosine_mean >= least


def test_quantize_dynamic_of_a_dynamo_export(classifier: Model) -> None:
    """onnxruntime's: ``InferenceError [ShapeInferenceError] ... dimension 0: (768) vs (2)``."""
    agrees(classifier, lab.quantize(classifier), 0.99)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_quantize_dynamic_after_the_optimizer(classifier: Model, target: str) -> None:
    """onnxruntime's and Optimum's: ``RuntimeError: Unable to find data type for weight_name=...``."""
    small = lab.quantize(lab.optimize(classifier, target=target))
    assert small.size_bytes < 0.6 * classifier.size_bytes
    agrees(classifier, small, 0.99)


def test_the_core_starts_without_any_framework() -> None:
    """Olive's: ``ModuleNotFoundError: No module named 'requests'``, then onnxruntime_genai, then datasets."""
    blocked = "torch transformers keras tensorflow sklearn paddle datasets requests nncf open_clip"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}.split()))\n"
        "import onnx_lab as lab\n"
        "m = lab.quantize(lab.optimize(lab.simplify(lab.samples.tiny())))\n"
        "print(m.header.operators['MatMulInteger'])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "2", "")


def test_static_int8_wants_the_users_data_and_says_so(classifier: Model) -> None:
    """Olive's: ``ConnectionError: Couldn't reach 'Salesforce/wikitext' on the Hub``, and exit code 0."""
    with pytest.raises(BadInput, match="no data") as caught:
        lab.quantize(classifier, method="static")
    assert "data=[" in str(caught.value)
    agrees(classifier, lab.quantize(classifier, method="static", data=texts()), 0.98)


def test_four_bits_of_an_encoder(classifier: Model) -> None:
    """Olive's: ``AttributeError: Attribute model.layers not found.``"""
    small = lab.quantize(classifier, method="int4")
    assert small.header.operators["MatMulNBits"] >= 12
    agrees(classifier, small, 0.9)


def test_torchscript_export_of_a_bare_encoder() -> None:
    """PyTorch's and Olive's: ``TypeError: BertModel.forward() got multiple values for argument 'use_cache'``."""
    import torch
    from transformers import BertModel

    torch.manual_seed(0)
    net = BertModel(config()).eval()
    m = lab.export(net, exporter="torchscript")
    assert "last_hidden_state" in {o.name for o in m.outputs}
    assert lab.compare(net, m, texts()).largest < 1e-4


def test_smoothing_needs_no_other_package(classifier: Model) -> None:
    """onnxruntime's: ``RuntimeError: neural-compressor is not correctly installed.``"""
    assert importlib.util.find_spec("neural_compressor") is None
    small = lab.quantize(classifier, method="static", data=texts(), smooth=0.8)
    assert any("smoothed with strength 0.8" in s for s in small.lineage[-1].notes["say"])
    agrees(classifier, small, 0.98)


def test_a_recommendation_for_a_vgg() -> None:
    """onnxsim's: ``ValueError: no candidate quantization scheme both applied to this model and shrank it``."""
    net = lab.samples.vgg16(offline=True)
    ranking = lab.best(lab.export(net.model), net.calibration[:1], target="cpu", budget_s=5, explain=False)
    int8 = next(r for r in ranking.rows if r.name.endswith("-int8"))
    as_it_is = next(r for r in ranking.rows if r.name == ranking.verdict.baseline)
    assert int8.size_bytes is not None
    assert as_it_is.size_bytes is not None
    assert int8.size_bytes < 0.3 * as_it_is.size_bytes


def test_a_keras_file_that_was_loaded_and_never_called(tmp_path: Path) -> None:
    """Keras's: ``ValueError: The model provided has never called.``"""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    net = keras.Sequential([keras.layers.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    net.save(tmp_path / "net.keras")
    for given in (tmp_path / "net.keras", keras.models.load_model(tmp_path / "net.keras")):
        assert lab.export(given).inputs[0].shape[1:] == (4, 4, 3)


def test_convolutions_get_no_signed_activations_for_openvino() -> None:
    """The OpenVINO provider's: ``Check '!implementations.empty()' failed ... No suitable implementations.``"""
    m = lab.export(lab.samples.vgg16(offline=True).model)
    picks = shortlist(m, [lab.Target("openvino")], calibrated=True)
    options = [o for p in picks for verb, o in p.steps if verb == "quantize"]
    assert options
    assert not any(o.get("activation_type") == "int8" for o in options)


def test_tensorflow_beside_keras_on_torch() -> None:
    """TensorFlow's and Triton's: ``LLVM ERROR: inconsistency in registered CommandLine options``, an abort.

    The lab keeps TensorFlow out of the process that has Keras on PyTorch in it.
    """
    code = (
        "import os, sys; os.environ['KERAS_BACKEND'] = 'torch'\n"
        "import keras, onnx_lab as lab\n"
        "net = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])\n"
        "print(lab.export(net).outputs[0].shape, 'tensorflow' in sys.modules and sys.modules['tensorflow'] is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('batch', 2) False"
