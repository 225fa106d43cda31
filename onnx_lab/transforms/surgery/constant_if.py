"""constant_if: an If whose condition is known becomes the branch that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms.surgery._branches import resolve_all, take
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import nodes as find
from onnx_lab.transforms.surgery._shapes import forget_behind, inform
from onnx_lab.transforms.surgery.drop_dead import sweep

if TYPE_CHECKING:
    import onnx_ir as ir


def constant_if(
    m: Model,
    nodes: str | Iterable[str] | None = None,
    *,
    branch: Literal["then", "else"] | None = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Replace each If whose condition is known by the branch that it takes, and drop the other.

    A condition is known when it is a constant, or computed from constants and from axes of known size: fix the axes
    first, and the Ifs that ask for them go too.

    Parameters
    ----------
    m : Model
    nodes : str or iterable of str, optional
        Only these Ifs, for which `branch` says what to take.
    branch : {"then", "else"}, optional
        Take this branch, whatever the condition says: for one that you know and the graph does not.
    name : str, optional
        Default ``"<name>-constant-if"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For nodes that are no If, or `nodes` without `branch`.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.constant_if(lab.samples.tiny()).lineage[-1].notes["say"][0]
    'the model has no If'
    """
    wanted = None if nodes is None else names("nodes", nodes)
    if (wanted is None) != (branch is None):
        raise BadInput("nodes without branch, or branch without nodes", accepted="both, or neither")
    if branch is not None:
        one_of("branch", branch, ("then", "else"))
    return edited(
        m, "constant_if", lambda g: _resolve(g, wanted, branch),
        options={"nodes": None if wanted is None else list(wanted), "branch": branch}, name=name,
        promise="same" if branch is None else "may differ", check=check,
    )  # fmt: skip


def _resolve(model: ir.Model, wanted: Sequence[str] | None, branch: str | None) -> list[str]:
    inform(model)
    if wanted is not None:
        say = _taken(model, wanted, branch == "then")
    elif not any(n.op_type == "If" for n in model.graph.all_nodes()):
        return ["the model has no If"]
    else:
        told = resolve_all(model)
        say = told.say + told.stay
        say = say if told.say else ["0 Ifs have a condition that is known", *say]
    sweep(model)
    return say


def _taken(model: ir.Model, wanted: Sequence[str], taken: bool) -> list[str]:
    found = find(model, "nodes", wanted, everywhere=True)
    for node in found:
        if node.op_type != "If":
            raise BadInput(f"nodes: {node.name} is a {node.op_type}", accepted="nodes that are an If")
    forget_behind(model, [o for n in found for o in n.outputs])
    return [take(model, node, taken=taken) for node in found]


def plain_code(*, nodes: str | Iterable[str] | None = None, branch: str | None = None) -> str:
    """The plain code of a constant_if step.

    Examples
    --------
    >>> print(plain_code(nodes=["If_0"], branch="then").splitlines()[4])
    wanted = ['If_0']
    """
    if nodes is None:
        lines = ["onnxscript.optimizer.optimize(model)  # folds constants, and with them the Ifs that they decide"]
        return program("constant_if", *lines, imports=["import onnxscript.optimizer"])
    return program(
        "constant_if", f"wanted = {list(names('nodes', nodes))!r}",
        "for node in [n for n in model.graph if n.op_type == 'If' and n.name in wanted]:",
        f"    branch = node.attributes['{branch}_branch'].as_graph()",
        "    outputs, inner = list(branch.outputs), list(branch)",
        "    branch.outputs.clear()",
        "    for weight in list(branch.initializers.values()):",
        "        del branch.initializers[weight.name]",
        "        model.graph.register_initializer(weight)",
        "    branch.remove(inner)",
        "    ir.convenience.replace_nodes_and_values(model.graph, node, [node], inner, node.outputs, outputs)",
        "passes.RemoveUnusedNodesPass()(model)",
        imports=["import onnx_ir.passes.common as passes"],
    )  # fmt: skip
