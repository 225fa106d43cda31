"""The ranges of a model's inner tensors on real data: read batch by batch, kept as two numbers or one histogram each.

onnxruntime's own calibrators hold every tensor of every batch until the last one has run. Here a batch is forgotten as
soon as its numbers are counted; the counting itself, and what is made of the histograms, is onnxruntime's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab._progress import counted
from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, missing
from onnx_lab.runtime.activations import tapped

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset

#: Method -> bins at the start, and at most. onnxruntime begins entropy with 128, which leaves it nothing to choose
#: from when all is said in the first batch; its time grows with the square of the bins.
BINS = {"entropy": (512, 1024), "percentile": (2048, 8192), "distribution": (2048, 8192)}
METHODS = ("minmax", *BINS)
#: A range beyond this is no activation but a mask ("minus infinity" in float32).
_MASK_FROM = 1e30

Floats = npt.NDArray[np.float32]


@dataclass
class Seen:
    """What came by of one tensor."""

    lowest: float = np.inf
    highest: float = -np.inf
    endless: int = 0  # values that are infinite or NaN


@dataclass
class Ranges:
    """What calibration found.

    Attributes
    ----------
    ranges : dict
        Tensor -> lowest and highest value to be represented.
    seen : dict
        Tensor -> what came by of it.
    batches : int
        How many were run.
    """

    ranges: dict[str, tuple[float, float]]
    seen: dict[str, Seen] = field(default_factory=dict)
    batches: int = 0

    def say(self) -> list[str]:
        """Sentences on ranges that look wrong."""
        never = [t for t, s in self.seen.items() if s.lowest > s.highest]
        still = [t for t, s in self.seen.items() if s.lowest == s.highest == 0]
        huge = [t for t, s in self.seen.items() if max(abs(s.lowest), abs(s.highest)) > _MASK_FROM and t not in never]
        endless = [t for t, s in self.seen.items() if s.endless and t not in never]
        found = [
            (never, "no finite value was ever seen"),
            (still, "always zero in this data"),
            (huge, "as large as a mask, so that 8 bits hold nothing else: leave its nodes out"),
            (endless, "infinite or NaN now and then, which was not counted"),
        ]
        return [f"suspicious range: {_few(names)}: {why}" for names, why in found if names]


def calibrate(
    graph: ir.Model, tensors: Sequence[str], data: Dataset, *, method: str, percentile: float, cap_bytes: int
) -> Ranges:
    """Run `data` through `graph` and find the range of each of `tensors`.

    Parameters
    ----------
    graph : onnx_ir.Model
        Named values throughout; not changed.
    tensors : sequence of str
        Those that turn out not to be float32 are left out of the result.
    data : dataset
    method : str
        One of `METHODS`.
    percentile : float
        For ``"percentile"``: the share of values, in percent, that the range holds; half of the rest is cut each side.
    cap_bytes : int
        At most this much is held of one batch's inner tensors.

    Raises
    ------
    BadInput
        When `data` is empty this time.
    BadModel, WorkerError
        When the model does not run.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> batches = [{"x": np.full((2, 8), v, np.float32)} for v in (-1, 3)]
    >>> graph = lab.samples.tiny().to_ir()
    >>> calibrate(graph, ["x"], batches, method="minmax", percentile=100, cap_bytes=1 << 20).ranges
    {'x': (-1.0, 3.0)}
    """
    seen: dict[str, Seen] = {}
    counts = _counter(method, percentile)
    batches = 0
    with tapped(graph, tensors, cap_bytes=cap_bytes) as tap:
        for batch in counted(data, "calibrating, batch"):
            batches += 1
            for name, value in tap.read(batch):
                if value.dtype == np.float32:
                    finite = _noted(seen.setdefault(name, Seen()), np.asarray(value, np.float32))
                    if counts is not None and finite.size:
                        counts.add(name, finite)
    if not batches:
        raise BadInput(
            "data is exhausted: it had batches a moment ago, and has none now",
            accepted="a list of feeds, or an object whose __iter__ starts anew",
            do="data=list(data)",
        )
    ranges = {t: (s.lowest, s.highest) if s.lowest <= s.highest else (0.0, 0.0) for t, s in seen.items()}
    for name, (low, high) in counts.ranges().items() if counts is not None else ():
        # never below what was seen: the quantizer drops a Relu because its range begins at zero
        ranges[name] = (max(low, ranges[name][0]), min(high, ranges[name][1]))
    return Ranges(ranges, seen, batches)


def _noted(seen: Seen, value: Floats) -> Floats:
    """Widen the range by `value`; return its finite numbers, flat."""
    flat = value.ravel()
    if not flat.size:
        return flat
    low, high = float(flat.min()), float(flat.max())
    if not np.isfinite([low, high]).all():
        kept = flat[np.isfinite(flat)]
        seen.endless += flat.size - kept.size
        return _noted(seen, kept)
    seen.lowest, seen.highest = min(seen.lowest, low), max(seen.highest, high)
    return flat


def _counter(method: str, percentile: float) -> Histograms | None:
    if method == "minmax":
        return None
    start, most = BINS[method]
    return Histograms(method, percentile, start, most)


class Histograms:
    """onnxruntime's HistogramCollector, fed tensor by tensor, with a bound on its bins."""

    def __init__(self, method: str, percentile: float, bins: int, most_bins: int) -> None:
        try:
            from onnxruntime.quantization.calibrate import HistogramCollector
        except ImportError:
            raise missing("onnxruntime", "cpu") from None
        self._collector: Any = HistogramCollector(method, False, bins, 128, percentile, "same")
        self._most_bins = most_bins

    def add(self, name: str, values: Floats) -> None:
        """Count `values` (finite, not empty)."""
        largest = float(np.abs(values).max())
        if largest > _MASK_FROM:
            return  # no histogram has room for it; the ends are known, and suspicious
        if largest < 1 / _MASK_FROM:
            values = np.zeros_like(values)  # NumPy has no bins as narrow as that
        if name in self._collector.histogram_dict:
            self._make_room(name, largest)
        self._collector.collect_value({name: values})

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Tensor -> the range that the method chooses."""
        if not self._collector.histogram_dict:
            return {}
        with quiet():  # it prints
            found = self._collector.compute_collection_result()
        return {name: _ends(chosen) for name, chosen in found.items()}

    def bins(self, name: str) -> int:
        """How many bins this tensor has by now."""
        return len(self._collector.histogram_dict[name][0])

    def _make_room(self, name: str, largest: float) -> None:
        """Join neighbouring bins until those that reach `largest` are not too many.

        The collector reaches further by adding bins of the old width: after a first batch of near-zeros, billions.
        """
        hist, edges, low, high, reach = self._collector.histogram_dict[name]
        if reach == 0:
            return
        width, before = 2.0 * float(reach) / len(hist), len(hist)
        while 2.0 * largest / width > self._most_bins:
            if len(hist) % 4:  # zero stays between two bins
                hist = np.pad(hist, 1)
            hist, width = hist.reshape(-1, 2).sum(axis=1), 2.0 * width
        if len(hist) != before:
            far = np.float32(width * len(hist) / 2)
            edges = np.linspace(-far, far, len(hist) + 1, dtype=np.float32)
            self._collector.histogram_dict[name] = (hist, edges, low, high, np.array(far, np.float32))


def _ends(chosen: Any) -> tuple[float, float]:
    if hasattr(chosen, "range_value"):
        chosen = chosen.range_value
    return float(chosen[0]), float(chosen[1])


def _few(names: Sequence[str], shown: int = 3) -> str:
    def parts() -> Iterator[str]:
        yield from (repr(n) for n in names[:shown])
        if len(names) > shown:
            yield f"and {len(names) - shown} more"

    return ", ".join(parts())
