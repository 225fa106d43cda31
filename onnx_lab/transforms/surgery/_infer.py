"""One node at a time: the shapes of what it makes, and small values, for inputs of given shapes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

Array = npt.NDArray[Any]
#: Type and shape; None where it is not known.
Known = tuple[int, tuple[int, ...]]
#: Values up to this many elements are computed with: vectors of sizes, and what counts tokens.
SMALL = 4096


class Refused(Exception):
    """These inputs do not go together at this node."""


class Inference:
    """Asks ONNX's own inference and reference implementation about single nodes of a model."""

    def __init__(self, model: ir.Model) -> None:
        import onnx

        self._opsets = dict(model.opset_imports)
        self._imports = [onnx.helper.make_opsetid(d, v) for d, v in self._opsets.items()]
        self._ir_version = model.ir_version
        self._protos: dict[ir.Node, onnx.NodeProto] = {}
        self._values: dict[tuple[Any, ...], list[Array] | None] = {}  # a walk that turns back asks again

    def shapes(self, node: ir.Node, known: Sequence[Known | None], data: Sequence[Array | None]) -> list[Known | None]:
        """Type and shape of each output.

        Raises
        ------
        Refused
            When the inputs' sizes do not go together; with the reason.
        """
        import onnx

        proto = self._proto(node)
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opsets.get(node.domain, 1), node.domain)
        except onnx.defs.SchemaError:
            return [None] * len(node.outputs)
        types = {
            v.name or "": onnx.helper.make_tensor_type_proto(k[0], k[1])
            for v, k in zip(node.inputs, known, strict=True)
            if v is not None and k is not None
        }
        values = {
            v.name or "": onnx.numpy_helper.from_array(d, v.name)
            for v, d in zip(node.inputs, data, strict=True)
            if v is not None and d is not None and d.dtype != object
        }
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema, proto, types, values, opset_imports=self._imports, ir_version=self._ir_version
            )
        except onnx.shape_inference.InferenceError as e:
            raise Refused(_reason(e)) from None
        except (KeyError, ValueError, RuntimeError):  # a sub-graph that reads what is around it
            return [None] * len(node.outputs)
        return [_known(found.get(v.name or "")) for v in node.outputs]

    def _proto(self, node: ir.Node) -> onnx.NodeProto:
        import onnx_ir as ir

        if node not in self._protos:
            self._protos[node] = ir.to_proto(node)
        return self._protos[node]

    def value(self, node: ir.Node, data: Sequence[Array | None]) -> list[Array] | None:
        """What the node makes of these values, by the reference implementation; None where it cannot tell."""
        if any(d is not None and d.size > SMALL for d in data):
            return self._evaluated(node, data)
        asked = (node, *(None if d is None else (d.dtype.str, d.shape, d.tobytes()) for d in data))
        if asked not in self._values:
            self._values[asked] = self._evaluated(node, data)
        return self._values[asked]

    def _evaluated(self, node: ir.Node, data: Sequence[Array | None]) -> list[Array] | None:
        from onnx.reference import ReferenceEvaluator

        given = [(v.name or "", d) for v, d in zip(node.inputs, data, strict=True) if v is not None]
        feeds = {name: d for name, d in given if d is not None}
        if len(feeds) < len(dict(given)):
            return None
        try:
            import onnx

            names = [v.name for v in node.outputs if v.name]
            graph = onnx.helper.make_graph(
                [self._proto(node)],
                "one",
                [onnx.helper.make_tensor_value_info(k, _elem(d), d.shape) for k, d in feeds.items()],
                [onnx.ValueInfoProto(name=n) for n in names],
            )
            model = onnx.helper.make_model(graph, opset_imports=self._imports, ir_version=self._ir_version)
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                made = ReferenceEvaluator(model).run(None, feeds)
        except Exception:  # whatever the reference implementation stumbles over: the value is then not known
            return None
        return [np.asarray(a) for a in made]


def _elem(array: Array) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))


def _known(found: onnx.TypeProto | None) -> Known | None:
    if found is None or not found.HasField("tensor_type") or not found.tensor_type.HasField("shape"):
        return None
    dims = found.tensor_type.shape.dim
    if not all(d.HasField("dim_value") for d in dims):
        return None
    return found.tensor_type.elem_type, tuple(d.dim_value for d in dims)


def _reason(error: Exception) -> str:
    lines = [s.strip() for s in str(error).splitlines() if s.strip()]
    return (
        lines[-1].replace("[ShapeInferenceError]", "").replace("[TypeInferenceError]", "").strip()
        if lines
        else "no reason given"
    )
