"""The OpenVINO provider: a plugin beside any onnxruntime, or built into the ``onnxruntime-openvino`` package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx_lab.errors import ProviderError

PROVIDER = "OpenVINOExecutionProvider"
PLUGIN_PACKAGE = "onnxruntime-ep-openvino"


def add_plugin(ort: Any, session_options: Any, options: Mapping[str, str], threads: int) -> None:
    """Register the plugin's library and put its device into `session_options`.

    `options` are OpenVINO's own properties (upper case, e.g. ``INFERENCE_PRECISION_HINT``) and the provider's (lower
    case); ``device_type`` picks the device, default ``CPU``.

    Raises
    ------
    ProviderError
        When the plugin is not installed, or offers no such device on this machine.
    """
    device_type, own, properties = _split(options, threads)
    offered = plugin_devices(ort)
    chosen = [d for d in offered if d.device.type.name == device_type]
    if not chosen:
        kinds = ", ".join(sorted({d.device.type.name for d in offered}))
        raise ProviderError(
            f"openvino does not run here: the plugin offers no device on this {device_type}",
            accepted=f"devices it offers: {kinds}" if kinds else "an Intel CPU, GPU or NPU",
            do="target 'cpu'; lab.doctor() tells which targets run here",
        )
    own["load_config"] = _load_config(device_type, properties, own.get("load_config"))
    session_options.add_provider_for_devices(chosen[:1], own)


def plugin_devices(ort: Any) -> list[Any]:
    """The devices that the installed plugin offers. Raises ProviderError when it is absent or does not load."""
    try:
        import onnxruntime_ep_openvino as plugin
    except ImportError:
        raise ProviderError(
            "the OpenVINO provider is not installed", do=f"pip install {PLUGIN_PACKAGE}  (or 'onnx-lab[openvino]')"
        ) from None
    try:
        name = plugin.get_ep_name()
        ort.register_execution_provider_library(name, plugin.get_library_path())
        return [d for d in ort.get_ep_devices() if d.ep_name == name]
    except Exception as e:
        raise ProviderError(
            f"the OpenVINO plugin does not load: {str(e).splitlines()[0]}",
            do=f"pip install -U {PLUGIN_PACKAGE} onnxruntime; they must fit each other",
        ) from e


def classic_options(options: Mapping[str, str], threads: int) -> dict[str, str]:
    """Provider options for an onnxruntime that has OpenVINO built in."""
    device_type, own, properties = _split(options, threads)
    return {**own, "device_type": device_type, "load_config": _load_config(device_type, properties, None)}


def precision(options: Mapping[str, str]) -> str:
    """The precision that OpenVINO computes in, in words: on a CPU with bf16 units its default is bf16, not float32."""
    hint = options.get("INFERENCE_PRECISION_HINT")
    if hint:
        return f"{hint}, as asked"
    if options.get("device_type", "CPU").upper() != "CPU":
        return "f16 by default"
    return "bf16 by default" if _cpu_has_bf16() else "f32 by default"


def _split(options: Mapping[str, str], threads: int) -> tuple[str, dict[str, str], dict[str, str]]:
    own = {k: str(v) for k, v in options.items() if not k.isupper()}
    device_type = own.pop("device_type", "CPU").upper()
    properties = {k: str(v) for k, v in options.items() if k.isupper()}
    if device_type == "CPU":
        properties.setdefault("INFERENCE_NUM_THREADS", str(threads))
    return device_type, own, properties


def _load_config(device_type: str, properties: Mapping[str, str], given: str | None) -> str:
    # a JSON text, not a file name: onnxruntime's documentation says otherwise (microsoft/onnxruntime#26562)
    config: dict[str, dict[str, str]] = json.loads(given) if given else {}
    config[device_type] = {**properties, **config.get(device_type, {})}
    return json.dumps(config)


def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags
