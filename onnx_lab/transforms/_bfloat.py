"""Weights, or all of a graph, in bfloat16: the upper half of a float32, rounded to nearest."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab._memory import in_blocks
from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.transforms._half import to_half

if TYPE_CHECKING:
    import onnx_ir as ir

_LARGEST = 3.3895313892515355e38  # 2**128 - 2**120
#: A cast costs a node; weights of fewer numbers than this would make the file larger.
_WORTH = 64
Array = npt.NDArray[Any]


@dataclass
class Rounding:
    """What became of the weights; `largest_relative` is the largest ``|rounded - w| / |w|`` of those that are not
    clamped and not zero.
    """

    stored: int = 0
    kept_float32: int = 0
    rounded: int = 0
    clamped: int = 0
    flushed: int = 0
    largest_relative: float = 0.0

    def take(self, weight: Array) -> Array:
        """`weight` in bfloat16, counted. Finite numbers stay finite: float32's largest is above bfloat16's."""
        import ml_dtypes

        small = np.empty(weight.shape, ml_dtypes.bfloat16)
        for block, place in zip(in_blocks(weight), in_blocks(small), strict=True):
            place[:] = self._take(block)
        return small

    def _take(self, weight: Array) -> Array:
        import ml_dtypes

        limit = np.float32(_LARGEST)
        finite = np.isfinite(weight)
        over = finite & (np.abs(weight) > limit)
        small: Array = np.where(over, np.copysign(limit, weight), weight).astype(ml_dtypes.bfloat16)
        back = small.astype(np.float32)
        gone = (back == 0) & (weight != 0)
        usual = finite & ~over & ~gone & (weight != 0)
        self.stored += weight.size
        self.rounded += int(np.count_nonzero(finite & (back != weight)))
        self.clamped += int(np.count_nonzero(over))
        self.flushed += int(np.count_nonzero(gone))
        error = np.abs(back[usual].astype(np.float64) - weight[usual]) / np.abs(weight[usual].astype(np.float64))
        self.largest_relative = max(self.largest_relative, float(error.max(initial=0.0)))
        return small

    def notes(self) -> dict[str, Any]:
        return dict(vars(self))

    def say(self, m: Model) -> list[str]:
        if not self.stored:
            have = ", ".join(m.header.weights) or "none"
            return [f"changed nothing: {m.name} has no float32 weight of {_WORTH} numbers or more (weights: {have})"]
        said = [
            f"{self.stored:,} weights are bfloat16, {self.kept_float32:,} stay float32",
            f"{self.rounded:,} of them were rounded, by {self.largest_relative:.2%} of their size at most",
        ]
        for count, what in (
            (self.clamped, "beyond the largest bfloat16, 3.39e38, clamped to it"),
            (self.flushed, "too small for bfloat16, now zero"),
        ):
            if count:
                said.append(f"{count:,} weight{'s' * (count != 1)} {what}")
        return said


def store_as_bfloat16(graph: ir.Model, blocked: Collection[str], ops: Collection[str]) -> Rounding:
    """Store each large float32 weight as bfloat16 with a cast behind it, in place."""
    import onnx_ir as ir

    done, casts = Rounding(), []
    for name, value in list(graph.graph.initializers.items()):
        if value.const_value is None or value.const_value.dtype != ir.DataType.FLOAT:
            continue
        readers = [u.node for u in value.uses()]
        fixed = value.is_graph_input() or value.is_graph_output() or not readers
        stays = any(n.name in blocked or n.op_type in ops or _scales(n.op_type) for n in readers)
        if value.const_value.size < _WORTH or fixed or stays:
            done.kept_float32 += value.const_value.size
            continue
        stored = _weight(graph.graph, f"{name}.bf16", done.take(value.const_value.numpy()))
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT}, name=f"{name}.cast")
        cast.outputs[0].shape, cast.outputs[0].type = value.shape, value.type
        cast.metadata_props.update(readers[0].metadata_props)
        ir.convenience.replace_all_uses_with(value, cast.outputs[0])
        graph.graph.initializers.pop(name)
        cast.outputs[0].name = name
        casts.append(cast)
    if casts:
        graph.graph.insert_before(graph.graph[0], casts)
    return done


def compute_in_bfloat16(
    graph: ir.Model, blocked: Collection[str], ops: Collection[str], keep_io: bool
) -> tuple[ir.Model, Rounding, list[str]]:
    """The graph with bfloat16 between nodes, what became of the weights, and the nodes that stay float32.

    The structure is fp16's, with its casts around float32 nodes; the types are then the other half format.
    """
    import onnx_ir as ir

    if any(v.dtype == ir.DataType.FLOAT16 for n in graph.graph.all_nodes() for v in n.outputs):
        raise TransformError("bf16: the graph computes in float16 already", accepted="a float32 model")
    weights = {
        n: v.const_value.numpy()
        for n, v in graph.graph.initializers.items()
        if v.const_value is not None and v.const_value.dtype == ir.DataType.FLOAT
    }
    left = [n.name or "" for n in graph.graph if n.name in blocked or n.op_type in ops or not _takes(n, graph)]
    after = to_half(graph, left, keep_io=keep_io)
    done = Rounding()
    for name, value in list(after.graph.initializers.items()):
        if value.const_value is None:
            continue
        if value.const_value.dtype == ir.DataType.FLOAT16:
            exact = weights.get(name, value.const_value.numpy().astype(np.float32))
            value.const_value = ir.tensor(done.take(exact), name=name)
        elif value.const_value.dtype == ir.DataType.FLOAT:
            done.kept_float32 += value.const_value.size
    _retype(after)
    return after, done, left


def _retype(graph: ir.Model) -> None:
    import ml_dtypes
    import onnx_ir as ir

    half, brain = ir.DataType.FLOAT16, ir.DataType.BFLOAT16
    for part in (graph.graph, *graph.graph.subgraphs()):
        for value in [*part.inputs, *part.initializers.values()]:
            if value.dtype == half:
                value.dtype = brain
            if value.const_value is not None and value.const_value.dtype == half:
                exact = value.const_value.numpy().astype(ml_dtypes.bfloat16)
                value.const_value = ir.tensor(exact, name=value.name)
    for node in graph.graph.all_nodes():
        for value in node.outputs:
            if value.dtype == half:
                value.dtype = brain
        for key, attribute in list(node.attributes.items()):
            if key in ("to", "dtype") and attribute.value == half:
                node.attributes[key] = ir.AttrInt64(key, int(brain))
            elif attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == half:
                tensor = ir.tensor(attribute.as_tensor().numpy().astype(ml_dtypes.bfloat16))
                node.attributes[key] = ir.AttrTensor(key, tensor)


def _weight(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    import onnx_ir as ir

    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(value)
    return value


def _scales(op: str) -> bool:
    """Operators whose float32 inputs are scales of integers: those carry the precision of the whole weight."""
    return "Quant" in op or op.startswith("QLinear") or op in ("QAttention", "QMoE", "MatMulNBits", "MatMulBnb4")


def _takes(node: ir.Node, graph: ir.Model) -> bool:
    """Whether the operator's definition lets its float32 tensors be bfloat16."""
    import onnx_ir as ir

    schema = _schema(node.domain, node.op_type, graph.opset_imports.get(node.domain, 1))
    floats = ir.DataType.FLOAT
    for values, formal in ((node.inputs, "inputs"), (node.outputs, "outputs")):
        for i, value in enumerate(values):
            if value is None or value.dtype != floats:
                continue
            allowed = schema.get(formal, [])
            if not allowed or "tensor(bfloat16)" not in allowed[min(i, len(allowed) - 1)]:
                return False
    return True


@functools.lru_cache(maxsize=512)
def _schema(domain: str, op: str, opset: int) -> dict[str, list[list[str]]]:
    """The types that each input and output of an operator may have, from ONNX Runtime's own definitions."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    name = "" if domain == "ai.onnx" else domain
    known = [s for s in get_all_operator_schema() if s.name == op and s.domain == name and s.since_version <= opset]
    if not known:
        return {}
    schema = max(known, key=lambda s: s.since_version)
    allowed = {c.type_param_str: list(c.allowed_type_strs) for c in schema.type_constraints}
    return {
        kind: [allowed.get(p.typeStr, [p.typeStr]) for p in getattr(schema, kind)] for kind in ("inputs", "outputs")
    }
