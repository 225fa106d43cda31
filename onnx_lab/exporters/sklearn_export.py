"""scikit-learn: a fitted estimator or pipeline -> Model, through skl2onnx, compared with ``predict`` and its scores.

The file computes in float32, scikit-learn in float64. The original is therefore asked for the same float32 numbers, and
rows on which the last digits of float32 decide are counted rather than called wrong.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab import workspace
from onnx_lab.errors import BadInput, ExportError, missing
from onnx_lab.exporters import _axes
from onnx_lab.exporters._converted import Original, finish, refuse_pytorch_options
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._sklearn_convert import ML_OPSET, append_zipmap, converted
from onnx_lab.exporters._sklearn_errors import check_fitted, check_opset, check_runs, parts
from onnx_lab.exporters._sklearn_inputs import TYPES, Rows, Taken, taken
from onnx_lab.exporters._sklearn_reference import Reference, flips, methods
from onnx_lab.model import LABELS_KEY, Model
from onnx_lab.produce import Made, produce, write_ir

if TYPE_CHECKING:
    import onnx_ir as ir

#: Their versions are part of the cache key.
TOOLS = ("onnx-lab", "scikit-learn", "skl2onnx", "onnx", "onnx-ir")
#: lab.export's word for ZipMap -> skl2onnx's.
ZIPMAPS = {"off": False, "on": True, "columns": "columns"}
#: Sizes that the check may take, whatever the example's is.
_BATCHES = (1, 7, 16)


def export_estimator(estimator: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    """Export an estimator; see `onnx_lab.export`."""
    try:
        import skl2onnx  # noqa: F401
    except ImportError:
        raise missing("skl2onnx", "sklearn") from None
    refuse_pytorch_options(options, "scikit-learn")
    check_fitted(estimator)
    check_opset(options)
    kind = type(estimator).__name__
    return produce(
        "export",
        options.as_json(kind),
        lambda: _make(estimator, example, options),
        tools=TOOLS,
        name=name or kind,
        cache_key=_identity(estimator, example),
    )


def _make(estimator: Any, example: Any, options: ExportOptions) -> Made:
    found, graph = _taken_and_converted(estimator, example, options)
    names = tuple(str(v.name) for v in graph.graph.outputs)
    reference = Reference(estimator, found, names, spread=options.zipmap == "columns")
    rows = replace(found.rows, keep=lambda feeds: reference.steady(feeds, options.tolerance))
    rows, tests = _dynamic(rows, options, names)
    _name_axes(graph, reference, rows)
    said = _sentences(estimator, example, graph)
    if options.check:
        said = [*_flips(graph, reference, rows, options.tolerance), *said]
    source = Original("scikit-learn", rows, reference, names)
    code, metadata = _code(estimator, found.rows, options), _labels(estimator)
    made = finish(graph, source, tests, options, code=code, said=said, metadata=metadata)
    if options.zipmap == "on":
        append_zipmap(made.graph, estimator)
        made.notes["say"].append(
            "ZipMap: the probabilities are a list of dicts, which onnxruntime's own API reads and the lab does not; "
            "compared before the ZipMap"
        )
    return made


def _taken_and_converted(estimator: Any, example: Any, options: ExportOptions) -> tuple[Taken, ir.Model]:
    """Whole numbers as int64, as an encoder of categories wants them; else as float32, as an imputer does."""
    found = taken(estimator, example, columns=_by_columns(estimator))
    check_runs(estimator, found)
    try:
        return found, converted(estimator, found.rows, options)
    except ExportError:
        if not (whole := [s.name for s in found.rows.specs if s.dtype == "int64"]):
            raise
        found = found.as_floats(whole)
        return found, converted(estimator, found.rows, options)


def _dynamic(rows: Rows, options: ExportOptions, outputs: tuple[str, ...]) -> tuple[Rows, dict[str, tuple[int, ...]]]:
    """The rows with the batch axis named as asked, and the sizes for the check."""
    wanted = _axes.wanted(rows, options.dynamic, outputs)
    assert isinstance(wanted, Rows)
    for spec in wanted.specs:
        if isinstance(spec.shape[1], str):
            raise BadInput(f"a dynamic axis 1 of {spec.name!r}", accepted="axis 0: the features are fixed by the fit")
    n = len(next(iter(rows.example.values())))
    other = tuple(b for b in _BATCHES if b != n)[:2]
    return wanted, {str(d): other for d in {s.shape[0] for s in wanted.specs} if isinstance(d, str)}


def _name_axes(graph: ir.Model, reference: Reference, rows: Rows) -> None:
    """The batch axis of inputs and outputs under its name, and columns as many as there are: skl2onnx guesses them."""
    import onnx_ir as ir

    batch = rows.specs[0].shape[0]
    for value, spec in zip(graph.graph.inputs, rows.specs, strict=True):
        value.shape = ir.Shape(spec.shape)
    answers = reference(rows.drawn(2, seed=0))
    for value, answer in zip(graph.graph.outputs, answers, strict=True):
        value.shape = ir.Shape([batch, *answer.shape[1:]])


def _flips(graph: ir.Model, reference: Reference, rows: Rows, tolerance: float) -> list[str]:
    if not isinstance(rows.specs[0].shape[0], str):
        return []
    with workspace.scratch() as folder:
        write_ir(graph, folder / "export.onnx")
        return flips(workspace.open_model(folder / "export.onnx"), reference, rows, tolerance)


def _sentences(estimator: Any, example: Any, graph: ir.Model) -> list[str]:
    said = []
    if example is None:
        said.append("checked on random numbers; example=X[:50] of your own data is the better check")
    if any(n.op_type == "StringNormalizer" for n in graph.graph):
        said.append("text is lower-cased in the C locale: letters of ASCII only")
    if len(methods(estimator)) == 2 and hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        said.append(f"{type(estimator).__name__} has no probabilities: the second output is decision_function's")
    return said


def _by_columns(estimator: Any) -> bool:
    """Whether a ColumnTransformer picks columns somewhere in it."""
    if not hasattr(estimator, "get_params"):
        return False
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(type(p).__name__ == "ColumnTransformer" for p in parts)


def _identity(estimator: Any, example: Any) -> str | None:
    """What decides the answers; None, so not cached, where a class is not scikit-learn's: its code may change."""
    if any(type(p).__module__.split(".")[0] != "sklearn" for p in parts(estimator).values()):
        return None
    try:
        return hashlib.sha256(pickle.dumps((estimator, example), protocol=5)).hexdigest()
    except Exception:
        return None


def _labels(estimator: Any) -> dict[str, str]:
    """Class names, where the scores are in their order, one column for each."""
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return {}
    return {LABELS_KEY: json.dumps([str(c) for c in classes])}


_WITHOUT_BOOLS = [
    "from skl2onnx.common import _container",
    "make_node = _container.make_node  # onnx 1.21 and newer refuse the True that skl2onnx 1.20 writes in lists",
    "whole = lambda v: [int(x) if isinstance(x, bool) else x for x in v] if isinstance(v, list) else v",
    "_container.make_node = lambda *a, **k: make_node(*a, **{n: whole(v) for n, v in k.items()})",
    "",
]


def _code(estimator: Any, rows: Rows, options: ExportOptions) -> str:
    """The plain skl2onnx code of this export."""
    types = [f"        ({s.name!r}, {TYPES[s.dtype]}([None, {s.shape[1]}]))," for s in rows.specs]
    used = ", ".join(sorted({TYPES[s.dtype] for s in rows.specs}))
    zipmap = hasattr(estimator, "classes_") and hasattr(estimator, "predict_proba")
    lines = [
        *_WITHOUT_BOOLS * any("HistGradientBoosting" in type(p).__name__ for p in parts(estimator).values()),
        "from skl2onnx import to_onnx",
        f"from skl2onnx.common.data_types import {used}",
        "",
        f"model = ...  # the fitted {type(estimator).__name__}",
        "onnx_model = to_onnx(",
        "    model,",
        "    initial_types=[",
        *types,
        "    ],",
        f"    target_opset={{'': {options.opset_wanted}, 'ai.onnx.ml': {ML_OPSET}}},",
        *[f"    options={{'zipmap': {ZIPMAPS[options.zipmap]!r}}},"] * zipmap,
        ")",
        'with open("model.onnx", "wb") as f:',
        "    f.write(onnx_model.SerializeToString())",
    ]
    return "\n".join(lines)
