"""rename: inputs, outputs, tensors inside, weights and nodes by other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir


def rename(
    m: Model, old: str | Mapping[str, str], new: str | None = None, *, name: str | None = None, check: bool = True
) -> Model:
    """Give tensors or nodes other names: inputs and outputs too, as whoever calls the model wants them.

    Parameters
    ----------
    m : Model
    old : str or mapping of str to str
        The name of an input, an output, a tensor inside, a weight or a node; or old names to new ones, several at once,
        which may change places.
    new : str, optional
        The new name, where `old` is one.
    name : str, optional
        Of the Model. Default ``"<name>-rename"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a name that the graph does not have, or a new one that another tensor bears.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.rename(lab.samples.tiny(), {"x": "pixels", "logits": "scores"})
    >>> m.inputs[0].name, m.outputs[0].name
    ('pixels', 'scores')
    """
    to = _pairs(old, new)

    def fed(feeds: Feeds) -> Feeds:
        return {to.get(k, k): v for k, v in feeds.items()}

    return edited(
        m, "rename", lambda g: _rename(g, to), options={"old": dict(to)}, name=name, promise="same", check=check,
        translate=fed, called=to,
    )  # fmt: skip


def _pairs(old: str | Mapping[str, str], new: str | None) -> dict[str, str]:
    if isinstance(old, Mapping):
        to = dict(old)
    elif new is None:
        raise BadInput(f"rename {old!r}: to what?", accepted='"old", "new", or {"old": "new"}')
    else:
        to = {old: new}
    for word in to.values():
        if not isinstance(word, str) or not word:
            raise BadInput(f"the new name {word!r}", accepted="text that is not empty")
    if len(set(to.values())) < len(to):
        raise BadInput(f"two new names are the same: {', '.join(to.values())}", accepted="another name for each")
    return to


def _rename(model: ir.Model, to: Mapping[str, str]) -> list[str]:
    import onnx_ir as ir

    graph = model.graph
    values = ir.convenience.create_value_mapping(graph)
    nodes = {n.name: n for n in graph.all_nodes() if n.name}
    for old in to:
        if old not in values and old not in nodes:
            near = did_you_mean(old, [*values, *nodes])
            raise BadInput(
                f"nothing is called {old!r}",
                accepted="an input, an output, a tensor inside, a weight or a node",
                do=near if near.startswith("did") else "lab.inspect(m) shows names",
            )
    tensors = {old: new for old, new in to.items() if old in values}
    taken = [new for new in tensors.values() if new in values and new not in tensors]
    taken += [new for old, new in to.items() if old not in values and new in nodes and new not in to]
    if taken:
        raise BadInput(f"{taken[0]!r} is the name of something else", accepted="a name that is free",
                       do=f"rename that one first, or both at once: {{{taken[0]!r}: ...}}")  # fmt: skip
    ir.convenience.rename_values([values[o] for o in tensors], list(tensors.values()))
    for old, new in to.items():
        if old not in values:
            nodes[old].name = new
    return ["renamed: " + ", ".join(f"{old} → {new}" for old, new in to.items())]


def plain_code(*, old: str | Mapping[str, str], new: str | None = None) -> str:
    """The plain code of a rename step.

    Examples
    --------
    >>> print(plain_code(old="x", new="pixels").splitlines()[-1])
    ir.save(model, "model-rename.onnx")
    """
    return program(
        "rename",
        f"names = {_pairs(old, new)!r}",
        "values = ir.convenience.create_value_mapping(model.graph)",
        "nodes = {node.name: node for node in model.graph.all_nodes()}",
        "tensors = {old: new for old, new in names.items() if old in values}",
        "ir.convenience.rename_values([values[old] for old in tensors], list(tensors.values()))",
        "for old in names.keys() - tensors.keys():",
        "    nodes[old].name = names[old]",
    )
