"""Results as figures: `chart` for any result, `size` for Models. Measures nothing.

>>> from onnx_lab import plots, samples
>>> chart = plots.size([samples.tiny(), samples.tiny(features=64)])
>>> len(chart.figure.to_json()) < 7000
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.plots.chart import Chart

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Chart", "chart", "figure", "show", "size"]


def chart(result: Any) -> Chart:
    """The chart of a result: figure and table.

    Parameters
    ----------
    result : Benchmark, Verdict, Inspection, Accuracy, Comparison, Inference, Model, or a list of Models

    Raises
    ------
    BadInput
        For something that has no picture.
    MissingExtra
        Without plotly.
    """
    if isinstance(result, Model) or (isinstance(result, list | tuple) and all(isinstance(m, Model) for m in result)):
        return size(result)
    makers = _makers()
    kind = type(result).__name__
    if kind not in makers:
        raise BadInput(f"a {kind} has no picture", accepted=f"{', '.join(makers)}, or Models")
    return makers[kind](result)


def figure(result: Any) -> go.Figure:
    """The Plotly figure of `chart(result)`, without the table."""
    return chart(result).figure


def show(result: Any) -> None:
    """Display the figure of a result with its table below, from the middle of a cell.

    >>> import onnx_lab as lab
    >>> lab.plots.show(lab.samples.tiny())  # doctest: +SKIP
    """
    chart(result)._ipython_display_()


def size(models: Model | Sequence[Model]) -> Chart:
    """Size on disk step by step, each bar made of the types of its weights.

    Parameters
    ----------
    models : Model or sequence of Model
        In the order of the bars; shares refer to the first.

    Raises
    ------
    BadInput
        When there is none.
    """
    from onnx_lab.plots._sizes import size_chart

    given: Sequence[Any] = models if isinstance(models, list | tuple) else [models]
    if not given or not all(isinstance(m, Model) for m in given):
        raise BadInput(f"size of {models!r:.60}", accepted="a Model or a list of Models")
    return size_chart(given)


def _makers() -> dict[str, Callable[[Any], Chart]]:
    """Result class -> who draws it. By name: drawing imports no measuring."""
    from onnx_lab.plots import _answers, _diff, _front, _models, _speed, _trace, _work

    return {
        "Benchmark": _speed.speed_chart,
        "Verdict": _models.verdict_chart,
        "Profile": _work.profile_chart,
        "Why": _work.why_chart,
        "Trace": _trace.trace_chart,
        "GraphDiff": _diff.diff_chart,
        "Ranking": lambda result: _front.front_chart(result.verdict),
        "Inspection": _models.inspection_chart,
        "Accuracy": _answers.accuracy_chart,
        "Comparison": _answers.comparison_chart,
        "Inference": _answers.inference_chart,
    }
