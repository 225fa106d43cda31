"""What flows inside a model: any of its tensors, batch by batch, without holding more of them than a stated cap.

Calibration, mixed precision and tracing all read their activations here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onnx_lab import workspace
from onnx_lab._in_place import let_go_of_pages
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.runtime._gates import Gates, gated
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[np.generic]

#: So few tensors are all outputs of the session; more get gates, so that it holds no more than what is asked for.
_FEW = 8


#: How sessions are opened. Optimizing would change the order in which gates let go of what they read.
_GATED = {"graph_optimization_level": "disable", "lean": True}
_PLAIN = {"graph_optimization_level": "basic"}


class Tap:
    """A model in a child process that answers with its inner tensors; see `tapped`."""

    def __init__(
        self, worker: Worker, given: Sequence[str], tensors: Sequence[str], gates: Gates, cap_bytes: int
    ) -> None:
        self._worker, self._given, self._tensors, self._gates = worker, given, tensors, gates
        self._cap_bytes = cap_bytes
        self._sizes: dict[tuple[object, ...], dict[str, int]] = {}  # of each tensor, by the shapes that are fed

    @property
    def peak_rss_bytes(self) -> int:
        """Largest resident memory of the child so far."""
        return self._worker.peak_rss_bytes

    def sizes(self, feeds: Feeds) -> dict[str, int]:
        """Bytes of each tensor for one batch; what nothing is known of beforehand is left out."""
        fed = tuple((k, v.shape) for k, v in feeds.items())
        if fed not in self._sizes:
            shapes = list(self._gates.shapes.values())
            answers = self._worker.run(self._gates.feeds(feeds, ()), outputs=shapes) if shapes else {}
            self._sizes[fed] = self._gates.sizes(answers)
        return self._sizes[fed]

    def fetch(self, feeds: Feeds, names: Sequence[str]) -> dict[str, Array]:
        """The values of these tensors for one batch, in one run."""
        given = {n: feeds[n] for n in names if n in self._given}  # no engine is needed for these
        inner = list(dict.fromkeys(n for n in names if n not in given))
        if not inner:
            return given
        answers = self._worker.run(self._gates.feeds(feeds, inner), outputs=self._gates.asked(inner))
        return {**given, **self._gates.values(inner, answers)}

    def read(self, feeds: Feeds) -> Iterator[tuple[str, Array]]:
        """Name and value of each tensor for one batch: graph inputs first, then the others as they were asked for.

        The model runs once for each group of tensors that fits under the cap, and once to learn their sizes; a single
        tensor larger than the cap is a group of its own.
        """
        yield from ((name, feeds[name]) for name in self._given)
        for group in grouped(self._tensors, self.sizes(feeds) if self._tensors else {}, self._cap_bytes):
            values = self.fetch(feeds, group)
            for name in group:
                yield name, values.pop(name)

    def batches(self, data: Iterable[Feeds]) -> Iterator[tuple[str, Array]]:
        """`read` for every batch of a dataset."""
        for feeds in data:
            yield from self.read(feeds)


def grouped(names: Sequence[str], sizes: Mapping[str, int], cap_bytes: int) -> list[list[str]]:
    """`names` in order, in groups that fit under the cap; what is larger is a group of its own.

    Examples
    --------
    >>> grouped("abc", {"a": 6, "b": 5, "c": 5}, 10)
    [['a'], ['b', 'c']]
    """
    groups: list[list[str]] = []
    held = 0
    for name in names:
        size = sizes.get(name, 0)
        if not groups or (groups[-1] and held + size > cap_bytes):
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += size
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
    inputs = {v.name for v in graph.graph.inputs}
    given = [t for t in dict.fromkeys(tensors) if t in inputs]
    inner = [t for t in dict.fromkeys(tensors) if t not in inputs]
    _check(graph, inner)
    with workspace.scratch() as folder:
        gates = _save(graph, inner, folder / "tapped.onnx")
        m = workspace.open_model(folder / "tapped.onnx")
        with Worker.for_model(m, Target(threads=threads), hints=_GATED if gates.places else _PLAIN) as worker:
            yield Tap(worker, given, inner, gates, cap_bytes)


def _save(graph: ir.Model, names: Sequence[str], path: Path) -> Gates:
    """Write `graph` with these tensors as outputs, through gates where they are many."""
    import onnx_ir as ir

    if len(names) > _FEW:
        copy, gates = gated(graph, names)
    else:
        copy, gates = graph.clone(), Gates(outputs={n: n for n in names})
        known = {v.name: v for node in copy.graph for v in node.outputs}
        copy.graph.outputs.extend(known[n] for n in names if known[n] not in copy.graph.outputs)
    # weights beside the graph, tensor by tensor: in one protobuf they would be in memory three times
    ir.save(copy, path, external_data=f"{path.name}.data")
    let_go_of_pages(graph)
    return gates


def _check(graph: ir.Model, names: Sequence[str]) -> None:
    known = {v.name or "" for node in graph.graph for v in node.outputs}
    for name in names:
        if name not in known:
            raise BadInput(f"no tensor {name!r} in the graph", do=did_you_mean(name, known))
