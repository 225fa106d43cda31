"""accuracy: the share of a Task's samples that a model answers right, with the interval that so many samples allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab._progress import counted
from onnx_lab.card import Card, Table
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.measure._answers import Answerer, Answers, answering, name_of
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.runtime.target import Target
from onnx_lab.task import Task

_Z95 = 1.959964


@dataclass(frozen=True, repr=False)
class Accuracy(Result):
    """How often a model is right.

    Attributes
    ----------
    predictions : array of int64, shape (n,)
        The class with the highest score, per sample, in the order of the Task.
    labels : array of int64, shape (n,)
        The right ones.
    """

    name: str
    task: str
    target: str
    classes: tuple[str, ...]
    predictions: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    machine: Machine

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def correct(self) -> int:
        """Number of samples answered right."""
        return int((self.predictions == self.labels).sum())

    @property
    def value(self) -> float:
        """Share of samples answered right, 0 to 1."""
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share: Wilson's score interval (Wilson 1927, JASA 22)."""
        p, n, z2 = self.value, self.n, _Z95**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return max(0.0, float(middle - half)), min(1.0, float(middle + half))

    @property
    def per_class(self) -> dict[str, float]:
        """Class -> share of its samples answered right; classes without samples are left out."""
        own = {c: self.labels == i for i, c in enumerate(self.classes)}
        return {c: float((self.predictions[k] == i).mean()) for i, (c, k) in enumerate(own.items()) if k.any()}

    def __float__(self) -> float:
        return self.value

    def _records(self) -> list[dict[str, Any]]:
        count = np.bincount(self.labels, minlength=len(self.classes))
        return [
            {"class": c, "samples": int(count[self.classes.index(c)]), "accuracy": v} for c, v in self.per_class.items()
        ]

    def _card(self) -> Card:
        low, high = self.interval
        rows = [
            ("right", f"{self.value:.1%} of {self.n} samples ({self.correct})"),
            ("interval", f"{low:.1%} to {high:.1%}, 95 %"),
            ("task", self.task),
            ("on", self.target),
        ]
        cells = tuple((r["class"], str(r["samples"]), f"{r['accuracy']:.1%}") for r in self._records())
        return Card(f"accuracy of {self.name}", rows, [Table(("class", "samples", "right"), cells)])


def accuracy(m: Answerer, task: Task, *, target: Target | str | None = None) -> Accuracy:
    """The share of `task` that a model answers right.

    Parameters
    ----------
    m : Model or torch.nn.Module
        What answers; runs in a child process.
    task : Task
        Feeds and labels.
    target : str or Target, optional
        Where a Model runs. Default: the CPU provider.

    Returns
    -------
    Accuracy
        ``float(result)`` is the share, 0 to 1.

    Raises
    ------
    BadInput
        When a feed or the output named by the Task does not fit the model, or the Task has no samples.
    BadModel
        When scores are NaN: no answer can be read from them.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> feeds = [{"x": np.eye(8, dtype=np.float32)}]
    >>> task = lab.Task("toy", feeds, np.zeros(8, np.int64), ("a", "b", "c", "d"))
    >>> 0 <= float(lab.accuracy(lab.samples.tiny(), task)) <= 1
    True
    """
    if not len(task):
        raise BadInput(f"{task!r}", accepted="a Task with at least one sample")
    with answering(m, target) as run:
        found = [_top(run(feeds), task, name_of(m)) for feeds in counted(task.feeds, "scoring batch")]
    on = str(Target.of(target)) if hasattr(m, "digest") else "PyTorch eager"
    return Accuracy(name_of(m), task.name, on, task.classes, np.concatenate(found), task.labels, this_machine())


def _top(outputs: Answers, task: Task, name: str) -> npt.NDArray[np.int64]:
    # classifiers of other frameworks give the label first and the scores second
    fits = (k for k, v in outputs.items() if v.ndim == 2 and v.shape[1] == len(task.classes))
    wanted = task.output or next(fits, next(iter(outputs)))
    if wanted not in outputs:
        raise BadInput(f"output {wanted!r}", accepted=", ".join(outputs), do="Task(..., output=...) names the scores")
    scores = outputs[wanted]
    if scores.ndim != 2 or scores.shape[1] != len(task.classes):
        raise BadInput(
            f"output {wanted!r} of shape {list(scores.shape)}",
            accepted=f"[batch, {len(task.classes)}], one score per class",
            do="name the output that holds the scores: Task(..., output=...)",
        )
    if np.isnan(scores).any():
        share = float(np.isnan(scores).any(axis=1).mean())
        raise BadModel(
            f"{name}: output {wanted!r} is NaN for {share:.0%} of the samples",
            do="lab.fp16(..., block_ops=[...]) keeps operators in float32; lab.compare shows against what it differs",
        )
    return np.asarray(scores.argmax(axis=1), np.int64)
