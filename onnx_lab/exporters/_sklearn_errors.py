"""Why a model of scikit-learn is refused, in the user's words: not fitted, a step without a converter, wrong rows."""

from __future__ import annotations

from typing import Any

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, ExportError, UnsupportedOperator
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._sklearn_inputs import Taken
from onnx_lab.exporters._sklearn_reference import methods


def check_fitted(estimator: Any) -> None:
    """Raise unless the estimator is fitted and answers one question."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    kind = type(estimator).__name__
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        raise BadInput(f"{kind} is not fitted", accepted="a fitted estimator", do="model.fit(X, y) first") from None
    except TypeError:
        raise BadInput(
            f"{kind} is nothing that can be fitted", accepted="an estimator or a Pipeline", do="give the model itself"
        ) from None
    if isinstance(getattr(estimator, "classes_", None), list):
        raise ExportError(
            f"{kind} answers several questions at once, and skl2onnx gives their probabilities as a list",
            accepted="one target for each file",
            do="fit and export one classifier for each target: model.estimators_, or model.fit(X, y[:, i])",
        )
    if not hasattr(estimator, "predict") and not hasattr(estimator, "transform"):
        raise BadInput(f"{kind} has neither predict nor transform", accepted="an estimator that has one of them")


def check_opset(options: ExportOptions) -> None:
    """Raise for an opset that skl2onnx does not write."""
    from skl2onnx import get_latest_tested_opset_version

    newest = get_latest_tested_opset_version()
    if options.opset_wanted > newest:
        raise BadInput(f"opset={options.opset}", accepted=f"up to {newest} with skl2onnx", do="leave it out")


def check_runs(estimator: Any, found: Taken) -> None:
    """Raise when the estimator itself refuses rows like those of the example."""
    try:
        with quiet():
            methods(estimator)[0](found.table(found.rows.drawn(2, seed=0)))
    except Exception as e:
        first = (str(e).strip().splitlines() or [""])[0][:200]
        raise BadInput(
            f"{type(estimator).__name__} does not run on its inputs: {type(e).__name__}: {first}",
            accepted="a few rows of the data it was fitted on",
            do="lab.export(model, example=X[:5])",
        ) from e


def explained(error: Exception, estimator: Any) -> ExportError:
    """skl2onnx's refusal in the user's words: which step, and the ways round."""
    text = str(error)
    kind = next((k for p in parts(estimator).items() for k in (type(p[1]).__name__,) if f"{k}'" in text), "")
    step = next((n for n, p in parts(estimator).items() if n and type(p).__name__ == kind), "")
    where = f"step {step!r} ({kind})" if step else kind or type(estimator).__name__
    own = [n or type(p).__name__ for n, p in parts(estimator).items() if not type(p).__module__.startswith("sklearn.")]
    if type(error).__name__ in ("MissingShapeCalculator", "MissingConverter") or "FunctionTransformer" in text:
        function = "FunctionTransformer" in text and not kind
        return UnsupportedOperator(
            f"{'FunctionTransformer with a function of its own' if function else where} has no ONNX form in skl2onnx",
            accepted="the estimators of scikit-learn that skl2onnx converts" + ", not classes of your own" * bool(own),
            do="leave that step out of the pipeline and compute it before the file (NumPy), or write its converter: "
            "skl2onnx.update_registered_converter(...) before lab.export",
        )
    first = (text.strip().splitlines() or [""])[0][:300]
    return ExportError(
        f"{where} could not be exported: {type(error).__name__}: {first}",
        accepted="what skl2onnx converts",
        do="export the steps before and after it on their own, or another estimator of the same kind",
    )


def parts(estimator: Any) -> dict[str, Any]:
    """The estimator under "" and its parts by the names that get_params gives them."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return {"": estimator, **{k: v for k, v in parameters.items() if hasattr(v, "get_params")}}
