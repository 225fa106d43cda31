"""set_weight: a weight gets other numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, TransformError, did_you_mean
from onnx_lab.model import Model
from onnx_lab.transforms.surgery._arrays import as_code, as_option
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._shapes import forget_behind

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir


def set_weight(
    m: Model,
    weight: str,
    value: np.ndarray[Any, np.dtype[Any]] | float | str | Path,
    *,
    new_shape: bool = False,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Replace the numbers of a weight (an initializer, or what a Constant node makes).

    Parameters
    ----------
    m : Model
    weight : str
        Its name, as `onnx_lab.inspect` shows it; in sub-graphs too.
    value : ndarray, number, or path
        An array of the weight's type and shape, a number for all of its elements, or a ``.npy`` file.
    new_shape : bool, default False
        Take an array of another shape, where the nodes that read it take it.
    name : str, optional
        Default ``"<name>-set-weight"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a weight that the model does not have, another type, or another shape without `new_shape`.
    TransformError
        When a node does not take the new shape; it is named.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> m = lab.surgery.set_weight(lab.samples.tiny(), "b2", np.zeros(4, np.float32))
    >>> m.lineage[-1].notes["say"][0]
    'b2: float32[4], 4 of 4 numbers are others'
    """
    array = _array(value)
    return edited(
        m, "set_weight", lambda g: _set(g, weight, array, new_shape),
        options={"weight": weight, "value": as_option(array), "new_shape": new_shape}, name=name, check=check,
    )  # fmt: skip


def _array(value: Any) -> Any:
    import numpy as np

    if not isinstance(value, str | Path):
        return value if isinstance(value, np.ndarray) else float(value)
    try:
        return np.load(Path(value), allow_pickle=False)
    except (OSError, ValueError) as e:
        raise BadInput(f"value: {value} cannot be read: {e}", accepted="an array, a number, a .npy file") from None


def _set(model: ir.Model, weight: str, given: Any, new_shape: bool) -> list[str]:
    import numpy as np
    import onnx_ir as ir

    value = _find(model, weight)
    before = ir.convenience.get_const_tensor(value)
    assert before is not None
    old = before.numpy()
    array = given if isinstance(given, np.ndarray) else np.full(old.shape, given, old.dtype)
    _refuse(weight, old, array, new_shape)
    tensor = ir.tensor(array, name=weight)
    producer = value.producer()
    if producer is not None:
        producer.attributes.clear()
        producer.attributes["value"] = ir.Attr("value", ir.AttributeType.TENSOR, tensor)
    else:
        value.const_value = tensor
    value.shape = ir.Shape(array.shape)
    if array.shape != old.shape:
        forget_behind(model, [value])
        return [f"{weight}: {_shown(old)} → {_shown(array)}"]
    changed = int(np.count_nonzero(old != array))
    return [f"{weight}: {_shown(array)}, {changed} of {array.size} numbers are others"]


def _find(model: ir.Model, weight: str) -> ir.Value:
    known = {n: v for g in model.graphs() for n, v in g.initializers.items() if v.const_value is not None}
    known |= {str(n.outputs[0].name): n.outputs[0] for n in model.graph.all_nodes() if n.op_type == "Constant"}
    if weight not in known:
        near = did_you_mean(weight, known)
        few = near.startswith("did") or len(known) < 20
        raise BadInput(f"weight: the model has none named {weight!r}", do=near if few else "lab.inspect(m) shows names")
    return known[weight]


def _refuse(weight: str, old: Any, array: Any, new_shape: bool) -> None:
    if old.dtype != array.dtype:
        raise BadInput(f"{weight} with {_shown(array)}", accepted=_shown(old), do=f"value.astype({str(old.dtype)!r})")
    if old.shape != array.shape and not new_shape:
        raise BadInput(
            f"{weight} with {_shown(array)}",
            accepted=_shown(old),
            do="new_shape=True, if all that read it take this shape",
        )
    if array.dtype.kind == "f" and not _finite(array) and _finite(old):
        raise TransformError(f"surgery.set_weight: the new {weight} has NaN or infinity in it")


def _finite(array: Any) -> bool:
    import numpy as np

    return bool(np.isfinite(array).all())


def _shown(array: Any) -> str:
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def plain_code(*, weight: str, value: Any, new_shape: bool = False) -> str:
    """The plain code of a set_weight step.

    Examples
    --------
    >>> print(plain_code(weight="b2", value={"array": [0.0], "dtype": "float32"}).splitlines()[-3])
    weight.const_value = ir.tensor(array, name='b2')
    """
    value = value if isinstance(value, Mapping | int | float) else as_option(_array(value))
    array = (
        as_code(value, f"{weight}.npy") if isinstance(value, Mapping)
        else f"np.full_like(weight.const_value.numpy(), {value!r})"
    )  # fmt: skip
    shape = ["weight.shape = ir.Shape(array.shape)"] if new_shape else []
    return program(
        "set_weight", f"weight = model.graph.initializers[{weight!r}]", f"array = {array}", *shape,
        f"weight.const_value = ir.tensor(array, name={weight!r})", imports=["import numpy as np"],
    )  # fmt: skip
