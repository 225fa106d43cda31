"""The two that a trace holds against each other: an ONNX file, or the PyTorch module that one was exported from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Union

from onnx_lab._a_model import not_a_model
from onnx_lab.errors import BadInput
from onnx_lab.measure._match import Array, Pair, leaving
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.keras_models import as_torch
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

#: What a trace takes first: a Model, or the PyTorch (or Keras, on torch) module that the other was exported from.
Source = Union[Model, "torch.nn.Module"]
#: Of the tensors that leave a module, so many of the last may be what it returns.
_CANDIDATES = 3


class Side(Protocol):
    """Whoever answers with inner tensors; `onnx_lab.runtime.activations.Tap` is one."""

    def sizes(self, feeds: Feeds) -> dict[str, int]:
        """Bytes of each tensor, as far as they are known beforehand."""
        ...

    def fetch(self, feeds: Feeds, names: Sequence[str]) -> dict[str, Array]:
        """The values of these for one batch."""
        ...


class _Heard:
    """A PyTorch module in a child process, whose own modules are heard by forward hooks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def sizes(self, feeds: Feeds) -> dict[str, int]:
        del feeds  # the file says how large they are: what has another shape is not compared
        return {}

    def fetch(self, feeds: Feeds, names: Sequence[str]) -> dict[str, Array]:
        return self._worker.run(feeds, outputs=list(dict.fromkeys(names)))


@contextmanager
def heard(source: Any) -> Iterator[Side]:
    """`source` as a side: names are those of its modules."""
    with Worker.for_torch(source) as worker:
        yield _Heard(worker)


def source_pairs(source: Any, b: ir.Model) -> list[Pair]:
    """Each module of `source`, and what leaves it in the file: several where one cannot tell which it returns.

    Raises
    ------
    BadInput
        When `source` is no module, or the file knows nothing of its modules.
    """
    if not callable(getattr(source, "state_dict", None)) and not hasattr(source, "get_config"):
        raise not_a_model(source, accepted="a Model, or the PyTorch module that the other was exported from")
    out = leaving(b)
    inner_first = sorted((n for n, _ in as_torch(source).named_modules() if n), key=lambda n: -n.count("."))
    found: dict[str, list[Pair]] = {}
    for module in inner_first:
        for tensor in out.get(module, [])[-_CANDIDATES:]:
            # the last tensor of a layer is that of its last part, too: it is asked for once
            found.setdefault(tensor, []).append(Pair(module, tensor, "module", module))
    if not found:
        raise BadInput(
            f"no node of the file says which module of the {type(source).__name__} it comes from",
            accepted="a file that lab.export or torch.onnx.export made of this module",
            do="lab.trace(lab.export(module), file, feeds)",
        )
    order = [v.name or "" for node in b.graph for v in node.outputs]
    return [p for name in order for p in found.get(name, ())]
