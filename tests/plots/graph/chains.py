"""Small graphs as `Flat`, without a file."""

from __future__ import annotations

from collections.abc import Sequence

from onnx_lab._metadata import module_named
from onnx_lab.plots.graph.flat import Flat, Node, Tensor


def relus(names: Sequence[str]) -> list[tuple[str, str]]:
    """Nodes of one operator in a chain, by their names."""
    return [("Relu", name) for name in names]


def blocks_of(ops: Sequence[str], times: int) -> list[tuple[str, str]]:
    """The same operators over and over in a chain, with names that say nothing."""
    return [(op, f"node_{i}_{k}") for i in range(times) for k, op in enumerate(ops)]


def flat_of(nodes: Sequence[tuple[str, str]]) -> Flat:
    """An input, the nodes one after the other, and an output."""
    flat = Flat("chain", tensors=[Tensor(f"t{i}") for i in range(len(nodes) + 1)])
    flat.add(Node("x", "input", kind="input"), made=[0])
    for i, (op, name) in enumerate(nodes):
        flat.add(Node(name, op, module_named(name)), made=[i + 1], read=[i])
    flat.add(Node("y", "output", kind="output"), read=[len(nodes)])
    return flat
