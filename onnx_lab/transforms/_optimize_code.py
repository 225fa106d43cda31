"""optimize as plain onnxscript and onnxruntime code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

_ORT_FUSIONS = "onnxscript.rewriter.ort_fusions"
#: Fusion -> (where it is imported from, what is imported, the calls).
_CALLS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "layer_norm": (("onnxscript.rewriter.rules.fusion._layer_norm", "fuse_layer_normalization"),),
        "gelu": ((f"{_ORT_FUSIONS}.erfgelu", "fuse_erfgelu"), (f"{_ORT_FUSIONS}.gelu", "fuse_gelu")),
        "skip_layer_norm": ((f"{_ORT_FUSIONS}.skip_normalization", "fuse_skip_layer_normalization"),),
        "attention": (
            (f"{_ORT_FUSIONS}.sdpa", "fuse_sdpa"),
            (f"{_ORT_FUSIONS}.mha", "fuse_mha1"),
            (f"{_ORT_FUSIONS}.mha", "fuse_mha2"),
            (f"{_ORT_FUSIONS}.mha_scale", "fuse_mha_scale"),
            (f"{_ORT_FUSIONS}.mha_bias", "fuse_mha_bias"),
        ),
        "as_attention": ((f"{_ORT_FUSIONS}.attention", "fuse_attention"),),
        "bias_gelu": ((f"{_ORT_FUSIONS}.bias_gelu", "fuse_bias_gelu"),),
    }
)
_AFTER_ATTENTION = ((f"{_ORT_FUSIONS}.sdpa_via_mha", "replace_sdpa_by_mha"),)


def code(active: Sequence[str], as_attention: bool, unwanted: Sequence[str], offline: bool) -> str:
    """Source text for the fusions in `active`; those that no library has are named in a comment."""
    calls: list[tuple[str, str]] = []
    for name in active:
        calls += _CALLS.get(name, ())
        if name == "attention":
            calls += (*_CALLS["as_attention"],) * as_attention + _AFTER_ATTENTION
    own = [n for n in active if n not in _CALLS and n != "bias_skip_layer_norm"]
    lines = ["import onnx_ir as ir", *(["import onnxruntime as ort"] if offline else [])]
    lines += ["from onnx_ir.passes.common import CommonSubexpressionEliminationPass, ShapeInferencePass"]
    lines += ["from onnxscript.optimizer import optimize", f"from {_ORT_FUSIONS} import shape_optimization"]
    lines += sorted(f"from {module} import {name}" for module, name in dict.fromkeys(calls))
    lines += ["", 'model = ir.load("model.onnx")']
    lines += ["ShapeInferencePass()(model)", "optimize(model)", "shape_optimization.rules.apply_to_model(model)"]
    lines += ["optimize(model)  # constants are folded, shapes known: fusions look for clean patterns"]
    lines += ["CommonSubexpressionEliminationPass()(model)"]
    for _, name in calls:
        extra = ", apply_shape_inference=True" if name == "fuse_sdpa" else ""
        lines.append(f"{name}(model{extra})")
    if own:
        lines.append(f"# onnx_lab alone: {', '.join(own)}")
    lines += ["optimize(model)", 'ir.save(model, "model-optimized.onnx")']
    return "\n".join([*lines, *_session(unwanted, offline)])


def _session(unwanted: Sequence[str], offline: bool) -> list[str]:
    disabled = f", disabled_optimizers={list(unwanted)!r}" if unwanted else ""
    if not offline:
        return [f'# open it with onnxruntime.InferenceSession("model-optimized.onnx"{disabled})'] if unwanted else []
    return [
        "options = ort.SessionOptions()",
        'options.optimized_model_filepath = "model-offline.onnx"  # for this CPU and this onnxruntime only',
        f'ort.InferenceSession("model-optimized.onnx", options, providers=["CPUExecutionProvider"]{disabled})',
        "# open model-offline.onnx with graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL",
    ]
