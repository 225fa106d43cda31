"""put_in_normalization: the graph normalizes what the caller feeds raw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms._options import one_of
from onnx_lab.transforms.surgery._affine import told
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._make import free_name, weight
from onnx_lab.transforms.surgery._slopes import dims

if TYPE_CHECKING:
    import onnx_ir as ir

_DTYPES = ("uint8", "int32", "float32", "float16")


def put_in_normalization(
    m: Model,
    tensor: str,
    mean: float | Iterable[float],
    std: float | Iterable[float],
    *,
    axis: int = 1,
    dtype: str | None = None,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Put ``(x - mean) / std`` into the graph, so that callers feed raw data.

    Parameters
    ----------
    m : Model
    tensor : str
        The input.
    mean, std : float or iterable of float
        One number, or one for each channel.
    axis : int, default 1
        Where the channels are; -1 for images with the channels last.
    dtype : {"uint8", "int32", "float32", "float16"}, optional
        What callers feed; ``uint8`` takes the bytes of an image. Default: what they do now.
    name : str, optional
        Default ``"<name>-put-in-normalization"``.
    check : bool, default True
        Run both files, this one on raw feeds, and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For an input that the model does not have, or as many numbers as there are no channels.
    TransformError
        When the input is no float.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.surgery.put_in_normalization(lab.samples.tiny(), "x", 127.5, 127.5, dtype="uint8")
    >>> str(m.inputs[0])
    'x: uint8[batch, 8]'
    """
    means, stds = _list(mean), _list(std)
    if dtype is not None:
        one_of("dtype", dtype, _DTYPES)
    if not all(stds):
        raise BadInput("std has a 0", accepted="numbers to divide by")
    raw = None if dtype is not None else lambda feeds: _raw(feeds, tensor, means, stds, axis)
    return edited(
        m, "put_in_normalization", lambda g: _put_in(g, tensor, means, stds, axis, dtype),
        options={"tensor": tensor, "mean": means, "std": stds, "axis": axis, "dtype": dtype}, name=name,
        promise="may differ" if raw is None else "same", check=check, translate=raw,
    )  # fmt: skip


def _list(numbers: float | Iterable[float]) -> list[float]:
    return [float(x) for x in numbers] if isinstance(numbers, Iterable) else [float(numbers)]


def _put_in(
    model: ir.Model, wanted: str, means: Sequence[float], stds: Sequence[float], axis: int, dtype: str | None
) -> list[str]:
    import numpy as np
    import onnx_ir as ir

    value = _input(model, wanted)
    shape, real = dims(value), value.dtype
    assert real is not None
    uses = [(u.node, u.idx) for u in value.uses()]
    made: list[ir.Node] = []
    current = value
    if dtype is not None and ir.DataType.from_numpy(np.dtype(dtype)) != real:
        value.dtype = ir.DataType.from_numpy(np.dtype(dtype))
        current = _write(model, made, "Cast", [current], wanted, real, shape, to=real.value)
    for op, numbers, idle in (("Sub", means, 0.0), ("Div", stds, 1.0)):
        if all(x == idle for x in numbers):
            continue
        array = _shaped(numbers, shape, axis, wanted).astype(real.numpy())
        constant = weight(model, f"{wanted}.{'mean' if op == 'Sub' else 'std'}", array)
        current = _write(model, made, op, [current, constant], wanted, real, shape)
    for node, index in uses:
        node.replace_input_with(index, current)
    for i, output in enumerate(model.graph.outputs):
        if output is value:
            model.graph.outputs[i] = current
    model.graph.extend(made)
    kind = f", as {dtype}" if dtype else ""
    return [f"{wanted}: (x - {told(means)}) / {told(stds)} is in the graph: feed it raw{kind}"]


def _write(
    model: ir.Model, made: list[ir.Node], op: str, inputs: Sequence[ir.Value], wanted: str, dtype: ir.DataType,
    shape: Any, **attributes: Any,
) -> ir.Value:  # fmt: skip
    import onnx_ir as ir

    node = ir.node(op, list(inputs), attributes, name=free_name(model, f"{wanted}.{op}"))
    out = node.outputs[0]
    out.name, out.dtype = f"{node.name}_out", dtype
    out.shape = None if shape is None else ir.Shape(shape)
    made.append(node)
    return out


def _input(model: ir.Model, wanted: str) -> ir.Value:
    from onnx_lab.transforms.surgery._affine import chosen

    value = chosen(model, wanted)[0].input
    if value.dtype is None or not value.dtype.is_floating_point():
        kind = "nothing known" if value.dtype is None else value.dtype.name.lower()
        raise TransformError(f"surgery.put_in_normalization: {wanted} is {kind}, and only floats are normalized")
    return value


def _shaped(numbers: Sequence[float], shape: Any, axis: int, wanted: str) -> Any:
    import numpy as np

    array = np.array(numbers, float)
    if array.size == 1:
        return array.reshape(())
    rank = len(shape) if shape is not None else 0
    place = axis + rank if axis < 0 else axis
    if not 0 <= place < rank:
        raise BadInput(f"axis={axis} of {wanted}, which has {rank} axes", accepted=f"{-rank} to {rank - 1}")
    size = shape[place]
    if isinstance(size, int) and size != array.size:
        raise BadInput(
            f"{array.size} numbers for axis {axis} of {wanted}, which is {size}", accepted=f"one, or {size}",
            do="axis=-1 where the channels are last",
        )  # fmt: skip
    return array.reshape([-1] + [1] * (rank - 1 - place))


def _raw(feeds: Feeds, name: str, means: Sequence[float], stds: Sequence[float], axis: int) -> Feeds:
    """The original's feeds, as they were before they were normalized."""
    import numpy as np

    value = feeds[name]
    mean, std = (_shaped(v, value.shape, axis, name) for v in (means, stds))
    return {**feeds, name: np.asarray(value.astype(float) * std + mean, value.dtype)}


def plain_code(
    *, tensor: str, mean: float | Iterable[float], std: float | Iterable[float], axis: int = 1, dtype: str | None = None
) -> str:
    """The plain code of a put_in_normalization step.

    Examples
    --------
    >>> print(plain_code(tensor="x", mean=[0.5], std=[2.0]).splitlines()[-3])
    model.graph.sort()
    """
    cast = [
        "real = value.dtype", f"value.dtype = ir.DataType.{str(dtype).upper()}",
        "new.append(ir.node('Cast', [value], {'to': real.value}))",
    ] if dtype else []  # fmt: skip
    return program(
        "put_in_normalization", f"value = next(v for v in model.graph.inputs if v.name == {tensor!r})",
        "uses = [(use.node, use.idx) for use in value.uses()]", "new = []", *cast,
        f"for op, numbers in (('Sub', {_list(mean)!r}), ('Div', {_list(std)!r})):",
        "    array = np.array(numbers, np.float32)",
        f"    array = array.reshape([-1] + [1] * (len(value.shape) - 1 - {axis} % len(value.shape)))",
        "    constant = ir.Value(name=f'{value.name}.{op}', const_value=ir.tensor(array))",
        "    model.graph.register_initializer(constant)",
        "    new.append(ir.node(op, [new[-1].outputs[0] if new else value, constant]))",
        "for node, index in uses:", "    node.replace_input_with(index, new[-1].outputs[0])",
        "model.graph.extend(new)", "model.graph.sort()", imports=["import numpy as np"],
    )  # fmt: skip
