"""skl2onnx called once, with what it leaves undone put right: names of scores, a locale, a list with True in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._sklearn_errors import explained
from onnx_lab.exporters._sklearn_inputs import TYPES, Rows
from onnx_lab.exporters._sklearn_reference import reversed_scores

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

ML_OPSET = 3


def append_zipmap(graph: ir.Model, estimator: Any) -> None:
    """Turn the matrix of probabilities into a list of dicts, as skl2onnx does by default."""
    import onnx_ir as ir

    classes = [c.item() if isinstance(c, np.generic) else c for c in estimator.classes_]
    texts = any(isinstance(c, str) for c in classes)
    keys = {"classlabels_strings" if texts else "classlabels_int64s": [c if texts else int(c) for c in classes]}
    matrix = graph.graph.outputs[1]
    node = ir.node("ZipMap", [matrix], keys, domain="ai.onnx.ml", name="ZipMap")
    node.outputs[0].name = f"{matrix.name}_by_class"
    graph.graph.append(node)
    graph.graph.outputs[1] = node.outputs[0]


def converted(estimator: Any, rows: Rows, options: ExportOptions) -> ir.Model:
    """What skl2onnx makes of it.

    Raises
    ------
    BadInput, ExportError, UnsupportedOperator
    """
    import onnx_ir as ir

    try:
        with quiet("skl2onnx"), _attributes_without_bools():
            proto = _to_onnx(estimator, rows, options)
    except BadInput:
        raise
    except Exception as e:
        raise explained(e, estimator) from e
    graph = ir.from_proto(proto)
    for node in graph.graph:
        if node.op_type == "StringNormalizer" and "locale" not in node.attributes:
            node.attributes["locale"] = ir.AttrString("locale", "C")  # the default, en_US, is not on every machine
    _name_scores(graph, estimator)
    return graph


def _to_onnx(estimator: Any, rows: Rows, options: ExportOptions) -> onnx.ModelProto:
    import skl2onnx
    from skl2onnx.common import data_types

    common = {
        "name": type(estimator).__name__,
        "initial_types": [(s.name, getattr(data_types, TYPES[s.dtype])([None, s.shape[1]])) for s in rows.specs],
        "target_opset": {"": options.opset_wanted, "ai.onnx.ml": ML_OPSET},
    }
    try:
        proto: onnx.ModelProto = skl2onnx.to_onnx(
            estimator, options={"zipmap": options.zipmap == "columns" and "columns"}, **common
        )
    except NameError as e:  # so it says that a converter does not know the option: only those of classifiers do
        if options.zipmap != "off":
            kind = type(estimator).__name__
            raise BadInput(f"zipmap={options.zipmap!r} for {kind}", accepted="a classifier with probabilities") from e
        proto = skl2onnx.to_onnx(estimator, **common)
    return proto


def _name_scores(graph: ir.Model, estimator: Any) -> None:
    """Scores that are no probabilities are not called so; for two classes the larger one is the answer."""
    import onnx_ir as ir

    if len(graph.graph.outputs) < 2 or hasattr(estimator, "predict_proba"):
        return
    value = graph.graph.outputs[1]
    if reversed_scores(estimator):
        turned = ir.node("Neg", [value], name="scores_in_the_order_of_the_classes")
        graph.graph.append(turned)
        turned.outputs[0].shape, turned.outputs[0].type = value.shape, value.type
        value.name = "reversed_scores"
        graph.graph.outputs[1] = value = turned.outputs[0]
    value.name = "scores"


@contextlib.contextmanager
def _attributes_without_bools() -> Iterator[None]:
    """onnx 1.21 and newer refuse True in a list of integers, which skl2onnx 1.20 writes for boosted histograms."""
    from skl2onnx.common import _container

    make_node = _container.make_node

    def made(*args: Any, **attributes: Any) -> onnx.NodeProto:
        numbers = {
            k: [int(x) if isinstance(x, (bool, np.bool_)) else x for x in v] if isinstance(v, list) else v
            for k, v in attributes.items()
        }
        node: onnx.NodeProto = make_node(*args, **numbers)
        return node

    _container.make_node = made
    try:
        yield
    finally:
        _container.make_node = make_node
