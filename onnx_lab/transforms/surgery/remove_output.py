"""remove_output: outputs that nobody wants, and what was computed for them alone."""

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


def remove_output(m: Model, output: str | Iterable[str], *, name: str | None = None, check: bool = True) -> Model:
    """Remove outputs, and the nodes and weights that only they needed.

    Parameters
    ----------
    m : Model
    output : str or iterable of str
        Names of outputs; one must be left.
    name : str, optional
        Default ``"<name>-remove-output"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a name that is no output, or when none would be left.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> two = lab.surgery.expose(lab.samples.tiny(), "h1")
    >>> [s.name for s in lab.surgery.remove_output(two, "logits").outputs]
    ['h1']
    """
    check_model(m)
    wanted = names("output", output)
    known = [s.name for s in m.outputs]
    for word in wanted:
        if word not in known:
            raise BadInput(f"{word!r} is no output", accepted=", ".join(known), do=did_you_mean(word, known))
    if len(wanted) == len(known):
        raise BadInput("no output would be left", accepted=f"at most {len(known) - 1} of {', '.join(known)}")
    return edited(
        m,
        "remove_output",
        lambda g: _remove(g, wanted),
        options={"output": list(wanted)},
        name=name,
        promise="same",
        check=check,
    )


def _remove(model: ir.Model, wanted: Sequence[str]) -> list[str]:
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    for value in [v for v in model.graph.outputs if v.name in wanted]:
        model.graph.outputs.remove(value)
    RemoveUnusedNodesPass()(model)
    return [f"no longer an output: {', '.join(wanted)}"]


def plain_code(*, output: str | Sequence[str]) -> str:
    """The plain code of a remove_output step.

    Examples
    --------
    >>> print(plain_code(output="aux").splitlines()[-1])
    ir.save(model, "model-remove-output.onnx")
    """
    return program(
        "remove_output",
        f"for value in [v for v in model.graph.outputs if v.name in {list(names('output', output))!r}]:",
        "    model.graph.outputs.remove(value)",
        "RemoveUnusedNodesPass()(model)",
        imports=["from onnx_ir.passes.common import RemoveUnusedNodesPass"],
    )
