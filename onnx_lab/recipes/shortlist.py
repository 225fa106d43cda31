"""What is worth trying for a model on a machine: ready recipes, each with the evidence that put it on the list.

The evidence is in benchmarks/README.md and docs/decisions.md. The list is short on purpose: each entry costs a file, a
run over the data and a share of the benchmark's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnx_lab._blocks import fused_blocks, open_blocks
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target

Steps = tuple[tuple[str, dict[str, Any]], ...]

_FUSED = "one node for each attention block, one product for Q, K and V"
_CPU_INT8 = "8-bit products with one scale for each channel; activations are scaled at each run"
_SMOOTHED = "8-bit products, smoothed, with ranges from the calibration data: slower than dynamic, and nearer"
_STATIC = "convolutions in 8 bits, with ranges from the calibration data"
_SYMMETRIC = "products with weights in signed 8 bits, smoothed; the plugin compiles them, the rest stays as it is"
#: Only products with weights, and no zero point: its kernels spend a quarter of their time on one.
_SYMMETRIC_OPTIONS = {"activation_type": "int8", "symmetric": True, "op_types": ["MatMul", "Gemm"]}


@dataclass(frozen=True)
class Pick:
    """One recipe for one target.

    Attributes
    ----------
    name : str
        The Model that it makes is called so.
    steps : tuple of (verb, options)
        In order; none for the file as it is.
    target : Target
    why : str
        What speaks for it, in words.
    calibrated : bool
        Whether its quantization wants calibration data.
    twin : str
        The pick that this one is with its shapes fixed; "" where they stay dynamic.
    """

    name: str
    steps: Steps
    target: Target
    why: str
    calibrated: bool = False
    twin: str = ""


def kind_of(m: Model) -> str:
    """``"transformer"``, ``"convolutional"``, ``"quantized"`` or ``"other"``: what decides which recipes pay.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> kind_of(lab.samples.tiny()), kind_of(lab.quantize(lab.samples.tiny()))
    ('other', 'quantized')
    """
    weights = m.header.weights
    if weights.get("float32", 0) < sum(weights.get(w, 0) for w in ("int8", "uint8", "int4", "uint4")):
        return "quantized"
    graph = m.to_ir().graph
    if open_blocks(graph) or fused_blocks(graph):
        return "transformer"
    return "convolutional" if m.header.operators.get("Conv", 0) > 1 else "other"


def shortlist(
    m: Model,
    targets: Iterable[Target],
    *,
    calibrated: bool = False,
    smallest: bool = False,
    padding: bool = True,
    fixed: Mapping[str, int] | None = None,
) -> list[Pick]:
    """The recipes to try, the file as it is first.

    Parameters
    ----------
    m : Model
    targets : iterable of Target
        Those that run here.
    calibrated : bool, default False
        Whether there is calibration data, which static quantization wants.
    smallest : bool, default False
        Whether a limit on the size asks for the smallest file, whatever its speed.
    padding : bool, default True
        False: no text is ever padded, so a transformer needs no mask.
    fixed : dict of str to int, optional
        ``batch`` and ``seq`` that every recipe is also tried at, fixed.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [p.name for p in shortlist(lab.samples.tiny(), [lab.Target("cpu")])]
    ['tiny', 'tiny-optimized', 'tiny-int8']
    """
    kind = kind_of(m)
    picks = []
    for target in targets:
        picks += [Pick(_named(m, "", target), (), target, "the file as it is")]
        if kind != "quantized":
            picks += _LISTS.get(target.provider, _compiled)(m, kind, target, calibrated)
            if smallest and target.provider == "cpu":
                picks.append(_four_bits(m, target))
    if not padding and kind == "transformer":
        picks = [_without_padding(p) for p in picks]
    return [*picks, *(_fixed(p, fixed) for p in picks if fixed and p.steps)]


def _fixed(pick: Pick, shapes: Mapping[str, int]) -> Pick:
    """Fixed at the end: calibration feeds may have any size, and what is proven is this file against its twin."""
    steps = (*pick.steps, ("fix_shapes", dict(shapes)))
    return replace(pick, name=f"{pick.name}-fixed", steps=steps, why=f"{pick.why}; shapes fixed", twin=pick.name)


def _without_padding(pick: Pick) -> Pick:
    steps = tuple((v, {**o, "padding": False} if v == "optimize" else o) for v, o in pick.steps)
    return replace(pick, steps=steps, why=f"{pick.why}; no mask: inputs are never padded") if pick.steps else pick


def _named(m: Model, suffix: str, target: Target) -> str:
    return "-".join(filter(None, [m.name, suffix, "" if target.provider == "cpu" else target.provider]))


def _on_cpu(m: Model, kind: str, target: Target, calibrated: bool) -> list[Pick]:
    optimized = ("optimize", {"target": "cpu"})
    said = _FUSED if kind == "transformer" else "constants folded, idle nodes gone"
    picks = [Pick(_named(m, "optimized", target), (optimized,), target, said)]
    if kind != "convolutional":
        int8 = ("quantize", {"method": "dynamic", "per_channel": True})
        picks.append(Pick(_named(m, "int8", target), (optimized, int8), target, _CPU_INT8))
        if kind == "transformer" and calibrated:
            steps: Steps = (optimized, ("quantize", {"method": "static"}))
            picks.append(Pick(_named(m, "int8-static", target), steps, target, _SMOOTHED, calibrated=True))
    elif calibrated:
        static = ("quantize", {"method": "static"})
        picks.append(Pick(_named(m, "int8", target), (optimized, static), target, _STATIC, calibrated=True))
    return picks


def _four_bits(m: Model, target: Target) -> Pick:
    steps: Steps = (("optimize", {"target": "cpu"}), ("quantize", {"method": "int4"}))
    return Pick(
        _named(m, "int4", target), steps, target, "4-bit weights in blocks: the smallest file, seldom the fastest"
    )


def _on_openvino(m: Model, kind: str, target: Target, calibrated: bool) -> list[Pick]:
    optimized = ("optimize", {"target": "openvino"})
    said = "ONNX's own operators only: the plugin compiles the graph itself"
    picks = [Pick(_named(m, "optimized", target), (optimized,), target, said)]
    if calibrated:
        transformer = kind == "transformer"
        static = ("quantize", {"method": "static", **(_SYMMETRIC_OPTIONS if transformer else {})})
        why = _SYMMETRIC if transformer else f"{_STATIC}, which the plugin compiles"
        picks.append(Pick(_named(m, "int8", target), (optimized, static), target, why, calibrated=True))
    return picks


def _on_gpu(m: Model, _kind: str, target: Target, _calibrated: bool) -> list[Pick]:
    steps: Steps = (("optimize", {"target": target.provider}), ("fp16", {}))
    return [Pick(_named(m, "fp16", target), steps, target, "half the bytes, and the GPU's float16 units")]


def _on_tensorrt(m: Model, _kind: str, target: Target, calibrated: bool) -> list[Pick]:
    optimized = ("optimize", {"target": "tensorrt"})
    half = replace(target, options={"trt_fp16_enable": "1", **target.options})
    why = "a float32 file, of which TensorRT computes in float16 what is faster so"
    picks = [Pick(_named(m, "fp16", target), (optimized,), half, why)]
    if calibrated:
        symmetric = {**_SYMMETRIC_OPTIONS, "op_types": ["MatMul", "Gemm", "Conv"]}
        int8 = replace(half, options={"trt_int8_enable": "1", **half.options})
        steps: Steps = (optimized, ("quantize", {"method": "static", **symmetric}))
        why = "8 bits where the file has Q and DQ pairs (symmetric, as TensorRT wants them), float16 elsewhere"
        picks.append(Pick(_named(m, "int8", target), steps, int8, why, calibrated=True))
    return picks


def _compiled(m: Model, _kind: str, target: Target, _calibrated: bool) -> list[Pick]:
    steps: Steps = (("optimize", {"target": target.provider}),)
    return [Pick(_named(m, "optimized", target), steps, target, "ONNX's own operators only")]


_LISTS = {"cpu": _on_cpu, "openvino": _on_openvino, "cuda": _on_gpu, "tensorrt": _on_tensorrt}


def not_listed(m: Model, targets: Sequence[Target], *, calibrated: bool) -> list[tuple[str, str]]:
    """What would be on the list with something that was not given: name and what is missing."""
    kind = kind_of(m)
    if calibrated or kind in ("quantized", "other"):
        return []
    calibrating = ("openvino", "tensorrt") if kind != "convolutional" else ("openvino", "tensorrt", "cpu")
    wanting = [t for t in targets if t.provider in calibrating]
    return [(_named(m, "int8", t), "no calibration data: give some with calibration=") for t in wanting]
