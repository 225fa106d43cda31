"""A Focus block: four strided slices of one image, joined along the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.transforms.surgery._slopes import dims

if TYPE_CHECKING:
    import onnx_ir as ir

#: An end at or above this is "to the end", as exporters write it.
_END = 2**31 - 1
_HEIGHT, _WIDTH = 2, 3


@dataclass(frozen=True)
class Focus:
    """The Concat, the image, and for each of its four parts which row and column of a 2x2 cell it takes."""

    concat: ir.Node
    image: ir.Value
    cells: tuple[tuple[int, int], ...]


def focus_at(concat: ir.Node) -> Focus | str:
    """The Focus block that ends in this Concat, or why it is none."""
    title = concat.name or "Concat"
    rank = len(dims(concat.inputs[0]) or ()) or 4
    if concat.attributes.get_int("axis", 0) % rank != 1 or len(concat.inputs) != 4:
        return f"{title} does not join four parts along the channels"
    parts = [_part(v) for v in concat.inputs]
    for part, value in zip(parts, concat.inputs, strict=True):
        if isinstance(part, str):
            return f"{title}: {value.name if value is not None else 'a part'} {part}"
    known = [p for p in parts if not isinstance(p, str)]
    sources = {id(image) for image, _ in known}
    cells = tuple(cell for _, cell in known)
    if len(sources) != 1 or len(set(cells)) != 4:
        return f"{title}: its parts are not the four corners of each 2x2 cell of one image"
    return Focus(concat, known[0][0], cells)


def _part(value: ir.Value | None) -> tuple[ir.Value, tuple[int, int]] | str:
    """The image that a chain of Slices reads, and the (row, column) where it starts."""
    starts: dict[int, int] = {}
    while value is not None and (node := value.producer()) is not None and node.op_type == "Slice":
        cut = _cut(node)
        if isinstance(cut, str):
            return cut
        for axis, (start, step) in cut.items():
            if step == 1 and start == 0:
                continue
            if step != 2 or start not in (0, 1) or axis in starts:
                return f"is a Slice ({node.name}) from {start} in steps of {step} on axis {axis}"
            starts[axis] = start
        value = node.inputs[0]
    if value is None or starts.keys() != {_HEIGHT, _WIDTH}:
        return "is no Slice in steps of 2 along height and width"
    return value, (starts[_HEIGHT], starts[_WIDTH])


def _cut(node: ir.Node) -> dict[int, tuple[int, int]] | str:
    """Axis -> (start, step) of a Slice that goes to the end, or why it is another."""
    starts, ends, axes, steps = (_numbers(node, i) for i in (1, 2, 3, 4))
    if starts is None or ends is None:
        return f"is a Slice ({node.name}) whose bounds are computed"
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    shape = dims(node.inputs[0]) or [None] * 4
    found = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis % len(shape)
        size = shape[place]
        if end < (size if isinstance(size, int) else _END):
            return f"is a Slice ({node.name}) that ends at {end}"
        found[place] = (start, step)
    return found


def _numbers(node: ir.Node, index: int) -> list[int] | None:
    import onnx_ir as ir

    value = node.inputs[index] if index < len(node.inputs) else None
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else [int(i) for i in tensor.numpy().reshape(-1)]


def cells_kernel(focus: Focus, channels: int, dtype: Any) -> Any:
    """Weights ``[4 * channels, channels, 2, 2]`` of ones and zeros: the Conv that only sorts pixels."""
    import numpy as np

    kernel = np.zeros((4 * channels, channels, 2, 2), dtype)
    for group, (row, column) in enumerate(focus.cells):
        for c in range(channels):
            kernel[group * channels + c, c, row, column] = 1
    return kernel


def fused_kernel(focus: Focus, weights: Any) -> Any:
    """Weights of the Conv behind it, spread over the image: ``[out, 4 c, k, k]`` becomes ``[out, c, 2k, 2k]``."""
    import numpy as np

    out, many, high, wide = weights.shape
    channels = many // 4
    kernel = np.zeros((out, channels, 2 * high, 2 * wide), weights.dtype)
    for group, (row, column) in enumerate(focus.cells):
        kernel[:, :, row::2, column::2] = weights[:, group * channels : (group + 1) * channels]
    return kernel
