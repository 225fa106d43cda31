"""Nodes named by the caller: by node name, by glob, or by the module of theirs that the nodes came from."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from onnx_lab._metadata import lies_in, module_of
from onnx_lab.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    import onnx_ir as ir


def select_nodes(model: ir.Model, option: str, wanted: Iterable[str]) -> list[str]:
    """Names of the nodes of the main graph that `wanted` means, in graph order.

    Each word is a node name, a glob over node names and modules (``*.layer.0.*``), or a module
    (``bert.encoder.layer.0`` means all nodes in it).

    Raises
    ------
    BadInput
        For a word that means no node.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> select_nodes(lab.samples.tiny().to_ir(), "block_nodes", ["second/*"])
    ['second/matmul', 'second/add']
    """
    nodes = [(n.name or "", module_of(n)) for n in model.graph]
    chosen: set[str] = set()
    for word in wanted:
        found = {name for name, module in nodes if _means(word, name, module)}
        if not found:
            known = sorted({m for _, m in nodes if m} | {n for n, _ in nodes if n})
            raise BadInput(
                f"{option}: {word!r} is no node and no module of this model",
                accepted="node names, modules, or globs over them, e.g. '*.layer.0.*'",
                do=did_you_mean(word, known) if len(known) < 40 else _nearest(word, known),
            )
        chosen |= found
    return [name for name, _ in nodes if name in chosen]


def _means(word: str, name: str, module: str) -> bool:
    return word == name or fnmatchcase(name, word) or lies_in(module, word)


def _nearest(word: str, known: list[str]) -> str:
    hint = did_you_mean(word, known)
    return hint if hint.startswith("did") else "lab.inspect(m) lists the modules"
