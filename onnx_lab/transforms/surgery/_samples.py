"""The proof of a free batch: run at 1, 3 and 8 samples, and held against the original sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab import workspace
from onnx_lab.errors import OnnxLabError, TransformError
from onnx_lab.feeds import model_feeds
from onnx_lab.produce import write_ir
from onnx_lab.transforms import _proof

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.model import Model
    from onnx_lab.task import Feeds

#: Of an output's largest value: other batches may take other kernels.
_SAME = 1e-4
_SEQ = 16
SIZES = (1, 3, 8)


def prove(m: Model, after: ir.Model, *, edit: str, batch: int, axes: Mapping[tuple[str, int], str],
          sizes: Sequence[int] = SIZES, others: Mapping[str, int] | None = None) -> list[str]:  # fmt: skip
    """Run both; what came of it, in sentences.

    Parameters
    ----------
    m : Model
        The original: `batch` samples at a time.
    after : ir.Model
        Takes any of `sizes`.
    axes : mapping of (str, int) to str
        Inputs that hold samples and their axis; the axis' name.
    others : mapping of str to int, optional
        Sizes of other axes that are free now, by name.

    Raises
    ------
    TransformError
        When the result does not run where the original does, or a sample's answer differs.
    """
    whole = -(-max(sizes) // batch) * batch
    with workspace.scratch() as folder:
        write_ir(after, folder / "after.onnx")
        made = workspace.open_model(folder / "after.onnx")
        dims = dict.fromkeys(axes.values(), whole)
        feeds = model_feeds(made, batch=whole, seq=_SEQ, seed=3, axes={**dims, **(others or {})})
        for name, axis in axes:
            _fill(feeds, name, axis, whole)
        try:
            chunks = _proof.answers(m, [_part(feeds, axes, i, i + batch) for i in range(0, whole, batch)])
        except OnnxLabError as e:
            return [f"not proven: {m.name} does not run on random feeds ({e.came.splitlines()[0]})"]
        try:
            given = _proof.answers(made, [_part(feeds, axes, 0, s) for s in sizes])
        except OnnxLabError as e:
            raise TransformError(f"surgery.{edit}: the result does not run: {e.came.splitlines()[0]}") from None
    worst = 0.0
    for size, answer in zip(sizes, given, strict=True):
        for name, value in answer.items():
            wanted = _expected([c[name] for c in chunks], value, size, whole)
            distance = float("inf") if wanted is None else _proof.difference(wanted, value)
            if not distance <= _SAME:
                raise TransformError(
                    f"surgery.{edit}: at batch {size} output {name!r} {_told(distance, value, wanted)}",
                    accepted=f"a difference of {_SAME:.0e} at most, sample by sample",
                    do="a graph that mixes the samples of a batch cannot be freed; check=False writes it all the same",
                )
            worst = max(worst, distance)
    if len(sizes) > 1:
        _settle(after, sizes, given, next(iter(axes.values())))
    told = ", ".join(map(str, sizes[:-1])) + (" and " if len(sizes) > 1 else "") + str(sizes[-1])
    return [f"run at batch {told}: each sample as {m.name} answers it (largest difference {worst:.1g})"]


def _settle(after: ir.Model, sizes: Sequence[int], given: Sequence[Mapping[str, Any]], name: str) -> None:
    """Where a run shows that an output's axis follows the batch, and inference said a number: the run is right."""
    import onnx_ir as ir

    for value in after.graph.outputs:
        seen = [answer[value.name or ""].shape for answer in given]
        said: list[Any] = list(value.shape) if value.shape is not None else []
        if len(said) != len(seen[0]):
            said = [None] * len(seen[0])
        for axis, dim in enumerate(said):
            here = [shape[axis] for shape in seen]
            if len(set(here)) > 1 and (isinstance(dim, int) or getattr(dim, "value", None) is None):
                said[axis] = name if here == list(sizes) else None
        value.shape = ir.Shape(said)


def _told(distance: float, value: Any, wanted: Any) -> str:
    if wanted is None or wanted.shape != value.shape:
        return f"has the shape {list(value.shape)}" + (
            "" if wanted is None else f", where {list(wanted.shape)} is right"
        )
    return f"differs by {distance:.2g} of its largest value"


def _fill(feeds: Feeds, name: str, axis: int, whole: int) -> None:
    """An input whose own axis is fixed: its one row for all."""
    value = feeds[name]
    if value.shape[axis] != whole:
        feeds[name] = np.resize(value, (*value.shape[:axis], whole, *value.shape[axis + 1 :]))


def _part(feeds: Feeds, axes: Mapping[tuple[str, int], str], start: int, end: int) -> Feeds:
    out = dict(feeds)
    for name, axis in axes:
        out[name] = np.ascontiguousarray(feeds[name].take(range(start, end), axis))
    return out


def _expected(chunks: list[Any], value: Any, size: int, whole: int) -> Any:
    """The original's answers for the first `size` samples, along the axis on which they must lie."""
    first = chunks[0]
    if first.ndim != value.ndim:
        return None
    for axis in range(first.ndim):
        joined = sum(c.shape[axis] for c in chunks)
        if joined % whole == 0 and value.shape[axis] == joined // whole * size and _others_agree(first, value, axis):
            together = np.concatenate(chunks, axis)
            return together.take(range(value.shape[axis]), axis)
    same = all(np.array_equal(c, first) for c in chunks)
    return first if same else None


def _others_agree(first: Any, value: Any, axis: int) -> bool:
    return all(a == b for i, (a, b) in enumerate(zip(first.shape, value.shape, strict=True)) if i != axis)
