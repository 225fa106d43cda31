"""How strongly to smooth: tried end to end on a few batches, for no rule finds it (0.5, the usual, is often worst).

Sentence embeddings of a MiniLM in signed 8 bits keep cosine 0.983 unsmoothed, 0.942 at 0.5 and 0.998 at 0.8; with
random weights none is best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab import workspace
from onnx_lab.errors import BadInput
from onnx_lab.produce import write_ir
from onnx_lab.transforms._proof import answers

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.model import Model
    from onnx_lab.task import Dataset, Feeds

Answers = Mapping[str, npt.NDArray[Any]]

#: What is tried, the cheapest first: 0 is no smoothing at all. 0.85 and 0.8 could not be told apart on the sample BERT.
CANDIDATES = (0.0, 0.5, 0.8)
_BATCHES = 8
#: A stronger one has to leave at most this share of the error.
_WORTH = 0.9
_ACCEPTED = "'auto', 'off', or a number above 0, up to 1: how much goes to the weights (the paper's alpha)"


def checked(smooth: float | str) -> float | None:
    """The strength that was asked for: None for ``"auto"``, 0 for ``"off"``.

    Examples
    --------
    >>> checked("auto"), checked("off"), checked("0.8")
    (None, 0.0, 0.8)
    """
    if smooth in ("auto", "off"):
        return None if smooth == "auto" else 0.0
    try:
        value = float(smooth)
    except (TypeError, ValueError):
        raise BadInput(f"smooth={smooth!r}", accepted=_ACCEPTED) from None
    if not 0 < value <= 1:
        raise BadInput(f"smooth={smooth!r}", accepted=_ACCEPTED)
    return value


def choose(
    m: Model, data: Dataset, attempt: Callable[[float, Sequence[Feeds]], ir.Model]
) -> tuple[float, dict[float, float]]:
    """The strength whose answers stay nearest to those of `m`, and the mean cosine of each.

    Parameters
    ----------
    attempt : callable
        Quantizes with a strength, calibrated on the batches it is given.
    """
    batches = list(islice(iter(data), _BATCHES))
    exact = answers(m, batches)
    kept: dict[float, float] = {}
    for strength in CANDIDATES:
        with workspace.scratch() as folder:
            write_ir(attempt(strength, batches), folder / "tried.onnx")
            kept[strength] = cosine(exact, answers(workspace.open_model(folder / "tried.onnx"), batches))
    return best_of(kept), kept


def best_of(kept: Mapping[float, float]) -> float:
    """The one with the highest cosine; a cheaper one where the gain is not worth a Mul.

    Examples
    --------
    >>> best_of({0.0: 0.983, 0.5: 0.942, 0.8: 0.9976}), best_of({0.0: 0.9990, 0.8: 0.9991})
    (0.8, 0.0)
    """
    best = 0.0
    for strength, value in kept.items():
        if 1 - value < _WORTH * (1 - kept[best]):
            best = strength
    return best


def cosine(exact: Sequence[Answers], got: Sequence[Answers]) -> float:
    """The mean over samples and float outputs; 0 for answers that are not finite.

    Examples
    --------
    >>> one = [{"y": np.eye(2)}]
    >>> cosine(one, one), cosine(one, [{"y": -np.eye(2)}])
    (1.0, -1.0)
    """
    found = []
    for wanted, given in zip(exact, got, strict=True):
        for name, value in wanted.items():
            if value.dtype.kind != "f" or not value.size:
                continue
            a, b = (v.reshape(len(v) if v.ndim else 1, -1).astype(np.float64) for v in (value, given[name]))
            size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
            found.append(np.nan_to_num((a * b).sum(axis=1) / np.where(size > 0, size, 1.0)))
    return round(float(np.concatenate(found).mean()), 6) if found else 0.0
