"""What a value is, where constants and known shapes tell: a condition that needs no caller to be answered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

#: A constant of more numbers decides no branch; it is not read.
_FEW = 1024
_DEPTH = 64


class Known:
    """Values of a graph by their constants; each is computed once.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> graph = lab.samples.tiny().to_ir().graph
    >>> Known()(graph.initializers["b2"]).shape, Known()(graph.inputs[0])
    ((4,), None)
    """

    def __init__(self) -> None:
        self._found: dict[ir.Value, Any] = {}

    def __call__(self, value: ir.Value | None, depth: int = _DEPTH) -> Any:
        """The array, or None where it depends on what a caller feeds."""
        if value is None or depth == 0:
            return None
        if value not in self._found:
            self._found[value] = self._compute(value, depth)
        return self._found[value]

    def _compute(self, value: ir.Value, depth: int) -> Any:
        import onnx_ir as ir

        if value.is_graph_input():
            return None
        node = value.producer()
        if node is None or node.op_type == "Constant":
            tensor = ir.convenience.get_const_tensor(value)
            return tensor.numpy() if tensor is not None and tensor.size <= _FEW else None
        if node.domain not in ("", "ai.onnx") or any(a.type.name.startswith("GRAPH") for a in node.attributes.values()):
            return None
        return _by_shape(node, self, depth) if node.op_type in _OF_SHAPE else self._run(node, value, depth)

    def _run(self, node: ir.Node, value: ir.Value, depth: int) -> Any:
        """One node on known inputs, by ONNX's reference implementation."""
        if node.op_type in _RANDOM:
            return None
        inputs = {}
        for v in node.inputs:
            if v is None:
                continue
            array = self(v, depth - 1)
            if array is None:
                return None
            inputs[str(v.name)] = array
        return _evaluated(node, inputs, node.outputs.index(value))


_OF_SHAPE = frozenset({"Shape", "Size", "Gather"})
_RANDOM = frozenset("RandomNormal RandomUniform RandomNormalLike RandomUniformLike Multinomial Bernoulli".split())


def _by_shape(node: ir.Node, known: Known, depth: int) -> Any:
    """Shape and Size of a tensor whose axes are numbers, and a Gather of those axes that are."""
    import numpy as np

    if node.op_type == "Gather":
        data = node.inputs[0]
        whole, index = known(data, depth - 1), known(node.inputs[1], depth - 1)
        if index is None:
            return None
        if whole is not None:
            return np.take(whole, index, axis=node.attributes.get_int("axis", 0))
        dims = _dims(data.producer()) if data is not None else None
        picked = [dims[int(i)] for i in np.ravel(index)] if dims and np.abs(index).max() < len(dims) else [None]
        return None if None in picked else np.array(picked, np.int64).reshape(np.shape(index))
    dims = _dims(node)
    if dims is None or None in dims:
        return None
    return np.array(dims, np.int64) if node.op_type == "Shape" else np.array(math.prod(d or 0 for d in dims), np.int64)


def _dims(node: ir.Node | None) -> list[int | None] | None:
    if node is None or node.op_type not in ("Shape", "Size") or node.inputs[0] is None or node.inputs[0].shape is None:
        return None
    dims = [d if isinstance(d, int) else None for d in node.inputs[0].shape]
    if node.op_type == "Size":
        return dims
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(dims))
    return dims[start:end]


def _evaluated(node: ir.Node, inputs: dict[str, Any], index: int) -> Any:
    import onnx_ir as ir
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    graph = node.graph
    version = graph.opset_imports.get("", 18) if graph is not None else 18
    try:
        proto = ir.to_proto(node)
        given = [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
            for k, v in inputs.items()
        ]
        one = helper.make_graph([proto], "one", given, [helper.make_empty_tensor_value_info(proto.output[index])])
        model = helper.make_model(one, opset_imports=[helper.make_opsetid("", version)])
        answer: Any = ReferenceEvaluator(model).run(None, inputs)
        return answer[0]
    except Exception:
        # the reference knows not every operator nor every type: what it cannot compute is not known
        return None
