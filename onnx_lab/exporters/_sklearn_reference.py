"""What scikit-learn itself answers, in the order of the file's outputs, and how steady an answer is.

A tree answers in steps. Where a feature lies so near to a threshold that the rounding to float32 decides the side, or
two classes are level, no float32 file can be told right or wrong; such rows are counted and said, and the check is made
on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import ParityError
from onnx_lab.exporters._sklearn_inputs import Rows, Taken
from onnx_lab.exporters.parity import Array
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker
from onnx_lab.task import Feeds

#: Rows that the file and scikit-learn are compared on, beside the usual trials.
ROWS = 500
#: A larger share of flips than this is a model that float32 cannot hold.
MOST_FLIPS = 0.1
#: A row is steady when its answer stays under so many nudges, each of at most this many float32 roundings.
NUDGES, ROUNDINGS = 8, 4


@dataclass(frozen=True)
class Reference:
    """A fitted estimator as a function from feeds to the file's outputs.

    Attributes
    ----------
    names : tuple of str
        The file's outputs, in order.
    spread : bool
        The probabilities are one output for each class.
    """

    estimator: Any
    taken: Taken
    names: tuple[str, ...]
    spread: bool = False

    def __call__(self, feeds: Feeds) -> list[Array]:
        """The answers, one array for each of `names`."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = self.taken.table(feeds)
            answers = [_plain(call(table)) for call in methods(self.estimator)[: len(self.names)]]
        if self.spread:
            label, scores = answers
            return [label, *(scores[:, i] for i in range(scores.shape[1]))]
        return [_in_file_shape(a, name, self.estimator) for a, name in zip(answers, self.names, strict=True)]

    def steady(self, feeds: Feeds, tolerance: float) -> npt.NDArray[np.bool_]:
        """Rows whose answer does not depend on the last digits of float32, ``bool[n]``."""
        rng = np.random.default_rng(0)
        answers = self(feeds)
        # of a clusterer the second answer is distances: its label is the smallest, and none of them is a vote
        votes = any(hasattr(self.estimator, k) for k in ("predict_proba", "decision_function"))
        steady = ~tied(answers, tolerance) if votes else np.ones(len(answers[0]), bool)
        for _ in range(NUDGES):
            nudged = {k: _nudged(v, rng) for k, v in feeds.items()}
            steady &= ~differs(answers, self(nudged), tolerance)
        return steady


def methods(estimator: Any) -> list[Callable[[Any], Any]]:
    """What a converter turns into outputs: the answer, and the scores behind it where there are any."""
    if not hasattr(estimator, "predict"):
        return [estimator.transform]
    scores = [k for k in ("predict_proba", "decision_function", "transform") if hasattr(estimator, k)]
    return [estimator.predict, *[getattr(estimator, k) for k in scores[:1]]]


def differs(want: Sequence[Array], got: Sequence[Array], tolerance: float) -> npt.NDArray[np.bool_]:
    """Rows in which any output differs by more than the tolerance, ``bool[n]``."""
    found = np.zeros(len(want[0]), bool)
    for a, b in zip(want, got, strict=True):
        if a.dtype.kind == "f":
            off = np.abs(a - b) > tolerance * max(1.0, float(np.abs(a).max(initial=0)))
        else:
            off = np.asarray(a != b)
        found |= off.reshape(len(found), -1).any(axis=1)
    return found


def tied(answers: Sequence[Array], tolerance: float) -> npt.NDArray[np.bool_]:
    """Rows whose label hangs on less than the tolerance, ``bool[n]``: 60 trees vote 30 to 30.

    The order of a sum then decides, which changes with the number of threads.

    Examples
    --------
    >>> tied([np.array([0, 1]), np.array([[0.5, 0.5], [0.1, 0.9]])], 1e-4).tolist()
    [True, False]
    """
    if len(answers) < 2:
        return np.zeros(len(answers[0]), bool)
    scores = np.concatenate([a.reshape(len(a), -1) for a in answers[1:]], axis=1)
    if scores.dtype.kind != "f":
        return np.zeros(len(scores), bool)
    if scores.shape[1] == 1:
        margin: Array = np.abs(scores[:, 0])
    else:
        second, first = np.partition(scores, -2, axis=1)[:, -2:].T
        margin = first - second
    near: npt.NDArray[np.bool_] = margin <= tolerance
    return near


def flips(model: Model, reference: Reference, rows: Rows, tolerance: float) -> list[str]:
    """Compare the file with scikit-learn on many rows and say how many fall to the other side of a threshold.

    Raises
    ------
    ParityError
        When a row differs that is not at a threshold, or too many do that are.
    """
    feeds = rows.drawn(ROWS, seed=3)
    with Worker.for_model(model) as worker:
        answers = worker.run(feeds)
    off = differs(reference(feeds), [answers[n] for n in reference.names], tolerance)
    if not off.any():
        return [f"the same answers as scikit-learn on {ROWS} rows more"]
    wrong = off & reference.steady(feeds, tolerance)
    if wrong.any():
        raise ParityError(
            f"{int(wrong.sum())} of {ROWS} rows differ from scikit-learn, and not because they lie at a threshold",
            accepted=f"differences of at most {tolerance:g}",
            do="a larger tolerance= if this difference is fine for you; check=False gives the file as it is",
        )
    if off.mean() > MOST_FLIPS:
        raise ParityError(
            f"{int(off.sum())} of {ROWS} rows get another answer: the features need more digits than float32 has",
            accepted=f"at most {MOST_FLIPS:.0%} of rows so near to a threshold",
            do="subtract a feature's large constant part before fitting (years, not seconds since 1970), and fit again",
        )
    return [
        f"{int(off.sum())} of {ROWS} rows flip: a feature lies so near to a threshold, or two classes to a tie, that "
        "float32, which the file computes in, decides differently from scikit-learn's float64"
    ]


def _nudged(values: Array, rng: np.random.Generator) -> Array:
    if values.dtype.kind != "f":
        return values
    step = ROUNDINGS * np.finfo(np.float32).eps
    nudged: Array = (values * (1 + step * rng.choice((-1.0, 1.0), values.shape))).astype(values.dtype)
    return nudged


def _plain(answer: Any) -> Array:
    """Dense, and of the kinds that a file has: float32, int64, text."""
    array = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array.astype(np.int64) if array.dtype.kind in "iub" else np.array(array.astype(str), dtype=object)


def _in_file_shape(answer: Array, name: str, estimator: Any) -> Array:
    """Scores and predictions of one number are columns in the file; labels of an outlier detector too."""
    if answer.ndim != 1 or (name.endswith("label") and not outliers(estimator)):
        return answer
    if name == "scores" and reversed_scores(estimator):
        return np.stack([-answer, answer], axis=1)
    return answer.reshape(-1, 1)


def outliers(estimator: Any) -> bool:
    """Whether it tells outliers from the rest."""
    from sklearn.base import is_outlier_detector

    return bool(is_outlier_detector(estimator))


def reversed_scores(estimator: Any) -> bool:
    """Whether the converter writes ``(d, -d)`` for two classes, which would make the wrong one the larger."""
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    two = len(getattr(final, "classes_", ())) == 2
    return two and type(final).__name__ in ("SVC", "NuSVC") and not hasattr(final, "predict_proba")
