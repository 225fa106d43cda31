"""One node of the view, as an object that shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_lab.card import Card, Shown, Table
from onnx_lab.plots.graph.sheet import Sheet


@dataclass(frozen=True, repr=False)
class NodeDetails(Shown):
    """What the panel says of a node.

    Attributes
    ----------
    inputs, outputs : tuple of (str, str)
        Name and type, such as ``("h0", "float32[batch, 16]")``; of inputs, weights say so.
    status : str
        What a transform did to it, "" without a second model; `made_of` are the nodes it stands for.
    """

    name: str
    op: str
    module: str
    attributes: dict[str, str]
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]
    status: str = ""
    made_of: tuple[str, ...] = ()

    def _card(self) -> Card:
        facts = [("module", self.module or "unknown"), *self.attributes.items()]
        if self.status:
            facts.insert(0, ("what was done", self.status))
        if self.made_of:
            facts.append(("instead of", ", ".join(self.made_of)))
        rows = [("in", *t) for t in self.inputs] + [("out", *t) for t in self.outputs]
        return Card(f"{self.op}  {self.name}", facts, [Table(("", "tensor", "type"), tuple(rows))])


def details(sheet: Sheet, number: int) -> NodeDetails:
    """The details of one node of a sheet."""
    n, tensors = sheet.flat.nodes[number], sheet.flat.tensors
    attributes, *_ = sheet.about(number)
    return NodeDetails(
        n.name,
        n.op,
        n.module,
        dict(attributes),
        tuple((tensors[t].name, tensors[t].type + ", weight" * (tensors[t].maker < 0)) for t in n.inputs),
        tuple((tensors[t].name, tensors[t].type) for t in n.outputs),
        n.status,
        n.made_of,
    )
