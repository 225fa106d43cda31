"""Answers of a Model to feeds, kept while they are small: one model is often edited many times over."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import OnnxLabError
from onnx_lab.model import Model
from onnx_lab.transforms import _proof

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: What the answers to one question may take, and how many questions are kept.
_SMALL_BYTES, _MANY = 1_000_000, 16

Answers = list[dict[str, Any]]
_kept: OrderedDict[str, tuple[Answers | None, str]] = OrderedDict()


def tried(m: Model, feeds: Sequence[dict[str, npt.NDArray[np.generic]]]) -> tuple[Answers | None, str]:
    """What `m` answers, or None and why it does not.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> answers, why = tried(lab.samples.tiny(), [{"x": np.zeros((2, 8), np.float32)}])
    >>> answers[0]["logits"].shape, why
    ((2, 4), '')
    """
    try:
        return _proof.answers(m, feeds), ""
    except OnnxLabError as e:
        return None, e.came.splitlines()[0]


def remembered(m: Model, feeds: Sequence[dict[str, npt.NDArray[np.generic]]]) -> tuple[Answers | None, str]:
    """`tried`, asked once of each model and each feeds."""
    key = _key(m, feeds)
    if key not in _kept:
        told = tried(m, feeds)
        if told[0] is None or sum(v.nbytes for answer in told[0] for v in answer.values()) > _SMALL_BYTES:
            return told
        _kept[key] = told
        while len(_kept) > _MANY:
            _kept.popitem(last=False)
    return _kept[key]


def _key(m: Model, feeds: Sequence[dict[str, npt.NDArray[np.generic]]]) -> str:
    digest = hashlib.sha256(m.digest.encode())
    for feed in feeds:
        for name, value in feed.items():
            raw = repr(value.tolist()).encode() if value.dtype.kind == "O" else value.tobytes()
            digest.update(f"{name} {value.dtype} {value.shape}".encode() + raw)
    return digest.hexdigest()
