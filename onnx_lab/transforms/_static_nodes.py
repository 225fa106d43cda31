"""Which nodes static int8 is for, which stay float although their kind is chosen, and what flows around the others."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

#: Quantized in any model: products with weights, and what passes their 8 bits on.
ALWAYS = tuple(
    "Conv ConvTranspose Gemm MatMul Gather Relu Clip MaxPool Reshape Flatten Squeeze Unsqueeze Transpose".split()
)
#: Quantized as well where convolutions follow one another; in a transformer these carry the residual stream, whose few
#: large values leave 8 bits for nothing else.
BETWEEN_CONVOLUTIONS = tuple("Add Concat AveragePool GlobalAveragePool LeakyRelu Pad Resize Split".split())
POSSIBLE = (*ALWAYS, *BETWEEN_CONVOLUTIONS, *"Mul Softmax Sigmoid Where Slice LayerNormalization".split())

#: These take the range of what they pass on, and need none of their own.
_PASS_ON = frozenset("Reshape Flatten Squeeze Unsqueeze Transpose MaxPool Gather".split())
TRANSFORMER = frozenset("LayerNormalization SkipLayerNormalization MultiHeadAttention Attention".split())
MAKERS = frozenset("MatMul Gemm Conv ConvTranspose".split())
#: Their results stay float in a transformer (QDQ): the sum or norm that follows is float anyway, and 8 bits there cost
#: accuracy.
FLOAT_OUT = ("MatMul", "Gemm")
#: Between the product that makes the scores and the model's output.
BEHIND = frozenset(
    "Softmax LogSoftmax Sigmoid Add Sub Mul Div Reshape Flatten Squeeze Unsqueeze Identity Cast Transpose".split()
)


def default_ops(model: ir.Model) -> tuple[str, ...]:
    """The operators that are quantized when none are named.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> "Add" in default_ops(lab.samples.tiny().to_ir())
    False
    """
    kinds = {n.op_type for n in model.graph}
    return ALWAYS + BETWEEN_CONVOLUTIONS if "Conv" in kinds and not kinds & TRANSFORMER else ALWAYS


def float_out(model: ir.Model) -> tuple[str, ...]:
    """The products whose results stay float: in a transformer all, between convolutions none, elsewhere MatMul.

    A Gemm with a Relu behind it and no 8 bits in between becomes one float node in a session, which unpacks its weights
    at each run: half of a VGG16's time.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> float_out(lab.samples.tiny().to_ir())
    ('MatMul',)
    """
    kinds = {n.op_type for n in model.graph}
    if kinds & TRANSFORMER:
        return FLOAT_OUT
    return () if "Conv" in kinds else ("MatMul",)


def is_transformer(model: ir.Model) -> bool:
    """Whether there are norms between products: what smoothing is for."""
    kinds = {n.op_type for n in model.graph}
    return bool(kinds & TRANSFORMER and kinds & {"MatMul", "Gemm", "Attention"})


def output_nodes(model: ir.Model) -> list[ir.Node]:
    """The nodes that make the model's outputs: back from each to the product behind its scores, that included.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [n.op_type for n in output_nodes(lab.samples.tiny().to_ir())]
    ['MatMul', 'Add']
    """
    found: dict[ir.Node, None] = {}
    ahead = [v.producer() for v in model.graph.outputs]
    while ahead:
        node = ahead.pop()
        if node is None or node in found or node.op_type not in BEHIND | MAKERS:
            continue
        found[node] = None
        flowing = [v for v in node.inputs if v is not None and not _constant(v)]
        if node.op_type in BEHIND and not (node.op_type == "Add" and len(flowing) > 1):  # that is a residual stream
            ahead += [v.producer() for v in flowing]
    return [n for n in model.graph if n in found]


def products_of_activations(model: ir.Model) -> list[ir.Node]:
    """MatMul and Gemm without a constant side: attention's scores and weighted sums."""
    return [
        n
        for n in model.graph
        if n.op_type in ("MatMul", "Gemm") and not any(v is not None and _constant(v) for v in n.inputs[:2])
    ]


def around(model: ir.Model, kinds: Collection[str], excluded: Collection[str], floats: Collection[str]) -> list[str]:
    """Names of the tensors that flow into and out of the nodes to be quantized, in graph order.

    Not those that flow out of the operators `floats`.

    Only float32 ones; behind operators that no inference knows, those without a type as well.
    """
    names: dict[str, None] = {}
    for node in model.graph:
        if node.op_type not in kinds or node.op_type in _PASS_ON or node.name in excluded:
            continue
        outputs = () if node.op_type in floats else node.outputs
        for value in (*node.inputs, *outputs):
            if value is not None and value.name and not _constant(value) and _may_be_float(value):
                names[value.name] = None
    return list(names)


def passed_on(model: ir.Model, kinds: Collection[str], excluded: Collection[str]) -> list[str]:
    """Names of what comes out of nodes that pass 8 bits on: without a type the quantizer would stop there."""
    through = [n for n in model.graph if n.op_type in _PASS_ON and n.op_type in kinds and n.name not in excluded]
    return [v.name for n in through for v in n.outputs if v.name and _may_be_float(v)]


def _may_be_float(value: ir.Value) -> bool:
    return value.dtype is None or value.dtype.name == "FLOAT"


def _constant(value: ir.Value) -> bool:
    import onnx_ir as ir

    return ir.convenience.get_const_tensor(value) is not None
