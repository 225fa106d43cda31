"""reorder: inputs and outputs in the order that a caller by position wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir


def reorder(m: Model, first: str | Iterable[str], *, name: str | None = None, check: bool = True) -> Model:
    """Put inputs or outputs in another order: those named come first, the rest stay behind them as they are.

    Parameters
    ----------
    m : Model
    first : str or iterable of str
        Names of inputs, of outputs, or of both, in the order wanted.
    name : str, optional
        Default ``"<name>-reorder"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a name that is neither.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> two = lab.surgery.expose(lab.samples.tiny(), "h1")
    >>> [s.name for s in lab.surgery.reorder(two, "h1").outputs]
    ['h1', 'logits']
    """
    check_model(m)
    wanted = names("first", first)
    known = [s.name for s in (*m.inputs, *m.outputs)]
    for word in wanted:
        if word not in known:
            raise BadInput(f"{word!r} is no input or output", accepted=", ".join(known), do=did_you_mean(word, known))
    return edited(
        m, "reorder", lambda g: _reorder(g, wanted), options={"first": list(wanted)}, name=name, promise="same",
        check=check,
    )  # fmt: skip


def _reorder(model: ir.Model, wanted: Sequence[str]) -> list[str]:
    say = []
    for what, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs)):
        own = {v.name: i for i, v in enumerate(values)}
        order = sorted(values, key=lambda v: wanted.index(v.name) if v.name in wanted else len(wanted) + own[v.name])
        if [v.name for v in order] != list(own):
            values.clear()
            values.extend(order)
            say.append(f"{what}: {', '.join(v.name or '' for v in order)}")
    return say or ["the order is that already"]


def plain_code(*, first: str | Sequence[str]) -> str:
    """The plain code of a reorder step.

    Examples
    --------
    >>> print(plain_code(first="h1").splitlines()[-1])
    ir.save(model, "model-reorder.onnx")
    """
    return program(
        "reorder",
        f"first = {list(names('first', first))!r}",
        "for values in (model.graph.inputs, model.graph.outputs):",
        "    order = sorted(values, key=lambda v: first.index(v.name) if v.name in first else len(first))",
        "    values.clear()",
        "    values.extend(order)",
    )
