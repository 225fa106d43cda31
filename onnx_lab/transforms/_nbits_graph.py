"""The places in a graph whose weight can be kept in blocks of few bits, and what stands there afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab.transforms._nbits_weights import Blocks
from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

#: Operators whose weights have a form in blocks.
KINDS = ("MatMul", "Gemm", "Gather")
#: What they become: their scales are float.
IN_BLOCKS = ("MatMulNBits", "GatherBlockQuantized")
_STANDARD = ("", "ai.onnx")
#: Inputs with fewer values are no weights: biases, scales of a normalization, numbers.
_A_WEIGHT = 1024


@dataclass(frozen=True)
class Place:
    """A product with a constant matrix, or a look-up in a constant table.

    Attributes
    ----------
    node : onnx_ir.Node
    kind : str
        ``"MatMul"``, ``"Gemm"`` or ``"Gather"``.
    weight : onnx_ir.Value
    """

    node: ir.Node
    kind: str
    weight: ir.Value

    @property
    def shape(self) -> tuple[int, int]:
        """(K, N): blocks run along K. A table's rows are its columns here."""
        sizes = [int(d) for d in _tensor(self.weight).shape][-2:]
        return (sizes[1], sizes[0]) if self.kind == "Gather" else (sizes[0], sizes[1])

    def matrix(self) -> npt.NDArray[Any]:
        """The weight as float32 of that shape."""
        array = _tensor(self.weight).numpy()
        matrix = array.reshape(array.shape[-2:])
        return np.ascontiguousarray(matrix.T if self.kind == "Gather" else matrix)


def places(model: ir.Model, kinds: Collection[str], excluded: Collection[str]) -> list[Place]:
    """In graph order, nodes in branches and loops too."""
    return [p for p in _all_places(model) if p.kind in kinds and p.node.name not in excluded]


def write_out_gemm(model: ir.Model, kinds: Collection[str], excluded: Collection[str]) -> set[str]:
    """Every Gemm with a constant matrix as MatMul and Add, in place; the names of the products.

    A turned matrix is turned in the file; factors that are not 1 go into the constants.
    """
    if "Gemm" not in kinds:
        return set()
    return {
        _split_gemm(node)
        for node in list(model.graph.all_nodes())
        if node.op_type == "Gemm"
        and node.domain in _STANDARD
        and node.name not in excluded
        and _float_matrix(node.inputs[1], turned=True)
        and not node.attributes.get_int("transA", 0)
        and (node.attributes.get_float("beta", 1.0) == 1.0 or len(node.inputs) < 3 or _constant(node.inputs[2]))
    }


def put(place: Place, blocks: Blocks, *, bits: int, block_size: int, accuracy_level: int) -> None:
    """Let the node of `place` read its weight from `blocks`, in place; its name, outputs and metadata stay."""
    node, weight = place.node, place.weight
    graph, (k, n) = _owner(weight, node), place.shape
    table = place.kind == "Gather"
    whole = blocks.packed.reshape(n, -1)[:, : -(-k * bits // 8)] if table else blocks.packed
    parts = {f"Q{bits}": whole, "scales": blocks.scales, "zero_points": blocks.zero_points}
    stem = f"{weight.name}.rows" if table else weight.name
    values = [initializer(graph, f"{stem}_{what}", a) if a is not None else None for what, a in parts.items()]
    first = [values[0], node.inputs[1]] if table else [node.inputs[0], values[0]]
    node.op_type, node.domain = ("GatherBlockQuantized" if table else "MatMulNBits"), "com.microsoft"
    node.version = None
    node.attributes.clear()
    sizes = {"gather_axis": 0, "quantize_axis": 1} if table else {"K": k, "N": n}
    for name, number in {**sizes, "bits": bits, "block_size": block_size}.items():
        _set(node, name, number)
    if accuracy_level and not table:
        _set(node, "accuracy_level", accuracy_level)
    inputs = [*first, *(v for v in values[1:] if v is not None)]
    node.resize_inputs(len(inputs))
    for i, value in enumerate(inputs):
        node.replace_input_with(i, value)
    drop_unused(weight)


def drop_unused(weight: ir.Value) -> None:
    """Take a constant out of its graph when nothing reads it any more."""
    graph = weight.graph
    name = weight.name or ""
    if graph is not None and name in graph.initializers and not weight.uses() and not weight.is_graph_output():
        graph.initializers.pop(name)
        if weight.is_graph_input():  # old files list every constant among the inputs
            graph.inputs.remove(weight)


def still_float(model: ir.Model) -> Counter[str]:
    """Operator -> how many of its nodes read a matrix of floats."""
    return Counter(
        node.op_type
        for node in model.graph.all_nodes()
        if node.op_type not in IN_BLOCKS and any(_float_matrix(v, turned=True) for v in node.inputs)
    )


def weights_bytes(model: ir.Model) -> int:
    """Of all constants."""
    graphs = {id(n.graph): n.graph for n in model.graph.all_nodes() if n.graph is not None}
    values = [v for g in graphs.values() for v in getattr(g, "initializers", {}).values()]
    return sum(v.const_value.nbytes for v in values if v.const_value is not None)


def _all_places(model: ir.Model) -> Iterator[Place]:
    for node in model.graph.all_nodes():
        if node.domain not in _STANDARD or node.op_type not in ("MatMul", "Gather"):
            continue
        weight = node.inputs[1 if node.op_type == "MatMul" else 0]
        if weight is None or not _float_matrix(weight):
            continue
        rank = len(_tensor(weight).shape)
        fits = _keeps_rank(node, rank) if node.op_type == "MatMul" else _looks_up_rows(node, rank)
        if fits:
            yield Place(node, node.op_type, weight)


def _keeps_rank(node: ir.Node, rank: int) -> bool:
    """MatMulNBits gives a result of the rank of its first input, which must have two axes or more."""
    x = node.inputs[0]
    known = len(x.shape) if x is not None and x.shape is not None else None
    return rank == 2 if known is None else known >= rank


def _looks_up_rows(node: ir.Node, rank: int) -> bool:
    return rank == 2 and node.attributes.get_int("axis", 0) == 0


def _float_matrix(value: ir.Value | None, *, turned: bool = False) -> bool:
    """Whether it is a constant float32 matrix, leading axes of one allowed unless it may be `turned`."""
    import onnx_ir as ir

    if not _constant(value):
        return False
    assert value is not None
    tensor = _tensor(value)
    sizes = [int(d) for d in tensor.shape]
    if tensor.dtype != ir.DataType.FLOAT or len(sizes) < 2:
        return False
    if turned:
        return tensor.size >= _A_WEIGHT or len(sizes) == 2
    return all(d == 1 for d in sizes[:-2]) and min(sizes[-2:]) > 0


def _constant(value: ir.Value | None) -> bool:
    return value is not None and value.is_initializer() and value.const_value is not None


def _tensor(value: ir.Value) -> Any:
    return value.const_value


def _owner(weight: ir.Value, node: ir.Node) -> ir.Graph:
    import onnx_ir as ir

    graph = weight.graph or node.graph
    assert isinstance(graph, ir.Graph)
    return graph


def _set(node: ir.Node, name: str, number: int) -> None:
    import onnx_ir as ir

    node.attributes[name] = ir.AttrInt64(name, number)


def _split_gemm(node: ir.Node) -> str:
    import onnx_ir as ir

    x, weight = node.inputs[0], node.inputs[1]
    shift = node.inputs[2] if len(node.inputs) > 2 else None
    assert weight is not None
    graph = _owner(weight, node)
    matrix = _tensor(weight).numpy()
    alpha, beta = (node.attributes.get_float(a, 1.0) for a in ("alpha", "beta"))
    turned = bool(node.attributes.get_int("transB", 0))
    if turned or alpha != 1.0:
        straight = np.ascontiguousarray(matrix.T if turned else matrix) * np.float32(alpha)
        stem = f"{weight.name}{'.turned' if turned else ''}{'' if alpha == 1.0 else f'.{alpha}'}"
        matrix_value = initializer(graph, stem, straight)
    else:
        matrix_value = weight
    if shift is not None and beta != 1.0:
        shift = initializer(graph, f"{shift.name}.{beta}", _tensor(shift).numpy() * np.float32(beta))
    name, out = node.name or node.outputs[0].name or "Gemm", node.outputs[0]
    product = ir.node("MatMul", [x, matrix_value], name=f"{name}.product")
    product.metadata_props.update(node.metadata_props)
    product.outputs[0].name, product.outputs[0].dtype = f"{out.name}.product", ir.DataType.FLOAT
    product.outputs[0].shape = out.shape
    assert node.graph is not None
    node.graph.insert_before(node, product)
    node.op_type = "Add" if shift is not None else "Identity"
    node.attributes.clear()
    inputs = [product.outputs[0], *([shift] if shift is not None else [])]
    node.resize_inputs(len(inputs))
    for i, value in enumerate(inputs):
        node.replace_input_with(i, value)
    if matrix_value is not weight:
        drop_unused(weight)
    return f"{name}.product"
