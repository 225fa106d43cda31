"""The normalization of an input: the constants that it is multiplied with and shifted by before the network begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.transforms.surgery._rewire import drop_unread, is_constant, stand_in
from onnx_lab.transforms.surgery._slopes import dims

if TYPE_CHECKING:
    import onnx_ir as ir

_ARITHMETIC = frozenset({"Mul", "Div", "Add", "Sub"})


@dataclass
class Affine:
    """``value = input * scale + shift``, channel by channel; Casts and Transposes on the way are `kept`.

    `axis` is that of the channels at `value`, `first_axis` at the input; None while all constants are single numbers.
    `scale` and `shift` are float64, of shape [] or [channels].
    """

    input: ir.Value
    value: ir.Value
    rank: int
    scale: Any = 1.0
    shift: Any = 0.0
    axis: int | None = None
    nodes: list[ir.Node] = field(default_factory=list)
    kept: list[ir.Node] = field(default_factory=list)
    ends: str = ""

    @property
    def first_axis(self) -> int | None:
        """The channels' axis at the input."""
        axis = self.axis
        for node in reversed(self.kept):
            if axis is not None and node.op_type == "Transpose":
                axis = perm(node, self.rank)[axis]
        return axis

    def per_channel(self, channels: int) -> tuple[Any, Any]:
        """Scale and shift as arrays of this many numbers."""
        import numpy as np

        return np.broadcast_to(self.scale, channels).astype(float), np.broadcast_to(self.shift, channels).astype(float)

    def shaped(self, array: Any, axis: int | None) -> Any:
        """An array per channel in the shape that broadcasts along `axis`."""
        import numpy as np

        flat = np.asarray(array, float).reshape(-1)
        return flat.reshape(()) if flat.size == 1 else flat.reshape([-1] + [1] * (self.rank - 1 - (axis or 0)))


def perm(node: ir.Node, rank: int) -> list[int]:
    """The order that a Transpose brings axes into."""
    return list(node.attributes.get_ints("perm", list(range(rank))[::-1]))


def affine_of(value: ir.Value) -> Affine:
    """Follow an input through its normalization, to the first node that is none."""
    shape = dims(value)
    found = Affine(value, value, len(shape or ()))
    while True:
        readers = list(found.value.consumers())
        if found.value.is_graph_output() or len(readers) != 1:
            who = ", ".join(f"{n.op_type} {n.name}" for n in readers[:3])
            found.ends = f"{found.value.name} is read by {who or 'nobody'}" + " and the caller" * (
                found.value.is_graph_output()
            )
            return found
        if not found.rank or not _step(found, readers[0]):
            found.ends = f"{readers[0].op_type} {readers[0].name or ''}".strip()
            return found


def _step(found: Affine, node: ir.Node) -> bool:
    """Take one node in; False when it is no normalization."""
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "Transpose":
        order = perm(node, found.rank)
        found.axis = None if found.axis is None else order.index(found.axis)
    elif node.op_type == "Cast":
        out = node.outputs[0].dtype
        if out is None or not out.is_floating_point():
            return False
    elif node.op_type in _ARITHMETIC:
        return _arithmetic(found, node)
    elif node.op_type == "BatchNormalization":
        return _batch_norm(found, node)
    elif node.op_type != "Identity":
        return False
    found.kept.append(node)
    found.value = node.outputs[0]
    return True


def _arithmetic(found: Affine, node: ir.Node) -> bool:
    first, second = node.inputs
    constant = second if first is found.value else first
    if constant is None or constant is found.value or not _computes(found, node):
        return False
    numbers = _numbers(found, constant)
    if numbers is None:
        return False
    ahead = first is found.value
    if node.op_type == "Mul":
        found.scale, found.shift = found.scale * numbers, found.shift * numbers
    elif node.op_type == "Add":
        found.shift = found.shift + numbers
    elif node.op_type == "Div":
        if not ahead or not numbers.all():
            return False
        found.scale, found.shift = found.scale / numbers, found.shift / numbers
    else:
        found.scale = found.scale if ahead else -1 * found.scale
        found.shift = found.shift - numbers if ahead else numbers - found.shift
    _taken(found, node)
    return True


def _batch_norm(found: Affine, node: ir.Node) -> bool:
    import numpy as np

    if found.axis not in (None, 1) or not _computes(found, node) or node.attributes.get_int("training_mode", False):
        return False
    arrays = [_array(v) for v in node.inputs[1:5]]
    if any(a is None for a in arrays):
        return False
    gamma, beta, mean, var = (np.asarray(a, float) for a in arrays)
    factor = gamma / np.sqrt(var + node.attributes.get_float("epsilon", 1e-5))
    found.axis = 1
    found.scale, found.shift = found.scale * factor, (found.shift - mean) * factor + beta
    _taken(found, node)
    return True


def _computes(found: Affine, node: ir.Node) -> bool:
    """On real numbers, and without another rank."""
    dtype, shape = found.value.dtype, dims(node.outputs[0])
    return dtype is not None and dtype.is_floating_point() and (shape is None or len(shape) == found.rank)


def _taken(found: Affine, node: ir.Node) -> None:
    found.nodes.append(node)
    found.value = node.outputs[0]


def _array(value: ir.Value | None) -> Any:
    import onnx_ir as ir

    if value is None or not is_constant(value):
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None or tensor.size > 65536 else tensor.numpy()


def _numbers(found: Affine, constant: ir.Value) -> Any:
    """A constant as one number or one per channel, along the axis that the others have; None for any other."""
    import numpy as np

    array = _array(constant)
    if array is None:
        return None
    array = np.asarray(array, float)
    if array.size == 1:
        return array.reshape(())
    axes = [found.rank - array.ndim + i for i, d in enumerate(array.shape) if d != 1]
    if len(axes) != 1 or axes[0] < 0 or found.axis not in (None, axes[0]):
        return None
    found.axis = axes[0]
    return array.reshape(-1)


def bypass(found: Affine) -> None:
    """Take the normalization's nodes out of the graph; Casts and Transposes stay."""
    for node in found.nodes:
        source = next(v for v in node.inputs if v is not None and not is_constant(v))
        constants = [v for v in node.inputs if v is not None and v is not source]
        stand_in(node, node.outputs[0], source)
        if node is found.nodes[-1] or node.outputs[0] is found.value:
            found.value = source if node.outputs[0] is found.value else found.value
        assert node.graph is not None
        node.graph.remove(node, safe=True)
        drop_unread(constants)


def chosen(model: ir.Model, wanted: str | None) -> list[Affine]:
    """The normalization of one input, or of all that have one.

    Raises
    ------
    BadInput
        For an input that the model does not have.
    """
    inputs = {str(v.name): v for v in model.graph.inputs if not v.is_initializer()}
    if wanted is None:
        return [affine_of(v) for v in inputs.values()]
    if wanted not in inputs:
        raise BadInput(f"tensor={wanted!r} is no input", accepted=", ".join(inputs), do=did_you_mean(wanted, inputs))
    return [affine_of(inputs[wanted])]


def told(array: Any) -> str:
    """Numbers in a sentence: a single one where all are alike."""
    import numpy as np

    flat = np.unique(np.asarray(array, float)) if np.ptp(array) == 0 else np.asarray(array, float).reshape(-1)
    words = [f"{x:.6g}" for x in flat[:8]]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}{', ...' if flat.size > 8 else ''}]"
