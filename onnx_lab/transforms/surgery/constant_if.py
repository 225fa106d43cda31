"""constant_if: an If whose condition is known becomes the branch that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

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
    notes: dict[str, Any] = {"taken": []}
    return edited(
        m, "constant_if", lambda g: _resolve(g, wanted, branch, notes),
        options={"nodes": None if wanted is None else list(wanted), "branch": branch}, name=name,
        promise="same" if branch is None else "may differ", check=check, notes=notes,
    )  # fmt: skip


def _resolve(model: ir.Model, wanted: Sequence[str] | None, branch: str | None, notes: dict[str, Any]) -> list[str]:
    inform(model)
    if wanted is not None:
        say = _taken(model, wanted, str(branch), notes)
    elif not any(n.op_type == "If" for n in model.graph.all_nodes()):
        return ["the model has no If"]
    else:
        told = resolve_all(model)
        notes["taken"] = [list(t) for t in told.taken]
        say = told.say + told.stay
        say = say if told.say else ["0 Ifs have a condition that is known", *say]
    sweep(model)
    return say


def _taken(model: ir.Model, wanted: Sequence[str], branch: str, notes: dict[str, Any]) -> list[str]:
    found = find(model, "nodes", wanted, everywhere=True)
    for node in found:
        if node.op_type != "If":
            raise BadInput(f"nodes: {node.name} is a {node.op_type}", accepted="nodes that are an If")
    forget_behind(model, [o for n in found for o in n.outputs])
    notes["taken"] = [[str(n.outputs[0].name), branch] for n in found]
    return [take(model, node, taken=branch == "then") for node in found]


#: What the plain code needs beside the options: the output of each If that went, and its branch.
FOUND = ("taken",)


def plain_code(*, taken: Sequence[Sequence[str]] = (), nodes: object = None, branch: str | None = None) -> str:
    """The plain code of a constant_if step.

    Examples
    --------
    >>> print(plain_code(taken=[["y", "then"]]).splitlines()[4])
    taken = [('y', 'then')]  # the output of each If, and the branch that its condition takes
    """
    why = "the branch that its condition takes" if branch is None else f"the branch that was chosen for {nodes}"
    return program(
        "constant_if", f"taken = {[tuple(t) for t in taken]!r}  # the output of each If, and {why}",
        "for name, word in taken:",
        "    node = next(n for n in model.graph.all_nodes() if n.outputs[0].name == name)",
        "    branch = node.attributes[f'{word}_branch'].as_graph()",
        "    dead = node.attributes['else_branch' if word == 'then' else 'then_branch'].as_graph()",
        "    outputs, inner = list(branch.outputs), list(branch)",
        "    branch.outputs.clear()",
        "    for weight in list(branch.initializers.values()):",
        "        del branch.initializers[weight.name]",
        "        model.graph.register_initializer(weight)",
        "    branch.remove(inner)",
        "    ir.convenience.replace_nodes_and_values(node.graph, node, [node], inner, node.outputs, outputs)",
        "    for lost in list(dead.all_nodes()):  # it reads nothing any more",
        "        for i in range(len(lost.inputs)):",
        "            lost.replace_input_with(i, None)",
        "passes.RemoveUnusedNodesPass()(model)",
    )  # fmt: skip
