"""The proof of an edit: the graph before and the graph after answer the same feeds alike, in an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab import workspace
from onnx_lab.errors import TransformError
from onnx_lab.feeds import model_feeds
from onnx_lab.produce import write_ir
from onnx_lab.runtime.client import Worker
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.model import Model

#: Of an output's largest value: what rounding in another order leaves in float32.
TOLERANCE = 1e-5


def trials(m: Model, axes: Mapping[str, int], *, batch: int, seq: int) -> list[Feeds]:
    """Two batches of random feeds at this size; in the second the end of every text is padding, where there is a mask.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> [t["x"].shape for t in trials(lab.samples.tiny(), {}, batch=3, seq=8)]
    [(3, 8), (3, 8)]
    """
    first, second = (model_feeds(m, batch=batch, seq=seq, seed=s, axes=axes) for s in (1, 2))
    for name, mask in second.items():
        if "mask" in name.lower() and mask.ndim == 2 and mask.shape[1] > 1:
            mask[:, -(mask.shape[1] // 3 or 1) :] = 0
    return [first, second]


def answers(m: Model, feeds: Iterable[Feeds]) -> list[dict[str, npt.NDArray[np.generic]]]:
    """What `m` answers on the CPU, in a child process that ends with it."""
    with Worker.for_model(m) as worker:
        return [worker.run(f) for f in feeds]


def prove(expected: list[dict[str, npt.NDArray[np.generic]]], after: ir.Model, feeds: list[Feeds], verb: str) -> float:
    """Run `after` on `feeds` and hold its answers against `expected`; the largest difference, of the largest value.

    Raises
    ------
    TransformError
        When one differs by more than `TOLERANCE` (half precision: 16 of its own units), in shape, or in type.
    """
    worst = 0.0
    with workspace.scratch() as folder:
        write_ir(after, folder / "after.onnx")
        given = answers(workspace.open_model(folder / "after.onnx"), feeds)
    for wanted, got in zip(expected, given, strict=True):
        for name, value in wanted.items():
            distance = difference(value, got[name])
            if not distance <= _allowed(value):
                raise TransformError(
                    f"{verb}: output {name!r} would differ from the original's by {distance:.2g} of its largest value",
                    accepted=f"{_allowed(value):.0e}",
                    do="report this graph: the step was not made",
                )
            worst = max(worst, distance)
    return worst


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Largest absolute difference, relative to the largest value where that is above 1; infinite for other shapes.

    Examples
    --------
    >>> difference(np.array([2.0, 4.0]), np.array([2.0, 4.4]))
    0.1
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.dtype.kind not in "fc":
        return 0.0 if np.array_equal(a, b) else float("inf")
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    x, y = (np.nan_to_num(v.astype(np.float64)) for v in (a, b))
    if not x.size:
        return 0.0
    return round(float(np.abs(x - y).max() / max(1.0, np.abs(x).max())), 12)


def _allowed(value: npt.NDArray[Any]) -> float:
    own = 16 * float(np.finfo(value.dtype).eps) if value.dtype.kind == "f" else 0.0
    return max(TOLERANCE, own) if value.dtype.kind == "f" else 0.0
