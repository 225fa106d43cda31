"""expose: tensors inside a graph become outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import tensors

if TYPE_CHECKING:
    import onnx_ir as ir


def expose(m: Model, tensor: str | Iterable[str], *, name: str | None = None, check: bool = True) -> Model:
    """Make tensors inside the graph outputs, behind those that it has.

    Parameters
    ----------
    m : Model
    tensor : str or iterable of str
        Names of tensors, as `onnx_lab.inspect` and the graph view show them.
    name : str, optional
        Default ``"<name>-expose"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a tensor that the graph does not have, or that is an output already.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.expose(lab.samples.tiny(), "h1")
    >>> [s.name for s in m.outputs]
    ['logits', 'h1']
    """
    wanted = names("tensor", tensor)
    return edited(
        m, "expose", lambda g: _expose(g, wanted), options={"tensor": list(wanted)}, name=name, promise="same",
        check=check,
    )  # fmt: skip


def _expose(model: ir.Model, wanted: Sequence[str]) -> list[str]:
    found = tensors(model, "tensor", wanted)
    model.graph.outputs.extend(v for v in found if not v.is_graph_output())
    return [f"new output{'s' * (len(found) > 1)}: {', '.join(wanted)}"]


def plain_code(*, tensor: str | Iterable[str]) -> str:
    """The plain code of an expose step.

    Examples
    --------
    >>> print(plain_code(tensor="h1").splitlines()[-1])
    ir.save(model, "model-expose.onnx")
    """
    return "\n".join(
        [
            "import onnx_ir as ir",
            "",
            'model = ir.load("model.onnx")',
            "values = {v.name: v for node in model.graph for v in node.outputs}",
            f"model.graph.outputs.extend(values[name] for name in {list(names('tensor', tensor))!r})",
            'ir.save(model, "model-expose.onnx")',
        ]
    )
