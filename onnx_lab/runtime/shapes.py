"""Shapes and types of a Model's tensors, asked of a child: ONNX's inference is C++, and a broken file can crash it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onnx_lab.errors import OnnxLabError
from onnx_lab.model import Model
from onnx_lab.runtime.client import helper

#: A graph of ten thousand nodes takes a second; longer is a hang.
_TIMEOUT_S = 30.0

Shape = tuple[int | str | None, ...]


@dataclass(frozen=True)
class Shapes:
    """Tensor -> dtype and shape. `why_not` says why nothing is known, "" where all went well."""

    types: Mapping[str, tuple[str, Shape | None]] = field(default_factory=dict)
    why_not: str = ""

    def dtype(self, name: str) -> str:
        """The dtype, "" when it is not known."""
        return self.types.get(name, ("", None))[0]

    def shape(self, name: str) -> Shape | None:
        """The shape as far as it is known; names and None stand for sizes that are not."""
        return self.types.get(name, ("", None))[1]

    def fixed(self, name: str) -> tuple[int, ...] | None:
        """The shape where all of its sizes are known, else None."""
        dims = self.shape(name)
        sizes = tuple(d for d in dims or () if isinstance(d, int))
        return sizes if dims is not None and len(sizes) == len(dims) and min(sizes, default=0) >= 0 else None


def shapes_of(m: Model, sizes: Mapping[str, tuple[int, ...]] | None = None) -> Shapes:
    """Shapes of all tensors, from the graph alone: no weights are read and no engine is opened.

    Parameters
    ----------
    m : Model
    sizes : mapping of str to tuple of int, optional
        Input -> the shape it is fed with. Default: dynamic axes keep their names.

    Returns
    -------
    Shapes
        Empty, with the reason, where the inference gave up: shapes only help.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> shapes_of(lab.samples.tiny(), {"x": (5, 8)}).fixed("logits")
    (5, 4)
    """
    m.check_unchanged()
    return _shapes(m.path.resolve(), m._stat, tuple(sizes.items()) if sizes is not None else None)


@functools.lru_cache(maxsize=8)
def _shapes(path: Path, _stat: tuple[int, int], sizes: tuple[tuple[str, tuple[int, ...]], ...] | None) -> Shapes:
    asked = {"path": str(path), "sizes": dict(sizes) if sizes is not None else None}
    try:
        reply = helper(timeout_s=_TIMEOUT_S).call({"op": "shapes", "shapes": asked}, "inferring shapes")[0]
    except OnnxLabError as e:
        return Shapes(why_not=e.came)
    found = {n: (dtype, tuple(dims) if dims is not None else None) for n, (dtype, dims) in reply["types"].items()}
    return Shapes(found)
