"""Outputs that are no numbers: NaN is an error, infinity is told."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnx_lab.errors import BadModel
from onnx_lab.measure._answers import Answers
from onnx_lab.model import Model
from onnx_lab.task import Feeds


def refuse_nan(m: Model, outputs: Answers, feeds: Feeds) -> None:
    """Raise BadModel when an output of `m` holds NaN; says whether the feeds did already."""
    for name, value in outputs.items():
        if value.dtype.kind != "f" or not (bad := int(np.isnan(value).sum())):
            continue
        dirty = [k for k, v in feeds.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
        raise BadModel(
            f"{m.name}: {bad} of {value.size} values of output {name!r} are NaN",
            accepted="finite outputs, or allow_nan=True to see them",
            do=f"the feeds {dirty} hold NaN or Inf themselves: look there first"
            if dirty
            else "if this came with fp16: lab.fp16(..., block_ops=[...]) keeps the operators that overflow in float32",
        )


def infinite(outputs: Answers) -> Iterator[str]:
    """A sentence for each output that holds infinities."""
    for name, value in outputs.items():
        if value.dtype.kind == "f" and (n := int(np.isinf(value).sum())):
            yield f"{n} of {value.size} values of output {name!r} are infinite"
