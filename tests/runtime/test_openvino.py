"""The OpenVINO plugin's options and its answer on a CPU that it does not serve; its run where it does."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import ProviderError
from onnx_lab.runtime import _openvino
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.target import Target


class FakeOptions:
    def add_provider_for_devices(self, devices: list[Any], options: dict[str, str]) -> None:
        self.devices, self.options = devices, options


def device(kind: str) -> Any:
    return SimpleNamespace(device=SimpleNamespace(type=SimpleNamespace(name=kind)))


def added(monkeypatch: pytest.MonkeyPatch, offered: list[Any], **options: str) -> FakeOptions:
    monkeypatch.setattr(_openvino, "plugin_devices", lambda _: offered)
    session_options = FakeOptions()
    _openvino.add_plugin(None, session_options, options, threads=3)
    return session_options


def test_threads_and_precision_reach_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    got = added(monkeypatch, [device("GPU"), device("CPU")], INFERENCE_PRECISION_HINT="f32")
    assert got.devices[0].device.type.name == "CPU"
    config = json.loads(got.options["load_config"])
    assert config == {"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "3"}}


def test_another_device_and_options_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"device_type": "gpu", "cache_dir": "/c", "load_config": '{"GPU": {"NUM_STREAMS": "1"}}'}
    got = added(monkeypatch, [device("CPU"), device("GPU")], **given)
    assert got.devices[0].device.type.name == "GPU"
    assert got.options["cache_dir"] == "/c"
    assert json.loads(got.options["load_config"]) == {"GPU": {"NUM_STREAMS": "1"}}


def test_no_device_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderError, match="offers no device on this CPU"):
        added(monkeypatch, [])
    with pytest.raises(ProviderError, match="devices it offers: CPU"):
        added(monkeypatch, [device("CPU")], device_type="NPU")


def test_the_default_precision_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openvino, "_cpu_has_bf16", lambda: True)
    assert _openvino.precision({}) == "bf16 by default"
    assert _openvino.precision({"INFERENCE_PRECISION_HINT": "f32"}) == "f32, as asked"
    assert _openvino.precision({"device_type": "GPU"}) == "f16 by default"
    monkeypatch.setattr(_openvino, "_cpu_has_bf16", lambda: False)
    assert _openvino.precision({}) == "f32 by default"


@pytest.mark.slow
def test_here_it_runs_or_says_why_not() -> None:
    """Either the plugin serves this CPU and its answers are right, or the refusal names the reason."""
    m = lab.samples.tiny()
    feeds = {"x": np.ones((2, 8), np.float32)}
    target = Target("openvino", {"INFERENCE_PRECISION_HINT": "f32"})
    if "openvino" not in lab.doctor().targets:
        with pytest.raises(ProviderError, match=r"(?i)openvino"):
            Worker.for_model(m, target)
        return
    with Worker.for_model(m, target) as w, Worker.for_model(m) as reference:
        assert w.info["nodes"].get("OpenVINOExecutionProvider", 0) > 0
        np.testing.assert_allclose(w.run(feeds)["logits"], reference.run(feeds)["logits"], atol=1e-4)
