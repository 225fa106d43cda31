"""strip_metadata: what a file tells of where it came from, taken out; what is worth keeping, kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab._metadata import NAME_SCOPES_KEY
from onnx_lab.model import LABELS_KEY, SESSION_KEY, Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir

#: Word -> metadata that it keeps.
_KEEPS = {"modules": (NAME_SCOPES_KEY,), "labels": (LABELS_KEY,), "session": (SESSION_KEY,), "producer": ()}


def strip_metadata(
    m: Model,
    keep: str | Iterable[str] = ("labels", "session"),
    *,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Remove doc strings and metadata of the model, its nodes and tensors: source paths, stack traces, module names.

    The lineage is written anew, as in every file of the lab.

    Parameters
    ----------
    m : Model
    keep : str or iterable of str, default ("labels", "session")
        What stays: ``labels`` (class names), ``session`` (what engines must be told), ``modules`` (the user's module at
        each node, which inspect and trace show), ``producer``; or any key of the model's metadata.
    name : str, optional
        Default ``"<name>-strip-metadata"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.strip_metadata(lab.samples.tiny()).header.nodes
    6
    """
    kept = names("keep", keep)
    return edited(
        m,
        "strip_metadata",
        lambda g: _strip(g, _keys(kept), "producer" in kept),
        options={"keep": list(kept)},
        name=name,
        promise="same",
        check=check,
    )


def _keys(kept: Sequence[str]) -> set[str]:
    return {key for word in kept for key in _KEEPS.get(word, (word,))}


def _strip(model: ir.Model, keys: set[str], producer: bool) -> list[str]:
    count = 0
    parts: list[Any] = [model, *model.graphs(), *model.functions.values()]
    nodes = [*model.graph.all_nodes(), *(n for f in model.functions.values() for n in f.all_nodes())]
    values = [v for n in nodes for v in n.outputs]
    values += [v for g in model.graphs() for v in (*g.inputs, *g.initializers.values())]
    for thing in (*parts, *nodes, *values):
        gone = [k for k in thing.metadata_props if k not in keys]
        count += len(gone) + bool(thing.doc_string)
        for key in gone:
            del thing.metadata_props[key]
        thing.doc_string = None
    if not producer:
        model.producer_name = model.producer_version = None
        model.domain = None
    return [f"removed: {count} entries of metadata and doc strings"]


def plain_code(*, keep: str | Sequence[str] = ("labels", "session")) -> str:
    """The plain code of a strip_metadata step.

    Examples
    --------
    >>> print(plain_code(keep="labels").splitlines()[-1])
    ir.save(model, "model-strip-metadata.onnx")
    """
    kept = names("keep", keep)
    lines = [
        f"keep = {sorted(_keys(kept))!r}",
        "for thing in (model, model.graph, *model.graph.all_nodes(), *(v for n in model.graph for v in n.outputs)):",
        "    for key in [k for k in thing.metadata_props if k not in keep]:",
        "        del thing.metadata_props[key]",
        "    thing.doc_string = None",
    ]
    if "producer" not in kept:
        lines.append("model.producer_name = model.producer_version = None")
    return program("strip_metadata", *lines)
