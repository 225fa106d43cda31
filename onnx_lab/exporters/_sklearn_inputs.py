"""Inputs of an estimator: one matrix, or one input for each column of a table, and rows to check with.

Rows are drawn between those of the example, so that they lie where the data lies and not on the training points.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import BadInput
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters.parity import Array
from onnx_lab.model import TensorSpec
from onnx_lab.task import Feeds

#: The name of the one input, as skl2onnx has it.
MATRIX = "X"
#: Rows to draw from where there is no example.
POOL = 64
#: skl2onnx's types for the dtypes that an input may have.
TYPES = {
    "float32": "FloatTensorType",
    "int64": "Int64TensorType",
    "bool": "BooleanTensorType",
    "string": "StringTensorType",
}
#: So many times more rows are drawn than asked for, to choose from.
_SPARE = 4


@dataclass(frozen=True)
class Rows(Inputs):
    """Inputs whose feeds are made of the example's rows.

    Attributes
    ----------
    keep : callable, optional
        Feeds -> which rows may be taken, ``bool[n]``; a check leaves out rows on which no two precisions agree.
    whole : frozenset of str
        Float inputs that hold whole numbers.
    """

    keep: Callable[[Feeds], npt.NDArray[np.bool_]] | None = None
    whole: frozenset[str] = frozenset()

    def feeds(self, sizes: Mapping[str, int] | None = None, *, seed: int = 0, padded: bool = False) -> Feeds:
        """New rows; see `Inputs.feeds`."""
        del padded
        first = self.specs[0].shape[0]
        n = {**self.sizes, **(sizes or {})}[first] if isinstance(first, str) else int(first or 1)
        drawn = self.drawn(n if self.keep is None else _SPARE * n, seed)
        if self.keep is None:
            return drawn
        order = np.argsort(~self.keep(drawn), kind="stable")[:n]
        return {name: values[order] for name, values in drawn.items()}

    def drawn(self, n: int, seed: int) -> Feeds:
        """`n` rows: numbers between those of two rows of the example, anything else from one of them."""
        rng = np.random.default_rng(seed)
        rows = len(next(iter(self.example.values())))
        one, other = rng.integers(0, rows, n), rng.integers(0, rows, n)
        share = rng.random((n, 1)) if rows > 1 else 1 + 0.1 * rng.standard_normal((n, 1))
        made: Feeds = {}
        for name, values in self.example.items():
            made[name] = values[one]
            if values.dtype.kind == "f" and name not in self.whole:
                a, b = values[one].astype(np.float64), values[other].astype(np.float64) * (rows > 1)
                made[name] = (share * a + (1 - share) * b).astype(values.dtype)
        return made

    def renamed(self, names: Mapping[str, str]) -> Rows:
        """The same inputs under other names."""
        keep, back = self.keep, {new: old for old, new in names.items()}
        return replace(
            self,
            specs=tuple(replace(s, name=names[s.name]) for s in self.specs),
            example={names[k]: v for k, v in self.example.items()},
            whole=frozenset(names[k] for k in self.whole),
            keep=keep and (lambda feeds: keep({back[k]: v for k, v in feeds.items()})),
        )


@dataclass(frozen=True)
class Taken:
    """What an estimator takes.

    Attributes
    ----------
    rows : Rows
        The inputs of the file.
    table : callable
        Feeds -> what ``predict`` is called with. Float columns are float64 again, as scikit-learn computes.
    """

    rows: Rows
    table: Callable[[Feeds], Any]

    def as_floats(self, names: Collection[str]) -> Taken:
        """The same with these inputs in float32; their values stay whole, and the table is what it was."""
        specs = tuple(replace(s, dtype="float32") if s.name in names else s for s in self.rows.specs)
        inner, table = self.rows, self.table
        example = {k: v.astype(np.float32) if k in names else v for k, v in inner.example.items()}
        floats = replace(inner, specs=specs, example=example, whole=frozenset(names))
        dtypes = {k: v.dtype for k, v in inner.example.items()}
        return Taken(floats, lambda feeds: table({k: v.astype(dtypes[k]) for k, v in feeds.items()}))


def taken(estimator: Any, example: Any, *, columns: bool) -> Taken:
    """Inputs from the example, else from what the estimator was fitted on.

    Parameters
    ----------
    estimator : fitted estimator
    example : array, DataFrame, list of str, or None
    columns : bool
        One input for each column of a DataFrame, as a ColumnTransformer needs it.

    Raises
    ------
    BadInput
        When inputs cannot be told.
    """
    if example is None:
        return _from_fit(estimator, columns)
    if hasattr(example, "columns") and hasattr(example, "iloc"):
        return _from_frame(estimator, example, columns)
    array = np.asarray(example.toarray() if hasattr(example, "toarray") else example)
    if array.ndim == 1 and array.dtype.kind in "OUS":
        rows = _rows({MATRIX: _plain(array.reshape(-1, 1))})
        return Taken(rows, lambda feeds: feeds[MATRIX].ravel())
    if array.ndim != 2 or not len(array):
        raise BadInput(
            f"an example of shape {list(array.shape)}", accepted="rows of features, [n, features]", do="example=X[:5]"
        )
    wanted = getattr(estimator, "n_features_in_", array.shape[1])
    if array.shape[1] != wanted:
        raise BadInput(
            f"an example of {array.shape[1]} features", accepted=f"{wanted}, as it was fitted", do="example=X[:5]"
        )
    return Taken(_rows({MATRIX: _plain(array)}), _matrix(estimator))


def _from_fit(estimator: Any, columns: bool) -> Taken:
    features = getattr(estimator, "n_features_in_", None)
    if columns or features is None:
        raise BadInput(
            f"{type(estimator).__name__} does not say which types its columns have",
            accepted="a few rows of its data as example=",
            do="lab.export(model, example=X[:5])",
        )
    rng = np.random.default_rng(0)
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    centre, spread = (np.asarray(getattr(first, k, d)) for k, d in (("mean_", 0.0), ("scale_", 1.0)))
    fits = centre.shape in ((), (features,)) and spread.shape in ((), (features,)) and spread.dtype.kind == "f"
    pool = rng.standard_normal((POOL, features))
    pool = pool * spread + centre if fits and centre.dtype.kind == "f" else pool
    return Taken(_rows({MATRIX: pool.astype(np.float32)}), _matrix(estimator))


def _from_frame(estimator: Any, frame: Any, columns: bool) -> Taken:
    if not len(frame):
        raise BadInput("an example without rows", accepted="a few rows of its data", do="example=X[:5]")
    arrays = {str(c): _plain(frame[c].to_numpy().reshape(-1, 1)) for c in frame.columns}
    if not columns and len({a.dtype for a in arrays.values()}) == 1:
        return Taken(_rows({MATRIX: np.concatenate(list(arrays.values()), axis=1)}), _matrix(estimator))
    kinds = dict(zip(arrays, frame.dtypes, strict=True))

    def table(feeds: Feeds) -> Any:
        given = {k: feeds[k].ravel().astype(object if a.dtype.kind == "O" else a.dtype) for k, a in arrays.items()}
        return type(frame)(given).astype(kinds)

    return Taken(_rows(arrays), table)


def _matrix(estimator: Any) -> Callable[[Feeds], Any]:
    """Feeds -> the matrix, under the column names that the estimator was fitted with."""
    names = getattr(estimator, "feature_names_in_", None)

    def table(feeds: Feeds) -> Any:
        values = feeds[MATRIX]
        values = values.astype(np.float64) if values.dtype.kind == "f" else values
        if names is None:
            return values
        import pandas

        return pandas.DataFrame(values, columns=list(names))

    return table


def _rows(arrays: Feeds) -> Rows:
    specs = [
        TensorSpec(name, "string" if a.dtype.kind == "O" else str(a.dtype), ("batch", a.shape[1]))
        for name, a in arrays.items()
    ]
    return Rows(tuple(specs), arrays)


def _plain(array: Array) -> Array:
    """float32, int64, bool, or text: what skl2onnx makes inputs of."""
    kind = array.dtype.kind
    if kind == "f":
        return array.astype(np.float32)
    if kind in "iu":
        return array.astype(np.int64)
    if kind == "b":
        return array
    try:
        return array.astype(np.float32) if _numbers(array) else np.array(array.astype(str), dtype=object)
    except (TypeError, ValueError):
        raise BadInput(
            f"a column of {array.dtype}", accepted="numbers, booleans or text", do="convert it before the pipeline"
        ) from None


def _numbers(array: Array) -> bool:
    return array.dtype.kind == "O" and all(isinstance(v, (int, float, np.number)) for v in array.ravel())
