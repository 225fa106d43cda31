"""external_data: weights beside the file, or inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from onnx_lab._a_model import check_model
from onnx_lab.card import megabytes
from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.produce import EXTERNAL_ABOVE_BYTES
from onnx_lab.transforms._options import one_of
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir


def external_data(
    m: Model, where: Literal["outside", "inside"] = "outside", *, name: str | None = None, check: bool = True
) -> Model:
    """Put the weights into a file of their own beside the graph, or all into one file.

    Parameters
    ----------
    m : Model
    where : {"outside", "inside"}, default "outside"
        ``"outside"``: ``<name>.onnx.data``, which engines map and several models can share.
    name : str, optional
        Default ``"<name>-external-data"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    TransformError
        When the weights are too many for one file: protobuf ends at 2 GiB.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.external_data(lab.samples.tiny()).header.external
    ('tiny-external-data.onnx.data',)
    """
    check_model(m)
    one_of("where", where, ("outside", "inside"))
    if where == "inside" and m.size_bytes > EXTERNAL_ABOVE_BYTES:
        raise TransformError(
            f"surgery.external_data: {m.name} has {megabytes(m.size_bytes)}",
            accepted=f"at most {megabytes(EXTERNAL_ABOVE_BYTES)} in one file: protobuf ends at 2 GiB",
        )
    return edited(
        m, "external_data", lambda g: _say(g, where), options={"where": where}, name=name, promise="same",
        check=check, external=where == "outside",
    )  # fmt: skip


def _say(model: ir.Model, where: str) -> list[str]:
    tensors = [v.const_value for v in model.graph.initializers.values() if v.const_value is not None]
    return [f"{len(tensors)} weights {where}: {megabytes(sum(t.nbytes for t in tensors))}"]


def plain_code(*, where: str = "outside") -> str:
    """The plain code of an external_data step.

    Examples
    --------
    >>> print(plain_code(where="inside").splitlines()[-1])
    ir.save(model, "model-external-data.onnx")
    """
    text = program("external_data", *([] if where == "outside" else ["ir.external_data.load_to_model(model)"]))
    if where == "inside":
        return text
    return text.replace('external-data.onnx")', 'external-data.onnx", external_data="model-external-data.onnx.data")')
