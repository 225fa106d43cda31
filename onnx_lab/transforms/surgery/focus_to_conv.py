"""focus_to_conv: Focus slices (YOLOv5) become one convolution with stride 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_lab.model import Model
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._focus import Focus, cells_kernel, focus_at, fused_kernel
from onnx_lab.transforms.surgery._make import free_name, weight
from onnx_lab.transforms.surgery._rewire import drop_unread, is_constant, stand_in
from onnx_lab.transforms.surgery._shapes import inform
from onnx_lab.transforms.surgery._slopes import dims

if TYPE_CHECKING:
    import onnx_ir as ir


def focus_to_conv(m: Model, *, fuse: bool = True, name: str | None = None, check: bool = True) -> Model:
    """Write each Focus block (four slices in steps of 2, joined along the channels) as a convolution with stride 2.

    The convolution behind it takes the slices in, with a kernel and pads of twice the size: exact, padding included.
    Where none follows, or somebody else reads the slices too, one of ones and zeros takes their place.

    Parameters
    ----------
    m : Model
    fuse : bool, default True
        Into the convolution behind it, where there is one.
    name : str, optional
        Default ``"<name>-focus-to-conv"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model
        The same graph where it has no such block; the card says what was nearest, and why it is none.

    Raises
    ------
    TransformError
        When the answers would not be the same.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.focus_to_conv(lab.samples.tiny()).lineage[-1].notes["say"][0]
    '0 Focus blocks: no Concat joins four slices'
    """
    return edited(
        m, "focus_to_conv", lambda g: _write_all(g, fuse), options={"fuse": fuse}, name=name, promise="same",
        check=check,
    )  # fmt: skip


def _write_all(model: ir.Model, fuse: bool) -> list[str]:
    inform(model)
    tried = [focus_at(n) for n in list(model.graph) if n.op_type == "Concat"]
    found = [f for f in tried if isinstance(f, Focus)]
    if found:
        return [_write(model, f, fuse) for f in found]
    near = [why for why in tried if isinstance(why, str) and "does not join" not in why]
    return [f"0 Focus blocks: {near[0] if near else 'no Concat joins four slices'}"]


def _write(model: ir.Model, focus: Focus, fuse: bool) -> str:
    shape = dims(focus.image)
    title = focus.concat.name or "Concat"
    channels = shape[1] if shape and len(shape) == 4 else None
    conv = _conv_behind(focus.concat) if fuse else None
    if isinstance(conv, str) or conv is None:
        if not isinstance(channels, int) or focus.image.dtype is None:
            return f"{title} stays: the channels of {focus.image.name} are not known"
        _sort_pixels(model, focus, channels)
        return f"Focus {title} → a Conv of 2x2, stride 2, that sorts pixels" + (f" ({conv})" if conv else "")
    _fuse(model, focus, conv)
    kernel = dims(conv.inputs[1])
    size = "x".join(str(d) for d in (kernel or [])[2:])
    return f"Focus {title} and Conv {conv.name} → one Conv of {size}, stride {_ints(conv, 'strides', [1, 1])}"


def _conv_behind(concat: ir.Node) -> ir.Node | str:
    """The one Conv that can take the slices in, or why there is none."""
    out = concat.outputs[0]
    readers = list(out.consumers())
    if out.is_graph_output() or len(readers) != 1 or readers[0].op_type != "Conv":
        who = ", ".join(f"{n.op_type} {n.name}" for n in readers)
        return f"not fused: {who or 'the caller'} reads it"
    conv = readers[0]
    if conv.inputs[1] is None or not is_constant(conv.inputs[1]):
        return f"not fused: the weights of {conv.name} are computed"
    for attribute, plain in (("group", 1), ("dilations", [1, 1])):
        if attribute in conv.attributes and _value(conv, attribute) != plain:
            return f"not fused: {conv.name} has {attribute}={_value(conv, attribute)}"
    auto = conv.attributes.get_string("auto_pad", "NOTSET")
    return conv if auto in ("NOTSET", "VALID") else f"not fused: {conv.name} has auto_pad={auto}"


def _fuse(model: ir.Model, focus: Focus, conv: ir.Node) -> None:
    import onnx_ir as ir

    kernel = conv.inputs[1]
    assert kernel is not None
    tensor = ir.convenience.get_const_tensor(kernel)
    assert tensor is not None
    wide = fused_kernel(focus, tensor.numpy())
    old = conv.inputs[0]
    conv.replace_input_with(1, weight(model, f"{kernel.name}.focus", wide))
    conv.replace_input_with(0, focus.image)
    pads = _ints(conv, "pads", [0, 0, 0, 0])
    strides = _ints(conv, "strides", [1, 1])
    for attribute, values in (
        ("kernel_shape", list(wide.shape[2:])), ("pads", [2 * p for p in pads]), ("strides", [2 * s for s in strides]),
    ):  # fmt: skip
        conv.attributes[attribute] = ir.AttrInt64s(attribute, values)
    drop_unread([v for v in (kernel, old) if v is not None])


def _sort_pixels(model: ir.Model, focus: Focus, channels: int) -> None:
    import onnx_ir as ir

    concat, dtype = focus.concat, focus.image.dtype
    assert dtype is not None
    assert concat.graph is not None
    label = free_name(model, f"{concat.name}.conv")
    kernel = weight(model, f"{label}.weight", cells_kernel(focus, channels, dtype.numpy()))
    conv = ir.node("Conv", [focus.image, kernel], {"kernel_shape": [2, 2], "strides": [2, 2]}, name=label)
    conv.metadata_props.update(concat.metadata_props)
    conv.outputs[0].name, conv.outputs[0].type = f"{label}_out", concat.outputs[0].type
    conv.outputs[0].shape = concat.outputs[0].shape
    concat.graph.insert_before(concat, conv)
    parts = [v for v in concat.inputs if v is not None]
    stand_in(concat, concat.outputs[0], conv.outputs[0])
    concat.graph.remove(concat, safe=True)
    drop_unread(parts)


def _ints(node: ir.Node, attribute: str, default: list[int]) -> list[int]:
    return list(node.attributes.get_ints(attribute, default))


def _value(node: ir.Node, attribute: str) -> int | list[int]:
    value = node.attributes[attribute].value
    return value if isinstance(value, int) else list(value)


def plain_code(*, fuse: bool = True) -> str:
    """The plain code of a focus_to_conv step.

    Examples
    --------
    >>> "Concat" in plain_code()
    True
    """
    find = [
        "def image_and_cell(value):  # what a chain of Slices reads, and the (row, column) where it begins",
        "    cell = [0, 0]",
        "    while value.producer() is not None and value.producer().op_type == 'Slice':",
        "        cut = value.producer()",
        "        starts, axes = (ir.convenience.get_const_tensor(cut.inputs[i]).numpy() for i in (1, 3))",
        "        for start, axis in zip(starts, axes):",
        "            cell[axis % 4 - 2] = int(start)",
        "        value = cut.inputs[0]",
        "    return value, cell",
        "",
        "for concat in [n for n in model.graph if n.op_type == 'Concat' and len(n.inputs) == 4]:",
        "    image, _ = image_and_cell(concat.inputs[0])",
        "    cells = [image_and_cell(part)[1] for part in concat.inputs]",
    ]
    fused = [
        "    (conv,) = concat.outputs[0].consumers()",
        "    old = conv.inputs[1].const_value.numpy()",
        "    out, many, high, wide = old.shape",
        "    new = np.zeros((out, many // 4, 2 * high, 2 * wide), old.dtype)",
        "    for i, (row, column) in enumerate(cells):",
        "        new[:, :, row::2, column::2] = old[:, i * (many // 4) : (i + 1) * (many // 4)]",
        "    conv.inputs[1].shape, conv.inputs[1].const_value = ir.Shape(new.shape), ir.tensor(new)",
        "    conv.replace_input_with(0, image)",
        "    pads, strides = conv.attributes.get_ints('pads', [0] * 4), conv.attributes.get_ints('strides', [1, 1])",
        "    conv.attributes['kernel_shape'] = ir.AttrInt64s('kernel_shape', new.shape[2:])",
        "    conv.attributes['pads'] = ir.AttrInt64s('pads', [2 * p for p in pads])",
        "    conv.attributes['strides'] = ir.AttrInt64s('strides', [2 * s for s in strides])",
    ]
    sorted_ = [
        "    channels = image.shape[1]",
        "    new = np.zeros((4 * channels, channels, 2, 2), np.float32)",
        "    for i, (row, column) in enumerate(cells):",
        "        new[range(i * channels, (i + 1) * channels), range(channels), row, column] = 1",
        "    kernel = ir.Value(name=f'{concat.name}.weight', const_value=ir.tensor(new))",
        "    model.graph.register_initializer(kernel)",
        "    conv = ir.node('Conv', [image, kernel], {'kernel_shape': [2, 2], 'strides': [2, 2]})",
        "    ir.convenience.replace_nodes_and_values(",
        "        model.graph, concat, [concat], [conv], concat.outputs, conv.outputs",
        "    )",
    ]
    return program(
        "focus_to_conv", *find, *(fused if fuse else sorted_), "passes.RemoveUnusedNodesPass()(model)",
        imports=["import numpy as np"],
    )  # fmt: skip
