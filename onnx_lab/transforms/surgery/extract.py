"""extract: the part of a graph between named tensors, a model of its own: without its pre- or post-processing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, OnnxLabError, TransformError
from onnx_lab.feeds import model_feeds
from onnx_lab.model import Model
from onnx_lab.transforms import _proof
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery import _part
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir

_SAME = 1e-4


def extract(
    m: Model,
    inputs: str | Iterable[str] | None,
    outputs: str | Iterable[str],
    *,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Take the part between named tensors: a detector without its box sorting, a network without its resizing.

    What the outputs need and the inputs do not give is kept, back to the model's own inputs. The part is run on what
    the whole model computes at these places, and must answer as it does.

    Parameters
    ----------
    m : Model
    inputs : str or iterable of str, or None
        Tensors where the part begins; None for the inputs of the model.
    outputs : str or iterable of str
        Tensors where it ends.
    name : str, optional
        Default ``"<name>-extract"``.
    check : bool, default True
        Run the whole and the part and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a tensor that the graph does not have, or an input on which none of the outputs depends.
    TransformError
        When the type of a new input is not known, or the part answers otherwise.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> part = lab.surgery.extract(lab.samples.tiny(), "h1", "logits")
    >>> [s.name for s in part.inputs], part.header.nodes
    (['h1'], 4)
    """
    begin, end = (None if inputs is None else names("inputs", inputs)), names("outputs", outputs)
    return edited(
        m,
        "extract",
        lambda g: _extract(m, g, begin, end, check),
        options={"inputs": None if begin is None else list(begin), "outputs": list(end)},
        name=name,
        check=False,
    )


def _extract(m: Model, model: ir.Model, begin: Sequence[str] | None, end: Sequence[str], check: bool) -> list[str]:
    whole = m.to_ir() if check else None
    _part.cut(model, begin, end)
    made = [v.name or "" for v in model.graph.inputs]
    if begin is not None and (idle := [n for n in begin if n not in made]):
        raise BadInput(
            f"inputs: no output depends on {', '.join(idle)}",
            accepted=f"tensors on the way to {', '.join(end)}",
            do="leave it out",
        )
    say = [f"the part from {', '.join(made) or 'nothing'} to {', '.join(end)}"]
    if begin is not None and (more := [n for n in made if n not in begin]):
        say.append(f"{', '.join(more)} is an input, too: the outputs need it past the tensors that were named")
    return say + (agrees(m, whole, model, "extract") if whole is not None else [])


def agrees(m: Model, whole: ir.Model, part: ir.Model, edit: str) -> list[str]:
    """Run the whole model with the part's ends as outputs, then the part on what it got there.

    Raises
    ------
    TransformError
        When the part answers otherwise.
    """
    from onnx_lab import workspace
    from onnx_lab.produce import write_ir

    ends = [v.name or "" for v in (*part.graph.inputs, *part.graph.outputs)]
    own = {s.name for s in m.inputs}
    _part.expose_all(whole, [n for n in ends if n not in own])
    with workspace.scratch() as folder:
        write_ir(whole, folder / "whole.onnx")
        write_ir(part, folder / "part.onnx")
        big, small = (workspace.open_model(folder / f"{n}.onnx") for n in ("whole", "part"))
        feeds: dict[str, Any] = dict(model_feeds(m, batch=2, seq=16))
        try:
            seen = feeds | _proof.answers(big, [feeds])[0]
        except OnnxLabError as e:
            return [f"not run: {m.name} does not take random feeds ({e.came.splitlines()[0]})"]
        try:
            given = _proof.answers(small, [{s.name: seen[s.name] for s in small.inputs}])[0]
        except OnnxLabError as e:
            raise TransformError(f"surgery.{edit}: the part does not run: {e.came.splitlines()[0]}") from None
    worst = max((_proof.difference(seen[n], v), n) for n, v in given.items())
    if worst[0] > _SAME:
        raise TransformError(f"surgery.{edit}: output {worst[1]!r} of the part differs by {worst[0]:.2g}")
    return [f"on what {m.name} computes there it answers as the whole does (largest difference {worst[0]:.1g})"]


def plain_code(*, inputs: Sequence[str] | None = None, outputs: Sequence[str]) -> str:
    """The plain code of an extract step.

    Examples
    --------
    >>> print(plain_code(inputs="h1", outputs="logits").splitlines()[-1])
    onnx.utils.extract_model("model.onnx", "model-extract.onnx", inputs, ['logits'])
    """
    lines = [
        "import onnx",
        "",
        "# with sub-graphs, or shapes that inference does not find: onnx_ir.convenience.extract",
    ]
    if inputs is None:
        lines.append('inputs = [v.name for v in onnx.load("model.onnx", load_external_data=False).graph.input]')
    else:
        lines.append(f"inputs = {list(names('inputs', inputs))!r}")
    end = list(names("outputs", outputs))
    return "\n".join([*lines, f'onnx.utils.extract_model("model.onnx", "model-extract.onnx", inputs, {end!r})'])
