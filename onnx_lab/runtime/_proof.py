"""Proof that a provider runs: a tiny model, in a child of its own, so that a crash is a row and not an exception."""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab import workspace
from onnx_lab.errors import OnnxLabError
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker, engine_facts
from onnx_lab.runtime.target import PROVIDERS, Target

#: A first run on a GPU or an NPU may compile; longer is a hang.
_TIMEOUT_S = 60.0

_PACKAGES = {
    "cpu": "pip install 'onnx-lab[cpu]'",
    "openvino": "pip install onnxruntime-ep-openvino",
    "cuda": "pip install 'onnx-lab[gpu]'",
    "tensorrt": "pip install 'onnx-lab[gpu]' tensorrt",
    "dnnl": "an onnxruntime built with --use_dnnl",
    "coreml": "onnxruntime for macOS",
    "directml": "pip install onnxruntime-directml (Windows)",
}


@dataclass(frozen=True)
class Proof:
    """One provider: whether the installed packages declare it, whether it ran a model, and if not, why.

    `target` is the plain word; `seconds` is the time from starting the child to its answer.
    """

    target: str
    provider: str
    declared: bool
    runs: bool
    why: str
    do: str = ""
    precision: str = ""
    seconds: float = 0.0


def prove_all() -> tuple[dict[str, Any], tuple[Proof, ...]]:
    """What the engine says about itself, and one Proof per plain word, tried side by side."""
    try:
        facts = engine_facts(timeout_s=_TIMEOUT_S)
    except OnnxLabError as e:
        nothing = tuple(Proof(t, p, declared=False, runs=False, why=e.came, do=e.do) for t, p in PROVIDERS.items())
        return {"error": e.came}, nothing
    declared = {t for t, p in PROVIDERS.items() if p in facts["declared"]}
    if _installed("onnxruntime-ep-openvino"):
        declared.add("openvino")
    with _probe_model() as model, ThreadPoolExecutor(len(PROVIDERS)) as pool:
        proofs = pool.map(lambda t: _prove(t, model) if t in declared else _undeclared(t), PROVIDERS)
        return facts, tuple(proofs)


def _prove(target: str, model: Model) -> Proof:
    start = time.perf_counter()
    provider = PROVIDERS[target]
    try:
        with Worker.for_model(model, Target(target, threads=1), timeout_s=_TIMEOUT_S) as worker:
            x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)
            y = worker.run({"x": x})["y"]
            precision = worker.info["precision"]
    except OnnxLabError as e:
        # advice to ask the doctor is no advice from the doctor
        why, do = e.came, "" if "lab.doctor()" in e.do else e.do
        if target in ("cuda", "tensorrt") and not _has_nvidia():
            why, do = f"no NVIDIA GPU here; {e.came}", ""
    else:
        seconds = time.perf_counter() - start
        # a GPU in TF32 or a CPU in bf16 is right to two digits; a provider that computes nonsense is not
        if np.allclose(y, np.maximum(2 * x, 0), atol=0.05):
            return Proof(target, provider, True, True, "ran a model in a child process", "", precision, seconds)
        why, do = "it ran, and its answer is wrong", "update its driver and package"
    return Proof(target, provider, True, False, why, do, seconds=time.perf_counter() - start)


def _undeclared(target: str) -> Proof:
    return Proof(target, PROVIDERS[target], False, False, "not in the installed packages", _PACKAGES[target])


@contextmanager
def _probe_model() -> Iterator[Model]:
    """``y = relu(x @ 2I)``, in the system's temporary folder: the doctor also runs where the workspace is ill."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(2 * np.eye(64, dtype=np.float32), "w")],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        yield workspace.open_model(path)


def _has_nvidia() -> bool:
    dev = Path("/dev")  # dxg: the GPU as the Windows Subsystem for Linux shows it
    return any(dev.glob("nvidia[0-9]*")) or (dev / "dxg").exists() or not dev.exists()


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
