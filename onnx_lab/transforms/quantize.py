"""quantize: the door to every way of storing weights, or weights and activations, in fewer bits."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from onnx_lab.errors import BadInput, NotInThisVersion, TransformError
from onnx_lab.model import Model
from onnx_lab.produce import options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.task import Dataset  # at run time: the magic reads what may be typed
from onnx_lab.transforms._dynamic import DYNAMIC
from onnx_lab.transforms._method import Method, options_of
from onnx_lab.transforms._nbits import INT4, INT8_WEIGHTS
from onnx_lab.transforms._nncf import NNCF
from onnx_lab.transforms._options import one_of
from onnx_lab.transforms._static import STATIC

#: Name -> how it checks its options, does its work and writes its plain code. One entry makes a method.
METHODS: Mapping[str, Method] = MappingProxyType(
    {"dynamic": DYNAMIC, "static": STATIC, "nncf": NNCF, "int4": INT4, "int8-weights": INT8_WEIGHTS}
)
#: Known, and of no use to any target of this version: what has kernels for them.
_NO_TARGET: Mapping[str, str] = MappingProxyType(
    {
        "fp8": "TensorRT on a GPU of NVIDIA's Ada or Hopper generation or later",
        "fp4": "TensorRT on a GPU of NVIDIA's Blackwell generation or later",
    }
)
_TOOLS = ("onnx-lab", "onnxruntime", "onnxruntime-gpu", "onnx", "onnxscript")


def quantize(
    m: Model,
    *,
    method: str = "dynamic",
    data: Dataset | None = None,
    per_channel: bool = True,
    reduce_range: bool | None = None,
    weight_type: str = "int8",
    op_types: Iterable[str] | None = None,
    exclude_ops: Iterable[str] = (),
    exclude_nodes: Iterable[str] = (),
    calibration: str = "minmax",
    percentile: float = 99.999,
    format: str = "qdq",  # noqa: A002  (the field's name)
    symmetric: bool | None = None,
    activation_type: str = "uint8",
    quantize_output: bool = False,
    smooth: float | str = "auto",
    cap_mb: float = 512,
    bits: int | None = None,
    block_size: int | None = None,
    accuracy_level: int = 0,
    algorithm: str = "rtn",
    name: str | None = None,
) -> Model:
    """Quantize: weights in 8 or 4 bits; activations at each run (dynamic), in ranges found on data (static), or not.

    Optimize first (`onnx_lab.optimize`), then quantize: that order is the faster one on the CPU, and both orders work.

    ``"dynamic"`` needs no data and suits transformers on the CPU provider. ``"static"`` is for networks of
    convolutions, and for providers without dynamic kernels (OpenVINO, TensorRT). A transformer suffers more from it: a
    few channels of its activations are much larger than the others, and one range has to hold all. So part of their
    size is moved into the weights first (`smooth`), and what makes the outputs, products of two activations and, in
    ``"qdq"``, the results of MatMul and Gemm stay float: sentence embeddings of the sample BERT keep cosine 0.9987
    (without smoothing 0.993, dynamic 0.992; ``"qoperator"``, whose results are 8 bits, 0.939 without smoothing).
    Ranges that cut the large ones off cost most: ``"entropy"`` 12 points of the sample task, where ``"minmax"`` lost
    less than one. Measure yours (`onnx_lab.accuracy`).

    ``"nncf"`` is static int8 by Intel's NNCF (an extra), which smooths a transformer's activations and corrects biases;
    it took about a minute for the sample BERT, which kept cosine 0.998.

    ``"int4"`` and ``"int8-weights"`` are for size: weights of products and embeddings in blocks with a scale each,
    activations in float. A BERT takes 0.16 and 0.26 of its float32 size and loses 1.0 and 0.1 points of the sample
    task. On ONNX Runtime's CPU provider such a file is slower than float32 at batch 8 or 512 tokens.

    Parameters
    ----------
    m : Model
        With float32 weights.
    method : str, default "dynamic"
        ``"dynamic"``, ``"static"``, ``"nncf"``, ``"int4"`` or ``"int8-weights"``. ``"fp8"`` and ``"fp4"`` are refused:
        no target of this version computes in them.
    data : dataset, optional
        Calibration feeds for ``"static"``: about 100 typical samples that are not measured on. Read twice, batch by
        batch. Also for ``"nncf"`` and ``algorithm="gptq"``.
    per_channel : bool, default True
        One scale for each output channel of a weight. One for the whole weight (False) is no faster and gives
        sentence embeddings about six times the error.
    reduce_range : bool, optional
        Weights in 7 bits, for CPUs on which products of uint8 and int8 overflow (AVX2 and AVX512 without VNNI).
        Default: what this machine needs; the card says which.
    weight_type : str, default "int8"
        Or ``"uint8"``.
    op_types : iterable of str, optional
        Operators to quantize. Default for dynamic: MatMul, Gemm, Gather (embeddings), Attention, LSTM,
        EmbedLayerNormalization; ``"Conv"`` is possible and seldom faster. Default for static: products, Gather and
        what passes 8 bits on (Relu, MaxPool, Reshape, ...); between convolutions also Add, Concat, pooling. For
        weights alone: MatMul, Gemm, Gather.
    exclude_ops : iterable of str
        Operators to leave out of those.
    exclude_nodes : iterable of str
        Nodes to leave float: names, globs, or modules such as ``bert.encoder.layer.0``.
    calibration : {"minmax", "entropy", "percentile", "distribution"}, default "minmax"
        Static: how a range is made of what was seen. All of it; what loses least information about the histogram; the
        middle `percentile`; the ends of onnxruntime's histogram (its avg and std, for float8, are not used here).
    percentile : float, default 99.999
        Static, with ``calibration="percentile"``: percent of the values to hold.
    format : {"qdq", "qoperator"}, default "qdq"
        Static: float operators between QuantizeLinear and DequantizeLinear, which every provider reads, or
        onnxruntime's own integer operators, for its CPU provider.
    symmetric : bool, optional
        Static: activation ranges with zero in the middle (default False). Weights alone: no zero point for a block
        (default False at 4 bits, True at 8, where one gains nothing).
    activation_type : {"uint8", "int8"}, default "uint8"
        Static.
    quantize_output : bool, default False
        Static: also the last product before each output, and a Softmax behind it if `op_types` names it. They are
        kept in float because 256 steps make scores equal that were not: a VGG16 with 8 bits in its Softmax kept 0 of
        16 answers.
    smooth : float or {"auto", "off"}, default "auto"
        Static: SmoothQuant's strength, above 0 and up to 1: how much of what is hard to round in activations goes to
        the weights. ``"auto"`` tries 0, 0.5 and 0.8 on a few batches of a transformer and takes the one whose
        answers stay nearest; other networks are left alone.
    cap_mb : float, default 512
        Static: megabytes of inner tensors held at once during calibration.
    bits : {4, 8}, optional
        Of weights alone; the method says it already.
    block_size : {16, 32, 64, 128, 256}, optional
        Weights that share a scale. Default: 32 at 4 bits, 128 at 8. At 4 bits 16 is more exact and gives a file a
        fifth larger, 64 is a little smaller and less exact.
    accuracy_level : {0, 1, 2, 3, 4}, default 0
        What activations may be rounded to inside a product: 0 not at all, 1 float32, 2 float16, 3 bfloat16, 4 int8
        (faster where the CPU has such instructions).
    algorithm : {"rtn", "hqq", "k_quant", "gptq"}, default "rtn"
        How weights are rounded. To the nearest: the sample BERT keeps cosine 0.987 at 4 bits. HQQ and k-quant look
        for better scales, and found none there (0.987, 0.985); HQQ is for 4 bits. GPTQ reads `data` and makes each
        error good by later weights: 0.993, in minutes. Embeddings are always rounded to the nearest.
    name : str, optional
        Default ``"<name>-int8"``, ``"<name>-int4"`` or ``"<name>-int8-weights"``.

    Returns
    -------
    Model
        Its card says what was quantized and what stayed float, and which ranges look suspicious.

    Raises
    ------
    BadInput
        For an unknown method, operator or node; an option of another method; data that is missing, empty, exhausted
        after one pass, or does not fit the model.
    NotInThisVersion
        For ``method="fp8"`` and ``"fp4"``.
    MissingExtra
        For ``method="nncf"`` without it, and ``algorithm="hqq"`` without PyTorch.
    TransformError
        When there is no float32 weight to quantize, or the quantizer gives up.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> small = lab.quantize(lab.samples.tiny())
    >>> small.header.operators["MatMulInteger"]
    2
    >>> import numpy as np
    >>> batches = [{"x": np.random.default_rng(i).normal(size=(4, 8)).astype(np.float32)} for i in range(8)]
    >>> static = lab.quantize(lab.samples.tiny(), method="static", data=batches)
    >>> static.header.operators["QuantizeLinear"]
    1
    >>> lab.quantize(lab.samples.tiny(), method="int4", block_size=16).header.operators["MatMulNBits"]
    2
    """
    given = {k: v for k, v in locals().items() if k not in ("m", "method", "data", "name")}
    way = _way(method)
    options = options_of(METHODS, method, given, _defaults())
    _check(m, method, way, data)
    settled, body = way.prepare(m, options, data)
    return produce(
        "quantize",
        options_json(method=method, **settled),
        body,
        tools=_TOOLS,
        name=name or f"{m.name}-{way.suffix}",
        parent=m,
    )


def _defaults() -> dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(quantize).parameters.values() if p.kind is p.KEYWORD_ONLY}


def _way(method: str) -> Method:
    one_of("method", method, [*METHODS, *_NO_TARGET])
    if method in _NO_TARGET:
        raise NotInThisVersion(
            f"method={method!r}: no target of this version computes in it, only {_NO_TARGET[method]}",
            accepted=", ".join(METHODS),
            do="method='int4' or 'int8-weights' for size; lab.fp16(m) for a GPU",
        )
    return METHODS[method]


def _check(m: Model, method: str, way: Method, data: Dataset | None) -> None:
    """What every method needs: float32 weights, a file that may be changed, data where it is used."""
    if data is not None and way.data == "refused":
        raise BadInput(f"data for method={method!r}", accepted=way.about_data)
    if data is None and way.data == "needed":
        raise BadInput(f"no data for method={method!r}", accepted=way.about_data, do="data=[feeds, feeds, ...]")
    refuse_frozen(m, "quantize")
    if not m.header.weights.get("float32"):
        have = ", ".join(m.header.weights) or "none"
        raise TransformError(
            f"quantize: {m.name} has no float32 weight (weights: {have})",
            accepted="a float32 model",
            do="quantize before fp16, not after" if "float16" in m.header.weights else "quantize the float32 model",
        )


def plain_code(*, method: str = "dynamic", data: object = None, **options: Any) -> str:
    """The plain code that a quantize step amounts to: ``model.onnx`` in, a new file out.

    Examples
    --------
    >>> print(plain_code().splitlines()[1])
    from onnxruntime.quantization import QuantType, quantize_dynamic
    """
    del data  # a script reads its own
    return _way(method).plain_code(**options)
