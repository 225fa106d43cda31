"""drop_dead: what no output is computed from goes: nodes, weights, functions, branches that are never taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx_lab.card import megabytes
from onnx_lab.model import Model
from onnx_lab.transforms.surgery._branches import resolve_all
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._shapes import inform

if TYPE_CHECKING:
    import onnx_ir as ir


def drop_dead(m: Model, *, name: str | None = None, check: bool = True) -> Model:
    """Drop all that no output needs: nodes, weights, functions, opsets, branches that are never taken.

    Inputs that nothing reads stay, since callers feed them; the card names them.

    Parameters
    ----------
    m : Model
    name : str, optional
        Default ``"<name>-drop-dead"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    TransformError
        When the answers would not be the same.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.drop_dead(lab.samples.tiny()).lineage[-1].notes["say"][0]
    'nothing is dead: each of 6 nodes and 4 weights leads to an output'
    """
    return edited(m, "drop_dead", _drop, options={}, name=name, promise="same", check=check)


def _drop(model: ir.Model) -> list[str]:
    inform(model)
    before = _holdings(model)
    weights = _weights(model)
    say = resolve_all(model).say
    sweep(model)
    after = _holdings(model)
    gone = before - after
    lost = weights.keys() - _weights(model).keys()
    if gone:
        say.append(f"dead nodes: {_listed(gone)}")
    if lost:
        say.append(f"dead weights: {len(lost)} of {megabytes(sum(weights[k] for k in lost))}")
    if not say:
        say = [f"nothing is dead: each of {sum(before.values())} nodes and {len(weights)} weights leads to an output"]
    return say + _unread(model)


def sweep(model: ir.Model) -> None:
    """Remove nodes, weights, functions and opsets that nothing uses, in place; weights of sub-graphs too."""
    from onnx_ir.passes.common import RemoveUnusedFunctionsPass, RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

    count = -1
    while count != (count := sum(1 for _ in model.graph.all_nodes())):
        RemoveUnusedNodesPass()(model)
        for graph in model.graphs():
            for key, value in list(graph.initializers.items()):
                if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                    del graph.initializers[key]
    RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]
    RemoveUnusedOpsetsPass()(model)


def _holdings(model: ir.Model) -> Counter[str]:
    functions = Counter("function " + f.name for f in model.functions.values())
    return Counter(n.op_type for n in model.graph.all_nodes()) + functions


def _weights(model: ir.Model) -> dict[tuple[int, str], int]:
    return {
        (i, k): v.const_value.nbytes if v.const_value is not None else 0
        for i, g in enumerate(model.graphs()) for k, v in g.initializers.items()
    }  # fmt: skip


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {op}" for op, n in counts.most_common())


def _unread(model: ir.Model) -> list[str]:
    idle: Sequence[str] = [str(v.name) for v in model.graph.inputs if not v.uses() and not v.is_graph_output()]
    return [f"read by nothing, and kept: input{'s' * (len(idle) > 1)} {', '.join(idle)}"] if idle else []


def plain_code() -> str:
    """The plain code of a drop_dead step.

    Examples
    --------
    >>> "RemoveUnusedNodesPass" in plain_code()
    True
    """
    return program(
        "drop_dead", "passes.RemoveUnusedNodesPass()(model)", "passes.RemoveUnusedFunctionsPass()(model)",
        "passes.RemoveUnusedOpsetsPass()(model)",
    )  # fmt: skip
