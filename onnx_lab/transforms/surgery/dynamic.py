"""dynamic: a fixed axis gets a name, through the whole graph, and is proven by running at sizes the file never had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab._a_model import check_model
from onnx_lab.model import Model
from onnx_lab.transforms._fixed import forget_shapes
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery import _samples
from onnx_lab.transforms.surgery._dynamic_code import dynamic_code
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._free_axes import dynamic_already, free_axes
from onnx_lab.transforms.surgery._free_dims import Dims, Free
from onnx_lab.transforms.surgery._free_mends import Mend, Mender, sentence
from onnx_lab.transforms.surgery._free_walk import Walk

if TYPE_CHECKING:
    import onnx_ir as ir

#: What the code needs of what the step found out.
FOUND = ("axes", "mends")


def dynamic(m: Model, axis: str | Iterable[str] = "batch", *, name: str | None = None, check: bool = True) -> Model:
    """Make a fixed axis dynamic: the file then takes any number of samples, or pictures of any height.

    Constants that hold the old size are rewritten where they stand: targets of Reshape and Expand, ends of Slice,
    rows that were repeated for each sample, indices that count samples. The result is run at batch 1, 3 and 8, and
    every sample's answer is held against the original's.

    Parameters
    ----------
    m : Model
        With a fixed axis, as an export without ``dynamic=`` leaves it.
    axis : str or iterable of str, default "batch"
        ``batch`` (axis 0 of the inputs), ``sequence``, ``height``, ``width``; any other as ``INPUT:AXIS`` or
        ``INPUT:AXIS=NAME``.
    name : str, optional
        Default ``"<name>-dynamic"``.
    check : bool, default True
        Run both files and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For an axis that the model does not have, or that is dynamic already.
    TransformError
        When a node forbids it: it is named, with the reason. When a sample's answer would differ.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> fixed = lab.fix_shapes(lab.samples.tiny(), batch=2)
    >>> m = lab.surgery.dynamic(fixed)
    >>> str(fixed.inputs[0]), str(m.inputs[0]), str(m.outputs[0])
    ('x: float32[2, 8]', 'x: float32[batch, 8]', 'logits: float32[batch, 4]')
    """
    check_model(m)
    words = names("axis", axis)
    free = free_axes(m, words)
    notes: dict[str, Any] = {}
    return edited(
        m, "dynamic", lambda g: _dynamic(m, g, free, check, notes), options={"axis": list(words)}, name=name,
        check=False, notes=notes,
    )  # fmt: skip


def _dynamic(
    m: Model, model: ir.Model, free: Mapping[tuple[str, int], Free], check: bool, notes: dict[str, Any]
) -> list[str]:
    mends = free_sizes(m, model, free)
    notes |= found(free, mends)
    say = [f"dynamic: {', '.join(_told(f) for f in dict.fromkeys(free.values()))}", sentence(mends)]
    if check:
        say += _proven(m, model, free)
    return say + _constant_outputs(model)


def found(free: Mapping[tuple[str, int], Free], mends: Sequence[Mend]) -> dict[str, Any]:
    """What the plain code needs of what was found out, as JSON."""
    return {"axes": [[name, a, f.name] for (name, a), f in free.items()], "mends": [m.told() for m in mends]}


def free_sizes(m: Model, model: ir.Model, free: Mapping[tuple[str, int], Free]) -> list[Mend]:
    """Make sizes free in `model`, in place; what was changed.

    Raises
    ------
    TransformError
        With the node that forbids it.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import NameFixPass

    from onnx_lab.transforms._shapes import infer_symbolic_shapes

    if any(n.domain not in ("", "ai.onnx") for n in model.graph):
        infer_symbolic_shapes(model)  # ONNX knows nothing of what other operators make
    model.graph.sort()
    NameFixPass()(model)
    walk = Walk(model, {**dynamic_already(m, free), **free})
    mends = walk.go()
    mender = Mender(model)
    for mend in mends:
        mender.mend(mend)
    for value in model.graph.inputs:
        if value.shape is not None:
            dims = [free[k].name if (k := (value.name or "", a)) in free else d for a, d in enumerate(value.shape)]
            value.shape = ir.Shape(dims)
    said = [_output_shape(v, walk.dims(v), free) for v in model.graph.outputs]
    forget_shapes(model)
    for value, shape in zip(model.graph.outputs, said, strict=True):
        value.shape = shape
    return mends


def _output_shape(value: ir.Value, dims: Dims | None, free: Mapping[tuple[str, int], Free]) -> ir.Shape | None:
    """What its axes are made of, as a file says it; where that is not known, what was said before without old sizes."""
    import onnx_ir as ir

    if dims is None:
        first = next(iter(free.values()))
        samples = first.name if first.samples else None
        return (
            None
            if value.shape is None
            else ir.Shape(
                [
                    (samples if axis == 0 else None) if isinstance(d, int) and d == first.old else d
                    for axis, d in enumerate(value.shape)
                ]
            )
        )
    known: list[int | str | None] = []
    for dim in dims:
        if all(isinstance(f, int) for f in dim):
            known.append(dim[0] if dim and isinstance(dim[0], int) else 1)
        else:
            known.append(dim[0].name or None if len(dim) == 1 and isinstance(dim[0], Free) else None)
    return ir.Shape(known)


def _constant_outputs(model: ir.Model) -> list[str]:
    """Outputs that the free axes do not reach."""
    fixed = [v for v in model.graph.outputs if v.shape is not None and all(isinstance(d, int) for d in v.shape)]
    return [f"without the axis: output {', '.join(v.name or '' for v in fixed)}"] if fixed else []


def _proven(m: Model, model: ir.Model, free: Mapping[tuple[str, int], Free]) -> list[str]:
    samples = {k: f.name for k, f in free.items() if f.samples}
    others = {f.name: f.old for f in free.values() if not f.samples}
    batch = next((f.old for f in free.values() if f.samples), 1)
    sizes = _samples.SIZES if samples else (1,)
    return _samples.prove(m, model, edit="dynamic", batch=batch, axes=samples, sizes=sizes, others=others)


def _told(free: Free) -> str:
    return f"{free.name} (was {free.old})"


def plain_code(
    *,
    axis: str | Sequence[str] = "batch",  # noqa: ARG001  (told by axes)
    axes: Sequence[Sequence[Any]] = (),
    mends: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The plain code of a dynamic step: what it found out in the graph is written out.

    Examples
    --------
    >>> print(plain_code(axes=[["x", 0, "batch"]]).splitlines()[-1])
    ir.save(model, "model-dynamic.onnx")
    """
    return dynamic_code(axes, mends, 'ir.save(model, "model-dynamic.onnx")')
