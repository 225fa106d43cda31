"""fix_shapes: dynamic axes become numbers, and what was computed from them becomes constant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, OnnxLabError, did_you_mean
from onnx_lab.feeds import axis_kind
from onnx_lab.model import Model, TensorSpec
from onnx_lab.produce import Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms import _proof
from onnx_lab.transforms._carry import fill_scopes
from onnx_lab.transforms._counts import count_nodes, size_sentence
from onnx_lab.transforms._fixed import fix_axes

if TYPE_CHECKING:
    import onnx_ir as ir

_TOOLS = ["onnx-lab", "onnxscript", "onnx-ir", "onnx", "onnxruntime", "onnxruntime-gpu"]
#: Kinds of operators named on the card; the rest are counted.
_NAMED = 8


def fix_shapes(
    m: Model,
    *,
    batch: int | None = 1,
    seq: int | None = 128,
    axes: Mapping[str, int] | None = None,
    name: str | None = None,
) -> Model:
    """Make dynamic axes numbers: engines then plan once, and the arithmetic on shapes leaves the graph.

    The result takes feeds of this size only. It is run against `m` on two random batches of that size, one of them
    padded where there is a mask, before it is written.

    Parameters
    ----------
    m : Model
        With at least one dynamic axis.
    batch : int or None, default 1
        Size of the batch axis; None leaves it dynamic.
    seq : int or None, default 128
        Size of every sequence axis, in tokens; None leaves them dynamic. Without a sequence axis it means nothing.
    axes : mapping of str to int, optional
        Sizes by the names of axes, as the card shows them; they win over `batch` and `seq`, and are the only way to
        fix others, such as ``{"height": 224, "width": 224}``.
    name : str, optional
        Default ``"<name>-fixed"``.

    Returns
    -------
    Model
        Its card says which axes are fixed, which stay dynamic, and which nodes went.

    Raises
    ------
    BadInput
        For an axis that the model does not have, a size below 1, a size at which the original does not run (it is
        run, and the engine's reason is quoted), or when there is no axis to fix.
    TransformError
        When the fixed graph's answers would differ from the original's.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> fixed = lab.fix_shapes(lab.samples.tiny(), batch=4)
    >>> [str(s) for s in (*fixed.inputs, *fixed.outputs)]
    ['x: float32[4, 8]', 'logits: float32[4, 4]']
    """
    given = dict(axes or {})
    for word, size in {"batch": batch, "seq": seq, **given}.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise BadInput(
                f"{word}={size!r}", accepted="a whole number, 1 or more" + (" or None" * (word not in given))
            )
    refuse_frozen(m, "fix_shapes")
    sizes = _sizes(m, batch, seq, given)
    if not sizes:
        raise BadInput(
            f"fix_shapes: {m.name} has no axis to fix ({'; '.join(map(str, m.inputs))})",
            accepted="a model with a dynamic batch or sequence axis, or axes={'name': size}",
            do="nothing: its shapes are fixed already" if not _free(m) else f"axes={{{_free(m)[0]!r}: ...}}",
        )
    return produce(
        "fix_shapes",
        options_json(batch=batch, seq=seq, **({"axes": given} if given else {})),
        lambda: _body(m, sizes, batch, seq, given),
        tools=_TOOLS,
        name=name or f"{m.name}-fixed",
        parent=m,
    )


def _sizes(m: Model, batch: int | None, seq: int | None, given: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """(input, axis) -> size, for every axis that is to be fixed."""
    known = _free(m)
    for word in given:
        if word not in known:
            raise BadInput(f"axis {word!r}", accepted=", ".join(known) or "none: no axis has a name",
                           do=did_you_mean(word, known) if known else "batch=... and seq=...")  # fmt: skip
    by_kind = {"batch": batch, "sequence": seq}
    kinds = _kinds(m.inputs)
    sizes = {}
    for spec in m.inputs:
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, int):
                continue
            kind = kinds[dim] if dim is not None else axis_kind(spec, axis)
            size = given[dim] if dim is not None and dim in given else by_kind.get(kind)
            if size is not None:
                sizes[spec.name, axis] = size
    return sizes


def _kinds(inputs: tuple[TensorSpec, ...]) -> dict[str, str]:
    """Name of an axis -> its kind; where its places say different things, batch and sequence win."""
    kinds: dict[str, str] = {}
    for spec in inputs:
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str) and kinds.get(dim, "other") == "other":
                kinds[dim] = axis_kind(spec, axis)
    return kinds


def _free(m: Model) -> list[str]:
    """Names of the dynamic axes of the inputs, in order."""
    return list(dict.fromkeys(d for s in m.inputs for d in s.shape if isinstance(d, str)))


def _body(
    m: Model, sizes: dict[tuple[str, int], int], batch: int | None, seq: int | None, given: Mapping[str, int]
) -> Made:
    feeds = _proof.trials(m, given, batch=batch or 2, seq=seq or 16)
    try:
        expected = _proof.answers(m, feeds)
    except OnnxLabError as e:
        shapes = ", ".join(f"{k} {list(v.shape)}" for k, v in feeds[0].items())
        raise BadInput(
            f"fix_shapes: {m.name} does not run at this size ({shapes}): {_first_line(e)}",
            accepted="a size that the original takes",
            do="a smaller one",
        ) from e
    model = m.to_ir()
    before, kinds = count_nodes(model), Counter(n.op_type for n in model.graph)
    fix_axes(model, sizes)
    _settle_outputs(model, expected[0], dynamic=bool(_left(m, sizes)))
    fill_scopes(model)
    distance = _proof.prove(expected, model, feeds, "fix_shapes")
    after = count_nodes(model)
    gone = kinds - Counter(n.op_type for n in model.graph)
    say = [
        _fixed_sentence(m, sizes),
        size_sentence(before, after),
        _gone_sentence(gone),
        f"checked against {m.name} at this size: largest difference {distance:.1g}",
    ]
    if left := _left(m, sizes):
        say.insert(1, f"still dynamic: {', '.join(left)}")
    notes: dict[str, Any] = {
        "say": [s for s in say if s],
        "nodes": {"before": before.nodes, "after": after.nodes},
        "gone": dict(gone.most_common()),
        "difference": distance,
    }
    return Made(model, notes)


def _settle_outputs(model: ir.Model, answers: Mapping[str, Any], *, dynamic: bool) -> None:
    """Outputs get the shape that inference found; where all inputs are fixed, the one that the original's had."""
    import onnx_ir as ir

    for value in model.graph.outputs:
        real = answers[value.name or ""].shape
        found = list(value.shape) if value.shape is not None else [None] * len(real)
        if not dynamic:
            found = [d if isinstance(d, int) else r for d, r in zip(found, real, strict=True)]
        value.shape = ir.Shape(found)


def _left(m: Model, sizes: Mapping[tuple[str, int], int]) -> list[str]:
    free = [
        str(dim) if dim is not None else f"axis {axis} of {s.name}"
        for s in m.inputs
        for axis, dim in enumerate(s.shape)
        if not isinstance(dim, int) and (s.name, axis) not in sizes
    ]
    return list(dict.fromkeys(free))


def _fixed_sentence(m: Model, sizes: Mapping[tuple[str, int], int]) -> str:
    shapes = {s.name: s.shape for s in m.inputs}
    named = {shapes[i][axis] or f"axis {axis} of {i}": size for (i, axis), size in sizes.items()}
    return "fixed: " + ", ".join(f"{axis} = {size}" for axis, size in named.items())


def _gone_sentence(gone: Counter[str]) -> str:
    if not gone:
        return "no node went: nothing was computed from these axes"
    common = gone.most_common()
    named = ", ".join(f"{n} {op}" for op, n in common[:_NAMED])
    return f"gone: {named}" + (f" and {sum(n for _, n in common[_NAMED:])} more" if common[_NAMED:] else "")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]


def plain_code(*, batch: int | None = 1, seq: int | None = 128, axes: Mapping[str, int] | None = None) -> str:
    """The plain code that a fix_shapes step amounts to: ``model.onnx`` in, ``model-fixed.onnx`` out.

    Examples
    --------
    >>> print(plain_code(batch=4).splitlines()[0])
    import onnx_ir as ir
    """
    return _CODE.format(batch=batch, seq=seq, axes=dict(axes or {}))


_CODE = '''import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass
from onnxscript.optimizer import optimize

model = ir.load("model.onnx")
by_name, batch, seq = {axes!r}, {batch!r}, {seq!r}


def size(axis, dim):
    """The number that this axis becomes; a name that says neither batch nor sequence is known by its place."""
    if isinstance(dim, int) or dim.value in by_name:
        return dim if isinstance(dim, int) else by_name[dim.value]
    word = (dim.value or "").lower()
    if any(w in word for w in ("seq", "length", "tokens", "time")):
        return seq or dim
    return (batch or dim) if axis == 0 or "batch" in word else (seq or dim) if axis == 1 else dim


for value in model.graph.inputs:
    value.shape = ir.Shape([size(axis, dim) for axis, dim in enumerate(value.shape)])
for node in model.graph:
    for value in node.outputs:  # what is written about inner tensors still bears the names
        value.shape = None
for _ in range(4):
    ShapeInferencePass()(model)
    optimize(model)
ir.save(model, "model-fixed.onnx")'''
