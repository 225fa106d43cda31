"""The reading of a trace: both sides in step, group by group under the cap; what is counted is let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onnx_lab.measure._differences import Sums
from onnx_lab.measure._match import Array, Pair
from onnx_lab.measure._sides import Side
from onnx_lab.runtime.activations import grouped
from onnx_lab.task import Feeds


class Reading:
    """Counts tensor by tensor, group by group, and keeps none."""

    def __init__(
        self,
        found: Sequence[Pair],
        cap_bytes: int,
        rtol: float,
        stop: bool,
        progress: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._pairs = {f"{p.a}\n{p.b}": p for p in found}
        self._rtol, self._stop, self._progress = rtol, stop, progress
        self.cap_bytes = cap_bytes // 2  # each group is held by the engines and, once more, here
        self.sums = {key: Sums() for key in self._pairs}
        self.samples, self.over = 0, False

    def read(self, one: Side, other: Side, feeds: Feeds) -> None:
        """One batch."""
        self.samples += len(next(iter(feeds.values())))
        left, right = one.sizes(feeds), other.sizes(feeds)
        sizes = {k: left.get(p.a, right.get(p.b, 0)) + right.get(p.b, 0) for k, p in self._pairs.items()}
        done = 0
        for group in grouped(list(self._pairs), sizes, self.cap_bytes):
            both = [self._pairs[k] for k in group]
            xs, ys = one.fetch(feeds, [p.a for p in both]), other.fetch(feeds, [p.b for p in both])
            for key, p in zip(group, both, strict=True):
                done += 1
                self._count(key, p, xs.get(p.a), ys[p.b], feeds, done)
                if self.over:
                    return
            del xs, ys  # before the next ones come

    def _count(self, key: str, p: Pair, x: Array | None, y: Array, feeds: Feeds, done: int) -> None:
        if self._progress:
            of = len(self._pairs)
            state = f"{p.b}, tensor {done} of {of}, {self.samples} samples"
            self._progress({"kind": "tracing", "done": done, "of": of, "state": state})
        if key not in self.sums:
            return
        y = p.scale.floats(y) if p.scale else y
        if x is None or x.shape != y.shape or x.dtype.kind != "f" or y.dtype.kind != "f":
            del self.sums[key]  # numbers of the same shape are counted; anything else is no comparison and goes
            return
        self.sums[key].add(*_shown(x, y, feeds))
        # of what leaves a module, one is its output: which one is known at the end
        sure = p.how != "module"
        self.over = self._stop and sure and (self.sums[key].error > self._rtol or bool(self.sums[key].bad))


def _shown(x: Array, y: Array, feeds: Feeds) -> tuple[Array, Array]:
    """Without the positions that nobody reads."""
    mask = feeds.get("attention_mask")
    if mask is not None and x.ndim > 2 and x.shape[:2] == mask.shape:
        shown = mask.astype(bool)
        return x[shown], y[shown]
    return x, y
