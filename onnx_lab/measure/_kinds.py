"""What kind of work a node does, told from its operator and its types: what a verdict's reasons are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from onnx_lab._blocks import FUSED
from onnx_lab.model import GLUE

#: A tensor's dtype and shape, as the profiler writes them.
Typed = Sequence[Any]

#: Kind -> what it is called in a sentence.
WORDS = {
    "int8": "8-bit products",
    "nbits": "products with packed weights",
    "float": "float products",
    "attention": "attention",
    "scaling": "scaling to and from 8 bits",
    "cast": "casts",
    "normalization": "normalization and softmax",
    "glue": "moving data",
    "compiled": "one compiled graph",
    "other": "everything else",
}

_INT8 = frozenset(
    "MatMulInteger ConvInteger QLinearMatMul QLinearConv QGemm MatMulIntegerToFloat DynamicQuantizeMatMul "
    "DynamicQuantizeLSTM QLinearAdd QLinearMul QLinearGlobalAveragePool QLinearAveragePool QLinearSigmoid".split()
)
_NBITS = frozenset({"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"})
_FLOAT = frozenset("MatMul FusedMatMul Gemm FusedGemm Conv FusedConv ConvTranspose Einsum LSTM GRU RNN".split())
_SCALING = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_NORMALIZATION = frozenset(
    "LayerNormalization SkipLayerNormalization SimplifiedLayerNormalization SkipSimplifiedLayerNormalization "
    "BatchNormalization InstanceNormalization GroupNormalization RMSNormalization Softmax LogSoftmax "
    "EmbedLayerNormalization".split()
)


def kind_of(op: str, provider: str) -> str:
    """The kind of a node; a node that a compiling provider took as a whole is ``"compiled"``.

    Examples
    --------
    >>> kind_of("MatMul", "CPUExecutionProvider"), kind_of("Cast", "CPUExecutionProvider")
    ('float', 'cast')
    """
    if provider and provider != "CPUExecutionProvider" and provider not in _PER_NODE:
        return "compiled"
    for kind, operators in _KINDS.items():
        if op in operators:
            return kind
    return "other"


def macs_of(op: str, inputs: Sequence[Typed], outputs: Sequence[Typed], weight: Sequence[int] = ()) -> int:
    """Multiply-accumulates of one run of a matrix product or convolution, from the shapes it saw; 0 for all else.

    `weight` is the shape of a convolution's weight in the file. What a session shows of it is not to be trusted: one
    that computes in blocks of channels fills them up with zeros, and one that packed it beforehand shows none.

    Examples
    --------
    >>> macs_of("MatMul", [("float", [2, 8]), ("float", [8, 16])], [("float", [2, 16])])
    256
    """
    if not outputs or not inputs:
        return 0
    results = math.prod(outputs[0][1])
    if "Conv" in op:
        seen = next((shape for _, shape in inputs[1:] if len(shape) > 2), weight)
        known = bool(seen) and op != "ConvTranspose"
        return int(results // seen[0] * math.prod(weight or seen)) if known else 0
    products = op in _FLOAT | _INT8 | _NBITS and ("MatMul" in op or "Gemm" in op)
    return results * int(inputs[0][1][-1]) if products and inputs[0][1] else 0


#: Providers that keep nodes apart, so that each has a time.
_PER_NODE = frozenset({"CUDAExecutionProvider", "DmlExecutionProvider", "DnnlExecutionProvider"})

_KINDS = {
    "int8": _INT8,
    "nbits": _NBITS,
    "attention": FUSED,
    "float": _FLOAT,
    "scaling": _SCALING,
    "cast": frozenset({"Cast", "CastLike"}),
    "normalization": _NORMALIZATION,
    "glue": GLUE,
}
