"""split: one model becomes two, cut at tensors; the second takes up where the first ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms.surgery import _part
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._find import tensors
from onnx_lab.transforms.surgery.extract import agrees

if TYPE_CHECKING:
    import onnx_ir as ir


def split(m: Model, tensor: str | Iterable[str], *, name: str | None = None, check: bool = True) -> tuple[Model, Model]:
    """Cut a model in two at named tensors.

    The first part ends with them (and with outputs that do not depend on them); the second begins with them, takes
    what else it needs of the model's inputs, and has the other outputs.

    Parameters
    ----------
    m : Model
    tensor : str or iterable of str
        Where to cut. Nodes on both sides of several tensors are in both parts.
    name : str, optional
        The parts are ``"<name>-head"`` and ``"<name>-tail"``. Default: that of the Model.
    check : bool, default True
        Run the whole and the parts and hold the answers against each other.

    Returns
    -------
    tuple of Model

    Raises
    ------
    BadInput
        For a tensor that the graph does not have, or when nothing lies on one of the sides.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> head, tail = lab.surgery.split(lab.samples.tiny(), "h2")
    >>> head.outputs[0].name, tail.inputs[0].name, tail.outputs[0].name
    ('h2', 'h2', 'logits')
    """
    check_model(m)
    wanted = names("tensor", tensor)
    own = name or m.name
    return _half(m, wanted, "head", f"{own}-head", check), _half(m, wanted, "tail", f"{own}-tail", check)


def _half(m: Model, wanted: Sequence[str], part: str, name: str, check: bool) -> Model:
    return edited(
        m, "split", lambda g: _split(m, g, wanted, part, check), options={"tensor": list(wanted), "part": part},
        name=name, check=False,
    )  # fmt: skip


def _split(m: Model, model: ir.Model, wanted: Sequence[str], part: str, check: bool) -> list[str]:
    one_of("part", part, ("head", "tail"))
    behind = _behind(model, tensors(model, "tensor", wanted))
    before = [v.name or "" for v in model.graph.outputs if v.name not in behind and v.name not in wanted]
    after = [v.name or "" for v in model.graph.outputs if v.name in behind]
    if not after or not any(v.producer() for v in tensors(model, "tensor", wanted)):
        raise BadInput(f"nothing lies {'behind' if not after else 'before'} {', '.join(wanted)}",
                       accepted="tensors between the inputs and the outputs")  # fmt: skip
    whole = m.to_ir() if check else None
    if part == "head":
        _part.cut(model, None, [*wanted, *before])
    else:
        _part.cut(model, wanted, after)
    say = [f"the part {'up to' if part == 'head' else 'from'} {', '.join(wanted)}"]
    return say + (agrees(m, whole, model, "split") if whole is not None else [])


def _behind(model: ir.Model, values: list[ir.Value]) -> set[str]:
    """Names of all that is computed from these."""
    from onnx_lab.transforms.surgery._shapes import owners

    owner, todo, found = owners(model), list(values), set[str]()
    while todo:
        for node in todo.pop().consumers():
            around: ir.Node | None = node
            while around is not None:
                new = [v for v in around.outputs if v.name and v.name not in found]
                found |= {v.name or "" for v in new}
                todo += new
                around = owner.get(id(around.graph))
    return found


def plain_code(*, tensor: str | Sequence[str], part: str | None = None) -> str:
    """The plain code of a split.

    Examples
    --------
    >>> print(plain_code(tensor="h2", part="head").splitlines()[-1])
    onnx.utils.extract_model("model.onnx", "model-head.onnx", inputs, tensors)
    """
    head = 'onnx.utils.extract_model("model.onnx", "model-head.onnx", inputs, tensors)'
    tail = 'onnx.utils.extract_model("model.onnx", "model-tail.onnx", tensors, outputs)'
    return "\n".join(
        [
            "import onnx",
            "",
            'graph = onnx.load("model.onnx", load_external_data=False).graph',
            "# the second part's own inputs join `tensors`, the first part's own outputs leave `outputs`",
            "inputs, outputs = [v.name for v in graph.input], [v.name for v in graph.output]",
            f"tensors = {list(names('tensor', tensor))!r}",
            *[line for line, own in ((head, "head"), (tail, "tail")) if part in (None, own)],
        ]
    )
