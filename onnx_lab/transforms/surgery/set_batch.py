"""set_batch: the file takes batches of one size, whatever it took before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.feeds import axis_kind
from onnx_lab.model import Model
from onnx_lab.transforms._fixed import fix_axes
from onnx_lab.transforms.surgery import _samples
from onnx_lab.transforms.surgery._dynamic_code import dynamic_code
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._free_axes import free_axes
from onnx_lab.transforms.surgery._free_mends import sentence
from onnx_lab.transforms.surgery.dynamic import found, free_sizes
from onnx_lab.transforms.surgery.static import plain_code as static_code

if TYPE_CHECKING:
    import onnx_ir as ir

#: What the code needs of what the step found out.
FOUND = ("axes", "mends")


def set_batch(m: Model, size: int, *, name: str | None = None, check: bool = True) -> Model:
    """Fix the batch at a size: a dynamic one, or another one that the file was exported with.

    From another size the way leads over a free one, as `dynamic` makes it: constants that hold the old size are
    rewritten. Every sample's answer is held against the original's.

    Parameters
    ----------
    m : Model
    size : int
        1 or more.
    name : str, optional
        Default ``"<name>-set-batch"``.
    check : bool, default True
        Run both files and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a size below 1, or when no input has a batch axis.
    TransformError
        When a node forbids it: it is named, with the reason. When a sample's answer would differ.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> four = lab.surgery.set_batch(lab.samples.tiny(), 4)
    >>> str(four.inputs[0]), str(lab.surgery.set_batch(four, 2).outputs[0])
    ('x: float32[4, 8]', 'logits: float32[2, 4]')
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise BadInput(f"size={size!r}", accepted="a whole number, 1 or more")
    notes: dict[str, Any] = {}
    return edited(
        m, "set_batch", lambda g: _set_batch(m, g, size, check, notes), options={"size": size}, name=name,
        check=False, notes=notes,
    )  # fmt: skip


def _set_batch(m: Model, model: ir.Model, size: int, check: bool, notes: dict[str, Any]) -> list[str]:
    places = {(s.name, 0): str(s.shape[0]) for s in m.inputs if s.shape and axis_kind(s, 0) == "batch"}
    dynamic = {k: v for k, v in places.items() if not _fixed(m, k[0])}
    if not places:
        raise BadInput(f"{m.name} has no batch axis ({'; '.join(map(str, m.inputs))})", accepted="a first axis")
    say, batch = [f"batch: {size}"], size
    if not dynamic:
        free = free_axes(m, ["batch"])
        batch = next(iter(free.values())).old
        if batch != size:
            mends = free_sizes(m, model, free)
            notes |= found(free, mends)
            say.append(f"it was {batch}; {sentence(mends)}")
        dynamic = {k: f.name for k, f in free.items()}
    notes.setdefault("axes", [[n, a, word] for (n, a), word in dynamic.items()])
    fix_axes(model, dict.fromkeys(dynamic, size))
    if check:
        say += _samples.prove(m, model, edit="set_batch", batch=batch, axes=dynamic, sizes=(size,))
    return say


def _fixed(m: Model, name: str) -> bool:
    return any(s.name == name and isinstance(s.shape[0], int) for s in m.inputs)


def plain_code(
    *, size: int, axes: Sequence[Sequence[Any]] = (), mends: Sequence[Mapping[str, Any]] | None = None
) -> str:
    """The plain code of a set_batch step: what it found out in the graph is written out.

    Examples
    --------
    >>> print(plain_code(size=4, axes=[["x", 0, "batch"]]).splitlines()[-1])
    ir.save(model, "model-set-batch.onnx")
    """
    fixed = static_code(axis=[f"{name}:{axis}={size}" for name, axis, _ in axes])
    fixed = fixed.replace("model-static.onnx", "model-set-batch.onnx")
    if mends is None:
        return fixed
    return dynamic_code(axes, mends, 'ir.save(model, "model.onnx")') + "\n\n# and the batch at its new size\n" + fixed
