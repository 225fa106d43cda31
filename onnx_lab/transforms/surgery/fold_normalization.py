"""fold_normalization: the input's scale and shift go into the first convolution's weights and bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from onnx_lab.model import Model
from onnx_lab.transforms._options import one_of
from onnx_lab.transforms.surgery._affine import Affine, bypass, chosen
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._make import free_name, weight
from onnx_lab.transforms.surgery._padding import Padded, border, padded_at, refill
from onnx_lab.transforms.surgery._rewire import drop_unread
from onnx_lab.transforms.surgery._shapes import inform

if TYPE_CHECKING:
    import onnx_ir as ir


def fold_normalization(
    m: Model,
    tensor: str | None = None,
    *,
    padding: Literal["pad", "shift"] = "pad",
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Fold what an input is multiplied with and shifted by into the first convolution.

    Exact, at the border too: where the convolution pads with zeros and there is a shift, the raw data is padded with
    the value that becomes zero. Where the channels have different ones, the scale alone is folded and one Add stays.

    Parameters
    ----------
    m : Model
    tensor : str, optional
        The input. Default: each that has a normalization.
    padding : {"pad", "shift"}, default "pad"
        At a padded border: ``pad`` by the value that becomes zero, or leave the ``shift`` as one Add.
    name : str, optional
        Default ``"<name>-fold-normalization"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model
        The same graph where there is nothing to fold; the card names the node in the way.

    Raises
    ------
    BadInput
        For an input that the model does not have.
    TransformError
        When the answers would not be the same.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.fold_normalization(lab.samples.tiny()).lineage[-1].notes["say"][0]
    '0 inputs folded: x goes to MatMul first/matmul, without a normalization'
    """
    one_of("padding", padding, ("pad", "shift"))
    return edited(
        m, "fold_normalization", lambda g: _fold_all(g, tensor, padding),
        options={"tensor": tensor, "padding": padding}, name=name, promise="same", check=check,
    )  # fmt: skip


def _fold_all(model: ir.Model, wanted: str | None, padding: str) -> list[str]:
    inform(model)
    said, why = [], []
    for affine in chosen(model, wanted):
        place = padded_at(affine.value)
        reason = _reason(affine, place)
        if reason or not isinstance(place, Padded):
            why.append(f"{affine.input.name} {reason}")
        else:
            said.append(f"{affine.input.name}: {_fold(model, affine, place, padding)}")
    return said or [f"0 inputs folded: {'; '.join(why) or 'the model has none'}"]


def _reason(affine: Affine, place: Padded | str) -> str:
    """Why this input's normalization cannot be folded; "" when it can."""
    import numpy as np

    if not affine.nodes:
        return f"goes to {affine.ends}, without a normalization"
    if isinstance(place, str):
        return f"is normalized, and then {place}"
    if affine.axis not in (None, 1):
        return f"has its channels on axis {affine.axis} where {place.conv.name} has them on axis 1"
    if not np.all(affine.scale):
        return "is multiplied by 0 in a channel"
    return ""


def _fold(model: ir.Model, affine: Affine, place: Padded, padding: str) -> str:
    import numpy as np
    import onnx_ir as ir

    kernel = place.conv.inputs[1]
    assert kernel is not None
    tensor = ir.convenience.get_const_tensor(kernel)
    assert tensor is not None
    weights = tensor.numpy().astype(float)
    groups = place.conv.attributes.get_int("group", 1)
    scale, shift = affine.per_channel(weights.shape[1] * groups)
    edge = border(place, scale, shift) if padding == "pad" or not place.pads else "the shift was to stay"
    count = len(affine.nodes)
    bypass(affine)
    per_out = _by_output(weights, scale, groups)
    _set_kernel(model, place.conv, 1, weights * per_out, tensor.dtype.numpy())
    if isinstance(edge, str):
        return _keep_shift(model, affine, place, shift / scale, edge)
    moved = (weights * _by_output(weights, shift, groups)).reshape(len(weights), -1).sum(1)
    if np.any(moved):
        _add_bias(model, place.conv, moved, tensor.dtype.numpy())
    ending = refill(model, place, edge)
    return f"{count} nodes of normalization are in {place.conv.name}" + ending


def _by_output(weights: Any, numbers: Any, groups: int) -> Any:
    """Numbers per input channel, as they meet weights ``[out, channels / groups, ...]``."""
    import numpy as np

    rows = np.repeat(numbers.reshape(groups, -1), len(weights) // groups, axis=0)
    return rows.reshape(rows.shape + (1,) * (weights.ndim - 2))


def _set_kernel(model: ir.Model, conv: ir.Node, index: int, array: Any, dtype: Any) -> None:
    old = conv.inputs[index]
    assert old is not None
    conv.replace_input_with(index, weight(model, f"{old.name}.folded", array.astype(dtype)))
    drop_unread([old])


def _add_bias(model: ir.Model, conv: ir.Node, moved: Any, dtype: Any) -> None:
    import onnx_ir as ir

    old = conv.inputs[2] if len(conv.inputs) > 2 else None
    if old is None:
        if len(conv.inputs) < 3:
            conv.resize_inputs(3)
        conv.replace_input_with(2, weight(model, f"{conv.name}.bias", moved.astype(dtype)))
        return
    tensor = ir.convenience.get_const_tensor(old)
    assert tensor is not None  # padded_at saw to it
    _set_kernel(model, conv, 2, tensor.numpy().astype(float) + moved, dtype)


def _keep_shift(model: ir.Model, affine: Affine, place: Padded, shift: Any, why: str) -> str:
    """``x + shift / scale`` stays in front: zeros at the border are then still zeros."""
    import numpy as np
    import onnx_ir as ir

    dtype = affine.value.dtype
    assert dtype is not None
    flat = shift[:1] if np.ptp(shift) == 0 else shift
    constant = weight(model, f"{affine.input.name}.shift", affine.shaped(flat, 1).astype(dtype.numpy()))
    node = ir.node("Add", [affine.value, constant], name=free_name(model, f"{affine.input.name}.Add"))
    out = node.outputs[0]
    out.name, out.dtype, out.shape = f"{node.name}_out", dtype, affine.value.shape
    first = place.pad or place.conv
    first.replace_input_with(0, out)
    assert first.graph is not None
    first.graph.insert_before(first, node)
    return f"the scale is in {place.conv.name}, and one Add stays: {why}"


def plain_code(*, tensor: str | None = None, padding: str = "pad") -> str:
    """The plain code of a fold_normalization step, for ``(x * scale + shift)`` in front of a Conv without pads.

    Examples
    --------
    >>> "tensordot" in plain_code()
    True
    """
    which = f"v.name == {tensor!r}" if tensor else "True"
    return program(
        "fold_normalization",
        "# for x -> Mul(scale) -> Add(shift) -> Conv; where the Conv pads, "
        + ("pad x with -shift / scale" if padding == "pad" else "leave Add(shift / scale) in front"),
        f"x = next(v for v in model.graph.inputs if {which})",
        "(mul,) = x.consumers()", "(add,) = mul.outputs[0].consumers()", "(conv,) = add.outputs[0].consumers()",
        "weights = conv.inputs[1].const_value.numpy()",
        "numbers = [n.inputs[1].const_value.numpy().reshape(-1) for n in (mul, add)]",
        "scale, shift = (np.broadcast_to(n, weights.shape[1]) for n in numbers)",
        "bias = conv.inputs[2].const_value.numpy() + np.tensordot(weights, shift, (1, 0)).sum((1, 2))",
        "conv.inputs[1].const_value = ir.tensor(weights * scale[:, None, None])",
        "conv.inputs[2].const_value = ir.tensor(bias.astype(weights.dtype))",
        "conv.replace_input_with(0, x)", "model.graph.remove([mul, add], safe=True)",
        imports=["import numpy as np"],
    )  # fmt: skip
