"""What flows inside a model: any of its tensors, batch by batch, without holding more of them than a stated cap.

Calibration, mixed precision and tracing all read their activations here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnx_lab import workspace
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]

#: Tensors fetched at once as long as nothing is known of their sizes.
_FIRST_GROUP = 8


class Tap:
    """A model in a child process that answers with its inner tensors; see `tapped`."""

    def __init__(self, worker: Worker, given: Sequence[str], tensors: Sequence[str], cap_bytes: int) -> None:
        self._worker, self._given, self._tensors, self._cap_bytes = worker, given, tensors, cap_bytes
        self._bytes: dict[str, int] = {}  # of each tensor, at the largest batch so far

    @property
    def peak_rss_bytes(self) -> int:
        """Largest resident memory of the child so far."""
        return self._worker.peak_rss_bytes

    def read(self, feeds: Feeds) -> Iterator[tuple[str, Array]]:
        """Name and value of each tensor for one batch: graph inputs first, then the others as they were asked for.

        The model runs once for each group of tensors that fits under the cap; a single tensor larger than the cap is a
        group of its own.
        """
        yield from ((name, feeds[name]) for name in self._given)  # no engine is needed for these
        for group in self._groups():
            for name, value in self._worker.run(feeds, outputs=group).items():
                self._bytes[name] = max(self._bytes.get(name, 0), value.nbytes)
                yield name, value

    def batches(self, data: Iterable[Feeds]) -> Iterator[tuple[str, Array]]:
        """`read` for every batch of a dataset."""
        for feeds in data:
            yield from self.read(feeds)

    def _groups(self) -> list[list[str]]:
        if len(self._bytes) < len(self._tensors) or not self._tensors:
            return [list(self._tensors[i : i + _FIRST_GROUP]) for i in range(0, len(self._tensors), _FIRST_GROUP)]
        groups: list[list[str]] = [[]]
        held = 0
        for name in self._tensors:
            if groups[-1] and held + self._bytes[name] > self._cap_bytes:
                groups.append([])
                held = 0
            groups[-1].append(name)
            held += self._bytes[name]
        return groups


@contextmanager
def tapped(
    graph: ir.Model, tensors: Sequence[str], *, cap_bytes: int = 256_000_000, threads: int | None = None
) -> Iterator[Tap]:
    """Open `graph` on the CPU with `tensors` to be read; the graph itself is not changed.

    Parameters
    ----------
    graph : onnx_ir.Model
        Named values throughout (``NameFixPass``).
    tensors : sequence of str
        Names of values in the main graph: outputs of nodes, or graph inputs.
    cap_bytes : int, default 256 MB
        At most this much is fetched from the child at once.
    threads : int, optional
        Default: what the container allows.

    Raises
    ------
    BadInput
        For a name that the graph does not have.
    BadModel, WorkerError
        When the model does not run.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> graph = lab.samples.tiny().to_ir()
    >>> hidden = graph.graph.node(0).outputs[0].name
    >>> with tapped(graph, [hidden]) as tap:
    ...     [(name == hidden, value.shape) for name, value in tap.read({"x": np.zeros((2, 8), np.float32)})]
    [(True, (2, 16))]
    """
    import onnx_ir as ir

    inputs = {v.name for v in graph.graph.inputs}
    given = [t for t in dict.fromkeys(tensors) if t in inputs]
    inner = [t for t in dict.fromkeys(tensors) if t not in inputs]
    outputs = list(graph.graph.outputs)
    added = [v for v in _values(graph, inner) if v not in outputs]
    with workspace.scratch() as folder:
        graph.graph.outputs.extend(added)
        try:
            # weights beside the graph, tensor by tensor: in one protobuf they would be in memory three times
            ir.save(graph, folder / "tapped.onnx", external_data="tapped.onnx.data")
        finally:
            graph.graph.outputs[len(outputs) :] = []  # a plain del would leave the values marked as outputs
        m = workspace.open_model(folder / "tapped.onnx")
        with Worker.for_model(m, Target(threads=threads), hints={"graph_optimization_level": "basic"}) as worker:
            yield Tap(worker, given, inner, cap_bytes)


def _values(graph: ir.Model, names: Sequence[str]) -> list[ir.Value]:
    known = {v.name or "": v for node in graph.graph for v in node.outputs}
    for name in names:
        if name not in known:
            raise BadInput(f"no tensor {name!r} in the graph", do=did_you_mean(name, known))
    return [known[name] for name in names]
