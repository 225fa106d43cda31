"""quantize: the door to every way of storing weights, or weights and activations, in fewer bits."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, NotInThisVersion, TransformError
from onnx_lab.model import Model
from onnx_lab.produce import options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms._dynamic import DYNAMIC
from onnx_lab.transforms._method import Method, options_of
from onnx_lab.transforms._options import one_of

if TYPE_CHECKING:
    from onnx_lab.task import Dataset

#: Name -> how it checks its options, does its work and writes its plain code. One entry makes a method.
METHODS: Mapping[str, Method] = MappingProxyType({"dynamic": DYNAMIC})
_ANNOUNCED = ("static", "int4")
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
    name: str | None = None,
) -> Model:
    """Quantize weights to 8 bits now and activations at each run: no calibration data is needed.

    Optimize first (`onnx_lab.optimize`), then quantize: that order is the faster one on the CPU, and both orders work.

    Parameters
    ----------
    m : Model
        With float32 weights.
    method : str, default "dynamic"
        ``"static"`` and ``"int4"`` are announced, not built.
    data : dataset, optional
        Calibration feeds for ``"static"``.
    per_channel : bool, default True
        One scale for each output channel of a weight. One for the whole weight (False) is no faster and gives
        sentence embeddings about six times the error.
    reduce_range : bool, optional
        Weights in 7 bits, for CPUs on which products of uint8 and int8 overflow (AVX2 and AVX512 without VNNI).
        Default: what this machine needs; the card says which.
    weight_type : str, default "int8"
        Or ``"uint8"``.
    op_types : iterable of str, optional
        Operators to quantize. Default: MatMul, Gemm, Gather (embeddings), Attention, LSTM, EmbedLayerNormalization.
        ``"Conv"`` is possible and seldom faster.
    exclude_ops : iterable of str
        Operators to leave out of those.
    exclude_nodes : iterable of str
        Nodes to leave float: names, globs, or modules such as ``bert.encoder.layer.0``.
    name : str, optional
        Default ``"<name>-int8"``.

    Returns
    -------
    Model
        Its card says what was quantized and what stayed float.

    Raises
    ------
    BadInput
        For an unknown method, operator or node.
    NotInThisVersion
        For ``method="static"`` and ``"int4"``.
    TransformError
        When there is no float32 weight to quantize, or the quantizer gives up.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> small = lab.quantize(lab.samples.tiny())
    >>> small.header.operators["MatMulInteger"]
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
    one_of("method", method, list(dict.fromkeys([*METHODS, *_ANNOUNCED])))
    if method not in METHODS:
        raise NotInThisVersion(
            f"method={method!r} is not in this version", accepted="method='dynamic'", do="it comes with a later one"
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
