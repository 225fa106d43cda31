"""SmoothQuant: the few large channels of a transformer's activations moved into the weights, exactly.

A product is the same when a channel of its input is divided by a number and the weights that read it are multiplied by
it. Divided by the right numbers all channels fit one range of 256 steps. Xiao et al., 2022
(https://arxiv.org/abs/2211.10438). Behind a LayerNormalization that nobody else reads the division costs nothing: it
goes into scale and bias. Elsewhere it is one Mul.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab.runtime.activations import tapped
from onnx_lab.transforms._tidy import initializer

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset

Array = npt.NDArray[Any]

#: Nothing is divided by less, or multiplied by more than its inverse: a channel that is silent in the data may wake up.
_LEAST = 1e-4


@dataclass(frozen=True)
class Site:
    """A value, and all products with a weight that read it: they share one division."""

    value: ir.Value
    readers: tuple[ir.Node, ...]


def sites(model: ir.Model, kinds: Collection[str], excluded: Collection[str]) -> list[Site]:
    """Where smoothing can act: values that MatMul and Gemm nodes with a constant weight read, in graph order.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [len(s.readers) for s in sites(lab.samples.tiny().to_ir(), ["MatMul"], [])]
    [1, 1]
    """
    found: dict[ir.Value, list[ir.Node]] = {}
    for node in model.graph:
        if node.op_type not in ("MatMul", "Gemm") or node.op_type not in kinds or node.name in excluded:
            continue
        value, weight = node.inputs[0], _array(node.inputs[1])
        if value is None or weight is None or weight.ndim != 2 or int(node.attributes.get_int("transA", 0)):
            continue
        found.setdefault(value, []).append(node)
    return [Site(value, tuple(readers)) for value, readers in found.items()]


def largest(model: ir.Model, where: Collection[Site], data: Dataset, cap_bytes: int) -> dict[str, Array]:
    """The largest magnitude of each channel (last axis) of each site's value over all of `data`."""
    most: dict[str, Array] = {}
    with tapped(model, [s.value.name or "" for s in where], cap_bytes=cap_bytes) as tap:
        for name, value in tap.batches(data):
            if value.dtype == np.float32 and value.size:
                rows = np.abs(np.asarray(value, np.float32).reshape(-1, value.shape[-1]))
                own = np.nan_to_num(rows, posinf=0.0).max(axis=0)
                most[name] = np.maximum(most[name], own) if name in most else own
    return most


def smooth(model: ir.Model, where: Collection[Site], most: Mapping[str, Array], strength: float) -> tuple[int, int]:
    """Divide and multiply, in place; return how many divisions went into a norm, and how many became a Mul.

    Parameters
    ----------
    strength : float
        How much of the difficulty goes to the weights: 0 evens them out among themselves, 1 the activations. The
        paper's alpha.
    """
    folded = added = 0
    for site in where:
        if (channels := most.get(site.value.name or "")) is None:
            continue
        factors = _factors(channels, site, strength)
        if _into_norm(model.graph, site, factors):
            folded += 1
        else:
            _as_mul(model.graph, site, factors)
            added += 1
        for node in site.readers:
            _multiply(model.graph, node, factors)
    return folded, added


def _factors(channels: Array, site: Site, strength: float) -> Array:
    """What each channel is divided by: 1 where the data or the weights are silent."""
    by_channel = [np.abs(_rows(n)).max(axis=1) for n in site.readers]
    weights = np.max(by_channel, axis=0)
    speaking = (channels > 0) & (weights > 0)
    safe_x, safe_w = (np.where(speaking, v, 1.0).astype(np.float64) for v in (channels, weights))
    found = np.where(speaking, safe_x**strength / safe_w ** (1 - strength), 1.0)
    found = found / np.exp(np.log(found).mean())  # around 1: neither side leaves float32's comfortable numbers
    factors: Array = np.clip(found, _LEAST, 1 / _LEAST).astype(np.float32)
    return factors


def _into_norm(graph: ir.Graph, site: Site, factors: Array) -> bool:
    """Divide scale and bias of the LayerNormalization that makes the value, if only these products read it."""
    node = site.value.producer()
    if node is None or node.op_type != "LayerNormalization" or site.value.is_graph_output():
        return False
    if {use.node for use in site.value.uses()} != set(site.readers):
        return False
    given = [v for v in node.inputs[1:3] if v is not None]
    arrays = [_array(v) for v in given]
    if any(a is None or a.shape != factors.shape for a in arrays):
        return False
    for i, (value, array) in enumerate(zip(given, arrays, strict=True), start=1):
        node.replace_input_with(i, initializer(graph, f"{value.name}.smoothed", array / factors))
    return True


def _as_mul(graph: ir.Graph, site: Site, factors: Array) -> None:
    import onnx_ir as ir

    by = initializer(graph, f"{site.value.name}.smoothing", 1 / factors)
    mul = ir.node("Mul", [site.value, by], name=f"{site.readers[0].name}.smooth")
    made = mul.outputs[0]
    made.name, made.shape, made.type = f"{site.value.name}.smoothed", site.value.shape, site.value.type
    graph.insert_before(site.readers[0], mul)
    for node in site.readers:
        node.replace_input_with(0, made)


def _multiply(graph: ir.Graph, node: ir.Node, factors: Array) -> None:
    weight = node.inputs[1]
    assert weight is not None
    rows = _rows(node) * factors[:, None]
    array = rows.T if int(node.attributes.get_int("transB", 0)) else rows
    node.replace_input_with(1, initializer(graph, f"{weight.name}.{node.name}.smoothed", np.ascontiguousarray(array)))


def _rows(node: ir.Node) -> Array:
    """The weight with one row for each channel of the input."""
    array = _array(node.inputs[1])
    assert array is not None
    return array.T if int(node.attributes.get_int("transB", 0)) else array


def _array(value: ir.Value | None) -> Array | None:
    import onnx_ir as ir

    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else np.asarray(tensor.numpy())
