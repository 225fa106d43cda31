"""remove_node: nodes go, and what they read goes to their consumers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab.errors import BadInput, TransformError, did_you_mean
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import FNMATCH, chosen, program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import nodes as find
from onnx_lab.transforms.surgery._rewire import drop_unread, is_constant, stand_in, used_outputs
from onnx_lab.transforms.surgery._shapes import forget_behind, inform
from onnx_lab.transforms.surgery.set_attribute import several

if TYPE_CHECKING:
    import onnx_ir as ir


def remove_node(
    m: Model,
    nodes: str | Iterable[str],
    *,
    keep: int | str | None = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Remove nodes; the consumers of each read its input instead.

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str
        Nodes by name, operator (``Dropout``: all of them), module, or a glob over them; in sub-graphs too.
    keep : int or str, optional
        Which input goes on: its number or its name. Default: the one that is computed, where the others are weights.
    name : str, optional
        Default ``"<name>-remove-node"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are not there, or when it is open which input goes on.
    TransformError
        When a node has several outputs in use, or a consumer would get a shape or a type that it does not take: the
        consumer is named.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.remove_node(lab.samples.tiny(), "Identity").lineage[-1].notes["say"][0]
    'removed Identity first/identity; second/matmul now reads h2'
    """
    wanted = names("nodes", nodes)
    return edited(
        m, "remove_node", lambda g: _remove(g, wanted, keep), options={"nodes": list(wanted), "keep": keep},
        name=name, check=check,
    )  # fmt: skip


def _remove(model: ir.Model, wanted: Sequence[str], keep: int | str | None) -> list[str]:
    found = find(model, "nodes", wanted, everywhere=True)
    inform(model)
    say = [_remove_one(model, node, keep) for node in found]
    return say if len(say) < 5 else [f"removed {several([n.op_type + ' ' + (n.name or '') for n in found])}"]


def _remove_one(model: ir.Model, node: ir.Node, keep: int | str | None) -> str:
    title = f"{node.op_type} {node.name or ''}".strip()
    outs = used_outputs(node)
    if len(outs) > 1:
        raise TransformError(
            f"surgery.remove_node: {title} has {len(outs)} outputs in use: {', '.join(str(o.name) for o in outs)}",
            do="remove what reads all but one of them first",
        )
    source = _source(node, keep, title)
    inputs = [v for v in node.inputs if v is not None]
    readers = ""
    if outs:
        out = outs[0]
        _refuse_type(out, source, title)
        consumers = [n.name or n.op_type for n in out.consumers()]
        readers = f"; {several(consumers)} now read{'s' * (len(consumers) == 1)} {source.name}" if consumers else ""
        same = out.shape is not None and out.shape == source.shape
        if not same:
            forget_behind(model, [out])
        stand_in(node, out, source)
        if not same:
            forget_behind(model, [source])
    graph = node.graph
    if graph is not None:
        graph.remove(node, safe=True)
    drop_unread(inputs)
    return f"removed {title}{readers}"


def _source(node: ir.Node, keep: int | str | None, title: str) -> ir.Value:
    given = [v for v in node.inputs if v is not None]
    if isinstance(keep, int) and 0 <= keep < len(node.inputs) and node.inputs[keep] is not None:
        return node.inputs[keep]  # type: ignore[return-value]
    by_name = {str(v.name): v for v in given}
    if keep is not None:
        if str(keep) in by_name:
            return by_name[str(keep)]
        raise BadInput(
            f"keep={keep!r}: {title} does not read it", accepted=", ".join(by_name) or "nothing: it has no inputs",
            do=did_you_mean(str(keep), by_name) if by_name else "",
        )  # fmt: skip
    computed = [v for v in dict.fromkeys(given) if not is_constant(v)]
    if len(computed) != 1:
        many = f"computes from {', '.join(str(v.name) for v in computed)}" if computed else "reads weights only"
        raise BadInput(f"{title} {many}", accepted="the one that its consumers shall read", do="keep='name' or keep=0")
    return computed[0]


def _refuse_type(out: ir.Value, source: ir.Value, title: str) -> None:
    if out.dtype is None or source.dtype is None or out.dtype == source.dtype:
        return
    readers = [n.name or n.op_type for n in out.consumers()] or ["an output"]
    raise TransformError(
        f"surgery.remove_node: {readers[0]} reads {out.dtype.name.lower()} from {title} and would get "
        f"{source.dtype.name.lower()}",
        do="remove or retype the consumer too, or keep another input",
    )


def plain_code(*, nodes: str | Iterable[str], keep: int | str | None = None) -> str:
    """The plain code of a remove_node step.

    Examples
    --------
    >>> "replace_all_uses_with" in plain_code(nodes="Identity")
    True
    """
    which = (
        f"node.inputs[{keep}]" if isinstance(keep, int)
        else f"next(v for v in node.inputs if v.name == {keep!r})" if keep is not None
        else "next(v for v in node.inputs if v is not None and v.const_value is None)"
    )  # fmt: skip
    return program(
        "remove_node", chosen(names("nodes", nodes)), "for node in chosen:", f"    source = {which}",
        "    if node.outputs[0].is_graph_output() and source.producer() is not None:",
        "        source.name = node.outputs[0].name",
        "    node.outputs[0].replace_all_uses_with(source, replace_graph_outputs=True)",
        "    node.graph.remove(node, safe=True)", "passes.OutputFixPass()(model)",
        imports=[FNMATCH],
    )  # fmt: skip
