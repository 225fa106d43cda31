"""How far one tensor is apart in two models, batch by batch, without keeping any batch.

For values a (right by definition) and b over all batches:
    error  = |a - b| / |a|  (Euclidean norms over everything)      snr = -20 log10(error), in dB
    spread = max |a| / rms(a): how much of a number format one large value takes from the others
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

#: Numbers looked at in one go: all that is made of them stays in a core's cache.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class TensorDifference:
    """One inner tensor of both models.

    `module` is the user's own, `node` and `op` what makes the tensor in the first model. `error` is the relative error,
    `added` the part of it beyond the error of the tensors that it is made from. `bad` tells of NaN or infinity that the
    first model does not have: "NaN", "Inf" or "". `how` tells by what the two were known to be the same: "name",
    "rounded" (the second's is what its 8 bits give back), "module" or "order"; `readers` are the products of the first
    model that read a rounded one.
    """

    tensor: str
    node: str
    op: str
    module: str
    largest: float
    mean: float
    error: float
    added: float
    snr: float
    cosine: float
    spread: float
    bad: str = ""
    how: str = "name"
    readers: tuple[str, ...] = ()


class Sums:
    """What is kept of one tensor: sums of squares and the largest values.

    Examples
    --------
    >>> sums = Sums()
    >>> sums.add(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
    >>> round(sums.error, 3), sums.largest
    (0.1, 0.5)
    """

    def __init__(self) -> None:
        self.largest, self.bad = 0.0, ""
        self._n, self._top, self._off = 0, 0.0, 0.0
        self._aa, self._bb, self._ab, self._dd = 0.0, 0.0, 0.0, 0.0

    def add(self, a: Array, b: Array) -> None:
        """Count one batch; where `b` is not finite and `a` is, that is noted and the value counts as 0."""
        x, y = (np.asarray(v).reshape(-1) for v in (a, b))
        for i in range(0, x.size, _BLOCK):
            self._add(x[i : i + _BLOCK].astype(np.float32), y[i : i + _BLOCK].astype(np.float32))

    def _add(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> None:
        sane = np.isfinite(y)
        if not sane.all():
            if np.isfinite(x[~sane]).any() and self.bad != "NaN":
                self.bad = "NaN" if np.isnan(y[~sane]).any() else "Inf"
            y = np.where(sane, y, np.float32(0))
        known = np.isfinite(x)
        if not known.all():
            x = np.where(known, x, np.float32(0))
        d = np.abs(x - y)
        self.largest, self._top = max(self.largest, float(d.max())), max(self._top, float(np.abs(x).max()))
        u, v, w = (z.astype(np.float64) for z in (x, y, d))  # where the square of a mask's -3e38 is a number
        self._n, self._off = self._n + x.size, self._off + float(w.sum())
        self._dd, self._aa = self._dd + _dot(w, w), self._aa + _dot(u, u)
        self._bb, self._ab = self._bb + _dot(v, v), self._ab + _dot(u, v)

    @property
    def error(self) -> float:
        """|a - b| / |a|; 1 where a is zero and b is not."""
        return math.sqrt(self._dd / self._aa) if self._aa else float(self._dd > 0)

    def result(self, tensor: str, node: str, op: str, module: str, added: float) -> TensorDifference:
        """All of it."""
        both = math.sqrt(self._aa) * math.sqrt(self._bb)
        rms = math.sqrt(self._aa / self._n) if self._n else 0.0
        return TensorDifference(
            tensor,
            node,
            op,
            module,
            largest=self.largest,
            mean=self._off / self._n if self._n else 0.0,
            error=self.error,
            added=added,
            snr=-20 * math.log10(self.error) if self.error else math.inf,
            cosine=self._ab / both if both else float(self._aa == self._bb),
            spread=self._top / rms if rms else 0.0,
            bad=self.bad,
        )


def _dot(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Not ``np.dot``: its threads wait busily, and take from the engines what they do not need."""
    return float(np.einsum("i,i->", x, y))
