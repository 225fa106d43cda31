"""Why primitives that look like a layer normalization did not become one node, and a residual in front stayed apart.

(x - mean(x)) / sqrt(mean((x - mean(x))²) + epsilon) * scale + bias        both means over the last axis
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_lab.transforms import _near as near

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.transforms.explain import Unfused

_MODULE = "torch.nn.LayerNorm in the source, and export again"


def open_norms(model: ir.Model) -> list[Unfused]:
    """All places where a centred tensor is divided by a root, and no LayerNormalization was made of it."""
    near_ones = [(n, _why(n)) for n in model.graph if n.op_type == "Sqrt"]
    return [near.left(node, *reason) for node, reason in near_ones if reason]


def why_not(model: ir.Model) -> str:
    """The first reason, for the card of `optimize`."""
    first = next(iter(open_norms(model)), None)
    return f"{first.node}: {first.reason}" if first else ""


def _why(root: ir.Node) -> tuple[str, str] | None:
    """None for a root that is no norm's."""
    add = near.maker(root.inputs[0], "Add")
    epsilon = near.sides(add)[0] if add is not None else None
    # where the epsilon is computed, either side may be the variance
    inside = add.inputs if add is not None else root.inputs[:1]
    found = [
        (v, s) for x in inside if (v := near.maker(x, "ReduceMean")) and (s := near.maker(v.inputs[0], "Pow", "Mul"))
    ]
    if not found:
        return None
    variance, square = found[0]
    centred = square.inputs[0]
    minus = near.maker(centred, "Sub")
    if minus is None or centred is None:
        return "no mean is taken off before: this is RMS normalization", "nothing: another formula, with no fusion here"
    return (
        _why_epsilon(root, add, epsilon)
        or _why_axes(minus, variance)
        or _why_use(centred, square, root)
        or _why_scale(root, centred)
        or ("its form is not one that is known", _MODULE)
    )


def _why_epsilon(root: ir.Node, add: ir.Node | None, epsilon: float | None) -> tuple[str, str] | None:
    if add is not None:
        return None if epsilon is not None else ("its epsilon is computed, not one constant number", _MODULE)
    outside = near.readers(root.outputs[0], "Add")
    if outside and near.sides(outside[0])[0] is not None:
        return "its epsilon is added behind the root, where LayerNormalization adds it inside", _MODULE
    return "it has no epsilon", _MODULE


def _why_axes(minus: ir.Node, variance: ir.Node) -> tuple[str, str] | None:
    mean = near.maker(minus.inputs[1], "ReduceMean")
    if mean is None or mean.inputs[0] is not minus.inputs[0]:
        return "what is taken off is not the mean of the same tensor", _MODULE
    x = mean.inputs[0]
    rank = len(x.shape) if x is not None and x.shape is not None else None
    for node, word in ((mean, "mean"), (variance, "variance")):
        axes = near.axes_of(node)
        if axes is None or len(axes) != 1:
            return f"its {word} runs over {axes or 'computed axes'}, not over the last axis alone", _MODULE
        if axes[0] not in (-1, (rank or 0) - 1):
            return (
                f"its {word} runs over axis {axes[0]} of {near.dims(x)}, not over the last one",
                "normalize the last axis, or transpose before and behind",
            )
        if "axes" in node.attributes:
            return "its means are written as before opset 18, which the pattern does not have", "export with opset=20"
        if not node.attributes.get_int("keepdims", 1):
            return f"its {word} drops the axis (keepdims=0)", _MODULE
    if x is not None and x.dtype is not None and x.dtype.name not in ("FLOAT", "DOUBLE"):
        return f"it computes in {x.dtype.name.lower()}", "optimize first, then fp16"
    return None


def _why_use(centred: ir.Value, square: ir.Node, root: ir.Node) -> tuple[str, str] | None:
    known = [square, *near.readers(centred, "Div", "Mul")]
    if more := near.others(centred, known):
        return f"x - mean(x) {more}", "take that use out, or make it of x itself"
    if more := near.others(root.outputs[0], near.readers(root.outputs[0], "Div", "Reciprocal")):
        return f"the standard deviation {more}", "take that use out"
    return None


def _why_scale(root: ir.Node, centred: ir.Value) -> tuple[str, str] | None:
    over = near.readers(root.outputs[0], "Div", "Reciprocal")
    if over and over[0].op_type == "Reciprocal":
        over = near.readers(over[0].outputs[0], "Mul")
    if not over or centred not in over[0].inputs:
        return "what is divided by the root is not x - mean(x)", _MODULE
    scales = near.readers(over[0].outputs[0], "Mul")
    if not scales:
        return "no scale follows, and LayerNormalization has one", "elementwise_affine=True (a scale of ones)"
    scale = next((v for v in scales[0].inputs if v is not over[0].outputs[0]), None)
    if scale is not None and scale.shape is not None and len(scale.shape) > 1:
        return f"its scale has the shape {near.dims(scale)}, not that of the last axis", "a scale of one axis"
    return None


def open_skips(model: ir.Model) -> list[Unfused]:
    """All sums of two computed tensors in front of a LayerNormalization, and why the two are not one node."""
    found = []
    for norm in model.graph:
        add = near.maker(norm.inputs[0], "Add") if norm.op_type == "LayerNormalization" else None
        if add is None or any(near.is_constant(v) for v in add.inputs):
            continue
        found.append(near.left(norm, *_why_skip(norm, add)))
    return found


def _why_skip(norm: ir.Node, add: ir.Node) -> tuple[str, str]:
    if norm.attributes.get_int("axis", -1) != -1:
        return f"it normalizes from axis {norm.attributes.get_int('axis', -1)}, not the last one", _MODULE
    if len(norm.inputs) < 3 or norm.inputs[2] is None:
        return "its LayerNormalization has no bias", "a bias of zeros"
    shapes = [v.shape if v is not None else None for v in add.inputs]
    if any(s is None or len(s) != 3 for s in shapes):
        said = " and ".join(near.dims(v) for v in add.inputs)
        return f"the two that are added have {said}, not [batch, sequence, size]", "three axes, known in the export"
    if shapes[0] != shapes[1]:
        return f"{near.dims(add.inputs[0])} and {near.dims(add.inputs[1])} are added: one is broadcast", "equal shapes"
    if near.others(add.outputs[0], [norm]) and add.outputs[0].is_graph_output():
        return "the sum is an output of the model", "nothing"
    return "its form is not one that is known", _MODULE
