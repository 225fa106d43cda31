"""A dataset as an option: that it can be read twice, that it fits the model, and its identity for the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.errors import BadInput
from onnx_lab.feeds import check_feeds
from onnx_lab.task import Task, batch_size

if TYPE_CHECKING:
    from onnx_lab.model import Model
    from onnx_lab.task import Dataset, Feeds

_ACCEPTED = "a list of feeds, or any object that gives its feeds anew each time it is iterated"


@dataclass(frozen=True)
class Identity:
    """What a dataset is: the digest of all its arrays, and how many batches and samples it has."""

    digest: str
    batches: int
    samples: int

    def __str__(self) -> str:
        s, es = "" if self.samples == 1 else "s", "" if self.batches == 1 else "es"
        return f"{self.samples} sample{s} in {self.batches} batch{es}, sha256 {self.digest[:12]}"


def identify(m: Model, data: Dataset) -> Identity:
    """Go through `data` once, batch by batch: check that each one fits `m`, and take the digest of all.

    Raises
    ------
    BadInput
        When there is nothing in it, it can be read only once, or a batch does not fit.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> print(identify(lab.samples.tiny(), [{"x": np.zeros((2, 8), np.float32)}]))
    2 samples in 1 batch, sha256 0ca851077fdf
    """
    digest, batches, samples = hashlib.sha256(), 0, 0
    for feeds in _checked(m, data):
        for name in sorted(feeds):
            value = np.ascontiguousarray(feeds[name])
            digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
            digest.update(repr(value.tolist()).encode() if value.dtype.hasobject else value.tobytes())
        batches, samples = batches + 1, samples + batch_size(feeds)
    if not samples:
        raise BadInput("data is empty", accepted="at least one batch; about 100 samples are usual")
    return Identity(digest.hexdigest(), batches, samples)


def _checked(m: Model, data: Dataset) -> Iterator[Feeds]:
    if isinstance(data, Task):
        raise BadInput(
            "data is a Task", accepted=_ACCEPTED, do="data=task.feeds, or better samples that are not measured on"
        )
    if isinstance(data, str | Mapping) or not isinstance(data, Iterable):
        do = (
            "data=[feeds]"
            if isinstance(data, Mapping)
            else "the feeds themselves; a recipe from a lineage takes them as recipe(m, data=...)"
        )
        raise BadInput(f"data of type {type(data).__name__}", accepted=_ACCEPTED, do=do)
    batches = iter(data)
    if batches is data:
        raise BadInput(
            f"data is a {type(data).__name__}, which is exhausted after one pass",
            accepted=_ACCEPTED,
            do="data=list(data), or a class whose __iter__ starts anew",
        )
    for i, feeds in enumerate(batches):
        if not isinstance(feeds, Mapping):
            raise BadInput(
                f"batch {i} of data is a {type(feeds).__name__}", accepted="a dict, input name -> array", do=_ACCEPTED
            )
        try:
            check_feeds(m.inputs, feeds)
        except BadInput as e:
            raise BadInput(f"batch {i} of data: {e.came}", accepted=e.accepted, do=e.do) from None
        yield {k: np.asarray(v) for k, v in feeds.items()}
