"""static: dynamic axes become numbers, by name or by place, and nothing else is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model
from onnx_lab.transforms._fixed import fix_axes
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir


def static(m: Model, axis: str | Iterable[str], *, name: str | None = None, check: bool = True) -> Model:
    """Fix dynamic axes at sizes: by the name that the card shows, or by their place.

    `onnx_lab.fix_shapes` fixes batch and sequence at once and guesses which axes they are; this takes exactly what is
    named. What was computed from these axes becomes constant.

    Parameters
    ----------
    m : Model
    axis : str or iterable of str
        ``NAME=SIZE`` or ``INPUT:AXIS=SIZE``: ``batch=4``, ``x:2=640``.
    name : str, optional
        Default ``"<name>-static"``.
    check : bool, default True
        Run both files on random feeds of these sizes and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a word of another form, an axis that the model does not have, or one that is fixed already.
    TransformError
        When the answers would differ.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> str(lab.surgery.static(lab.samples.tiny(), "batch=3").outputs[0])
    'logits: float32[3, 4]'
    """
    check_model(m)
    words = names("axis", axis)
    sizes: dict[tuple[str, int], int] = {}
    for word in words:
        sizes |= _places(m, word)
    return edited(
        m, "static", lambda g: _static(g, sizes), options={"axis": list(words)}, name=name, promise="same", check=check
    )


def _static(model: ir.Model, sizes: dict[tuple[str, int], int]) -> list[str]:
    fix_axes(model, sizes)
    return ["fixed: " + ", ".join(f"axis {axis} of {name} = {size}" for (name, axis), size in sizes.items())]


def _places(m: Model, word: str) -> dict[tuple[str, int], int]:
    found = re.fullmatch(r"(.+)=(\d+)", word)
    accepted = "NAME=SIZE or INPUT:AXIS=SIZE, e.g. batch=4"
    if found is None or int(found[2]) < 1:
        raise BadInput(f"axis {word!r}", accepted=accepted)
    called, size = found[1], int(found[2])
    free = {(s.name, a): d for s in m.inputs for a, d in enumerate(s.shape) if not isinstance(d, int)}
    if exact := re.fullmatch(r"(.+):(\d+)", called):
        place = (exact[1], int(exact[2]))
        if place not in free:
            known = [f"{n}:{a}" for n, a in free]
            raise BadInput(f"{called} is no dynamic axis", accepted=", ".join(known) or "none: all are fixed",
                           do=did_you_mean(called, known) if known else "surgery.dynamic makes one")  # fmt: skip
        return {place: size}
    places = [p for p, d in free.items() if d == called]
    if not places:
        known = list(dict.fromkeys(d for d in free.values() if d))
        raise BadInput(f"no dynamic axis is called {called!r}", accepted=", ".join(known) or accepted,
                       do=did_you_mean(called, known) if known else "INPUT:AXIS=SIZE names any")  # fmt: skip
    return dict.fromkeys(places, size)


def plain_code(*, axis: str | Iterable[str]) -> str:
    """The plain code of a static step.

    Examples
    --------
    >>> print(plain_code(axis="batch=3").splitlines()[0])
    import onnx_ir as ir
    """
    by_name, by_place = {}, {}
    for word in names("axis", axis):
        called, size = word.rsplit("=", 1)
        name, colon, place = called.rpartition(":")
        if colon and place.isdigit():
            by_place[name, int(place)] = int(size)
        else:
            by_name[called] = int(size)
    return _CODE.format(by_name=by_name, by_place=by_place)


_CODE = '''import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass
from onnxscript.optimizer import optimize

model = ir.load("model.onnx")
by_name, by_place = {by_name!r}, {by_place!r}


def size(name, axis, dim):
    """The number that this axis becomes, or what it is."""
    word = dim if isinstance(dim, int) else dim.value
    return by_place.get((name, axis), by_name.get(word, dim))


for value in model.graph.inputs:
    value.shape = ir.Shape([size(value.name, axis, dim) for axis, dim in enumerate(value.shape)])
for node in model.graph:
    for value in node.outputs:  # what is written about inner tensors still bears the names
        value.shape = None
for _ in range(4):
    ShapeInferencePass()(model)
    optimize(model)
ir.save(model, "model-static.onnx")'''
