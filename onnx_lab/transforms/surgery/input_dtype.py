"""input_dtype: an input takes another type, and a Cast behind it gives the graph what it had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir

_DTYPES = ("int32", "int64", "uint8", "int8", "float16", "float32", "float64", "bool")
Dtype = Literal["int32", "int64", "uint8", "int8", "float16", "float32", "float64", "bool"]


def input_dtype(
    m: Model, inputs: str | Iterable[str], dtype: Dtype, *, name: str | None = None, check: bool = True
) -> Model:
    """Change the type that inputs are fed: ids as int32, pictures as uint8, features as float16.

    Parameters
    ----------
    m : Model
    inputs : str or iterable of str
        Names of inputs, e.g. ``input_ids,attention_mask``.
    dtype : {"int32", "int64", "uint8", "int8", "float16", "float32", "float64", "bool"}
    name : str, optional
        Default ``"<name>-input-dtype"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other; values of the narrower type.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a name that is no input, or a type that the input has already.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> str(lab.surgery.input_dtype(lab.samples.tiny(), "x", "float16").inputs[0])
    'x: float16[batch, 8]'
    """
    check_model(m)
    wanted = names("inputs", inputs)
    one_of("dtype", dtype, _DTYPES)
    known = {s.name: s.dtype for s in m.inputs}
    for word in wanted:
        if word not in known:
            raise BadInput(
                f"{word!r} is no input", accepted="; ".join(map(str, m.inputs)), do=did_you_mean(word, known)
            )
    if all(known[w] == dtype for w in wanted):
        raise BadInput(f"{', '.join(wanted)} takes {dtype} already", accepted="another type")

    def fed(feeds: Feeds) -> Feeds:
        return {k: v.astype(known[k]) if k in wanted else v for k, v in feeds.items()}

    return edited(
        m,
        "input_dtype",
        lambda g: _input_dtype(g, wanted, dtype),
        options={"inputs": list(wanted), "dtype": dtype},
        name=name,
        promise="same",
        check=check,
        back=fed,
    )


def _input_dtype(model: ir.Model, wanted: Sequence[str], dtype: str) -> list[str]:
    import onnx_ir as ir

    say = []
    new = ir.DataType.from_numpy(np.dtype(dtype))
    for value in [v for v in model.graph.inputs if v.name in wanted]:
        old = value.dtype
        if old == new or old is None:
            continue
        cast = ir.node("Cast", [value], {"to": int(old.value)}, name=f"{value.name}.to_{old.name.lower()}")
        behind = cast.outputs[0]
        behind.name, behind.shape, behind.type = f"{cast.name}_out", value.shape, ir.TensorType(old)
        for node, index in [(u.node, u.idx) for u in value.uses()]:
            if node is not cast:
                node.replace_input_with(index, behind)
        for i, output in enumerate(model.graph.outputs):
            if output is value:
                model.graph.outputs[i] = behind
        value.dtype = new
        first = model.graph[0] if len(model.graph) else None
        model.graph.insert_before(first, cast) if first is not None else model.graph.append(cast)
        say.append(f"{value.name} takes {dtype}, and a Cast makes it {old.name.lower()}")
    return say


def plain_code(*, inputs: str | Sequence[str], dtype: str) -> str:
    """The plain code of an input_dtype step.

    Examples
    --------
    >>> print(plain_code(inputs="ids", dtype="int32").splitlines()[-1])
    ir.save(model, "model-input-dtype.onnx")
    """
    return program(
        "input_dtype",
        f"for value in [v for v in model.graph.inputs if v.name in {list(names('inputs', inputs))!r}]:",
        '    cast = ir.node("Cast", [value], {"to": int(value.dtype)})',
        "    cast.outputs[0].name, cast.outputs[0].type = f'{value.name}.cast', value.type",
        "    for use in [u for u in value.uses() if u.node is not cast]:",
        "        use.node.replace_input_with(use.idx, cast.outputs[0])",
        f"    value.dtype = ir.DataType.{_ir_name(dtype)}",
        "    model.graph.insert_before(model.graph[0], cast)",
    )


def _ir_name(dtype: str) -> str:
    import onnx_ir as ir

    return ir.DataType.from_numpy(np.dtype(dtype)).name
