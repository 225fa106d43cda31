"""What is known of shapes after an edit: forget what no longer holds, and ask strictly whether the rest fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnx_lab._quiet import quiet
from onnx_lab.errors import TransformError
from onnx_lab.model import Model

if TYPE_CHECKING:
    import onnx_ir as ir


def inform(model: ir.Model) -> None:
    """ONNX's shape inference, in place: what is unknown becomes known where it can, and nothing is refused.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> model = lab.samples.tiny().to_ir()
    >>> inform(model)
    >>> str(model.graph[0].outputs[0].dtype)
    'FLOAT'
    """
    from onnx_ir.passes.common import ShapeInferencePass

    with quiet("onnx_ir"):
        ShapeInferencePass(check_type=False, strict_mode=False)(model)


def forget_behind(model: ir.Model, values: Iterable[ir.Value]) -> None:
    """Take the shapes from everything that is computed from `values`, through sub-graphs too; they are inferred anew.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> model = lab.samples.tiny().to_ir()
    >>> forget_behind(model, model.graph.inputs)
    >>> [v.shape for v in model.graph.outputs]
    [None]
    """
    owner = owners(model)
    todo, seen = list(values), set()
    while todo:
        for node in todo.pop().consumers():
            around: ir.Node | None = node
            while around is not None and id(around) not in seen:
                seen.add(id(around))
                for out in around.outputs:
                    out.shape = None
                    todo.append(out)
                around = owner.get(id(around.graph))


def owners(model: ir.Model) -> dict[int, ir.Node]:
    """Identity of a sub-graph -> the node (If, Loop, Scan) that holds it."""
    return {id(g): n for n in model.graph.all_nodes() for g in subgraphs(n)}


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """The sub-graphs that a node holds."""
    import onnx_ir as ir

    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
            found.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS and not attribute.is_ref():
            found.extend(attribute.as_graphs())
    return found


def settle_from(model: ir.Model, nodes: Iterable[ir.Node]) -> bool:
    """Infer anew what `nodes` make; where a shape is another, also what lies behind. Whether one changed."""
    import onnx_ir as ir

    own = [(o, o.shape) for n in nodes for o in n.outputs]
    for value, _ in own:
        value.shape = None
    inform(model)
    moved: list[ir.Value] = []
    for value, before in own:
        if value.shape is None:
            value.shape = before  # of an operator that inference does not know
        elif before is not None and not _agree(value.shape, before):
            moved.append(value)
        elif before is not None and len(value.shape) == len(before):
            value.shape = ir.Shape([a if isinstance(a, int) else b for a, b in zip(value.shape, before, strict=True)])
    forget_behind(model, moved)
    return bool(moved)


def _agree(new: ir.Shape, old: ir.Shape) -> bool:
    """Whether no axis is known to be another; a name that became a number is the same axis, better known."""
    if len(new) != len(old):
        return False
    for a, b in zip(new, old, strict=True):
        x, y = (d if isinstance(d, int) else d.value for d in (a, b))
        if x is not None and y is not None and x != y and not (isinstance(x, int) and isinstance(y, str)):
            return False
    return True


def must_fit(before: Model, after: ir.Model, edit: str) -> None:
    """Strict shape inference of the result, where the original passes it.

    Raises
    ------
    TransformError
        Naming the node whose inputs do not fit.
    """
    reason = _strictly(after)
    if reason and not _strictly(before.to_ir()):
        raise TransformError(
            f"surgery.{edit}: a node would get what it does not take: {reason}",
            do="lab.nodes(m) shows the nodes; the edit that makes room for it comes first",
        )


def _strictly(model: ir.Model) -> str:
    """Why strict inference refuses the graph; "" where it does not."""
    import onnx
    from onnx_ir.passes.common._c_api_utils import call_onnx_api

    try:
        call_onnx_api(lambda p: onnx.shape_inference.infer_shapes(p, check_type=True, strict_mode=True), model)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as e:
        return str(e).replace("[ShapeInferenceError] ", "").replace("Inference error(s): ", "").strip()
    return ""
