"""set_opset: the same graph, written for another version of the operator set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

#: onnxscript's converter begins here, and only goes up; ONNX's own does the rest.
_ONNXSCRIPT_FROM = 18


def set_opset(m: Model, opset: int, *, name: str | None = None, check: bool = True) -> Model:
    """Convert to another version of ONNX' operator set, up or down.

    Parameters
    ----------
    m : Model
    opset : int
        7 to the newest that the installed onnx knows.
    name : str, optional
        Default ``"<name>-set-opset"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a version that onnx does not know, or that the model has.
    TransformError
        When an operator has no form in that version: the converter's reason.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.set_opset(lab.samples.tiny(), 21).header.opsets[""]
    21
    """
    check_model(m)
    import onnx

    newest = onnx.defs.onnx_opset_version()
    own = m.header.opsets.get("", m.header.opsets.get("ai.onnx", 0))
    if isinstance(opset, bool) or not isinstance(opset, int) or not 7 <= opset <= newest:
        raise BadInput(f"opset {opset!r}", accepted=f"7 to {newest}")
    if opset == own:
        raise BadInput(f"{m.name} is written for opset {own} already", accepted=f"another of 7 to {newest}")
    return edited(
        m, "set_opset", lambda g: _convert(m, g, own, opset), options={"opset": opset}, name=name, promise="same",
        check=check,
    )  # fmt: skip


def _convert(m: Model, model: ir.Model, own: int, opset: int) -> list[str]:
    import onnx
    from onnx_ir.passes.common import InlinePass
    from onnx_ir.passes.common._c_api_utils import call_onnx_api
    from onnxscript import version_converter

    InlinePass()(model)
    try:
        if _ONNXSCRIPT_FROM <= own < opset:
            version_converter.convert_version(model, opset)
        else:
            proto = call_onnx_api(lambda p: onnx.version_converter.convert_version(p, opset), model)
            _adopt(m, model, proto)
    except Exception as e:  # each converter has errors of its own
        last = next((s.strip() for s in reversed(str(e).splitlines()) if s.strip()), type(e).__name__)
        reason = last.rsplit("` failed: ", 1)[-1]  # what stands before it is a line of the converter's own source
        raise TransformError(
            f"surgery.set_opset: {m.name} has no form in opset {opset}: {reason}",
            do="a version nearer to its own" if abs(opset - own) > 1 else "export it for that version",
        ) from e
    if model.opset_imports.get("") != opset:
        raise TransformError(f"surgery.set_opset: the converter left {m.name} at opset {model.opset_imports.get('')}")
    return [f"opset {own} → {opset}"]


def _adopt(m: Model, model: ir.Model, proto: onnx.ModelProto) -> None:
    """Take over what ONNX' converter made; the weights it was not shown stay those of the file."""
    import onnx_ir as ir

    made = ir.from_proto(proto)
    own = {v.name for v in model.graph.inputs}
    for value in list(made.graph.inputs):
        if value.name not in own:
            made.graph.inputs.remove(value)
        if (held := model.graph.initializers.get(value.name or "")) is not None:
            value.const_value = held.const_value
            made.graph.register_initializer(value)
    carry_metadata(m.to_ir(), made)
    model.graph = made.graph


def plain_code(*, opset: int) -> str:
    """The plain code of a set_opset step.

    Examples
    --------
    >>> print(plain_code(opset=21).splitlines()[-1])
    onnx.save(onnx.version_converter.convert_version(model, 21), "model-set-opset.onnx")
    """
    return "\n".join(
        [
            "import onnx",
            "import onnx.version_converter",
            "",
            'model = onnx.load("model.onnx")',
            f"# from opset {_ONNXSCRIPT_FROM} up, onnxscript.version_converter knows more operators",
            f'onnx.save(onnx.version_converter.convert_version(model, {opset}), "model-set-opset.onnx")',
        ]
    )
