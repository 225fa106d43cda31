"""What accuracy means for a model: Feeds, datasets of Feeds, and the Task that puts labels beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import BadInput

#: One batch of inputs: input name -> array.
Feeds = dict[str, npt.NDArray[np.generic]]

#: Any re-iterable of Feeds (a list, or an object whose ``__iter__`` starts anew).
Dataset = Iterable[Feeds]


@dataclass(frozen=True)
class Task:
    """A dataset with labels: what "accuracy" means for a model.

    Parameters
    ----------
    name : str
        What is asked, for titles.
    feeds : sequence of Feeds
        The held-out batches; the sum of their batch sizes equals ``len(labels)``.
    labels : array of int64, shape (n,)
        The right class of each sample, in the order of the feeds.
    classes : tuple of str
        Class names; ``labels`` index into it.
    output : str, optional
        Name of the output that holds the scores, shape ``(batch, len(classes))``. Default: the first of that shape.

    Raises
    ------
    BadInput
        When the labels do not fit the feeds or the classes.

    Examples
    --------
    >>> import numpy as np
    >>> task = Task("toy", [{"x": np.zeros((2, 8), np.float32)}], np.array([0, 1]), ("a", "b"))
    >>> len(task)
    2
    """

    name: str
    feeds: Sequence[Feeds]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    output: str | None = field(default=None)

    def __post_init__(self) -> None:
        n = sum(batch_size(f) for f in self.feeds)
        if n != len(self.labels):
            raise BadInput(f"{n} samples in the feeds, {len(self.labels)} labels", accepted="one label per sample")
        if len(self.labels) and (self.labels.min() < 0 or self.labels.max() >= len(self.classes)):
            raise BadInput(
                f"labels from {self.labels.min()} to {self.labels.max()}",
                accepted=f"0 to {len(self.classes) - 1}, one per class {self.classes}",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Task({self.name!r}: {len(self)} samples, {len(self.classes)} classes)"

    def take(self, n: int) -> Task:
        """The first whole batches that hold at least `n` samples: a smaller Task for quick checks."""
        kept: list[Feeds] = []
        total = 0
        for f in self.feeds:
            if total >= n:
                break
            kept.append(f)
            total += batch_size(f)
        return Task(self.name, kept, self.labels[:total], self.classes, self.output)


def batch_size(feeds: Feeds) -> int:
    """Length of the first axis of the first input that has one; 1 for scalars only."""
    return next((int(v.shape[0]) for v in feeds.values() if v.ndim), 1)
