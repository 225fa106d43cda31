"""What a convolution sees beyond the border of an image, and which raw value becomes that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.transforms.surgery._make import free_name, weight
from onnx_lab.transforms.surgery._rewire import is_constant
from onnx_lab.transforms.surgery._slopes import dims

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Padded:
    """A Conv, the Pad node in front of it, and its own zeros: begins, then ends; None where the sizes do not tell."""

    conv: ir.Node
    pad: ir.Node | None
    own: list[int] | None

    @property
    def pads(self) -> bool:
        """Whether anything is padded with a value."""
        return self.own is None or any(self.own) or self.fills

    @property
    def fills(self) -> bool:
        """Whether the Pad node fills in a number; edges and reflections follow the data by themselves."""
        return self.pad is not None and self.pad.attributes.get_string("mode", "constant") == "constant"


def padded_at(value: ir.Value) -> Padded | str:
    """The Conv that alone reads `value`, perhaps through a Pad; else what reads it."""
    pad = None
    while True:
        readers = list(value.consumers())
        if len(readers) != 1 or value.is_graph_output():
            return f"{value.name} is read by {', '.join(f'{n.op_type} {n.name}' for n in readers) or 'the caller'}"
        node = readers[0]
        if node.op_type == "Pad" and pad is None and node.inputs[0] is value:
            pad, value = node, node.outputs[0]
            continue
        break
    if node.op_type != "Conv" or node.inputs[0] is not value:
        return f"goes to {node.op_type} {node.name}, which is no Conv"
    if any(v is not None and not is_constant(v) for v in node.inputs[1:]):
        return f"goes to {node.op_type} {node.name}, whose weights are computed"
    return Padded(node, pad, _own_pads(node))


def _own_pads(conv: ir.Node) -> list[int] | None:
    """A Conv's pads as numbers; None when they depend on a size that is not known."""
    kernel = [int(d) for d in (dims(conv.inputs[1]) or [])[2:] if isinstance(d, int)]
    auto = conv.attributes.get_string("auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * (2 * len(kernel))
    if auto == "NOTSET":
        return list(conv.attributes.get_ints("pads", [0] * (2 * len(kernel))))
    sizes = (dims(conv.inputs[0]) or [])[2:]
    strides = conv.attributes.get_ints("strides", [1] * len(kernel))
    spread = conv.attributes.get_ints("dilations", [1] * len(kernel))
    begins, ends = [], []
    for k, stride, dilation, size in zip(kernel, strides, spread, sizes or [None] * len(kernel), strict=True):
        width = (k - 1) * dilation + 1
        if stride == 1:
            total = width - 1
        elif isinstance(size, int):
            total = max((-(-size // stride) - 1) * stride + width - size, 0)
        else:
            return None
        less, more = total // 2, total - total // 2
        begins.append(less if auto == "SAME_UPPER" else more)
        ends.append(more if auto == "SAME_UPPER" else less)
    return begins + ends


def border(place: Padded, scale: Any, shift: Any) -> dict[str, float] | str:
    """The raw values that become what is padded now (``pad``: the node's, ``own``: the Conv's), or why not."""
    import numpy as np

    if place.own is None and np.any(shift):
        return f"how far {place.conv.name} pads depends on the size of what it is fed"
    wanted = {"own": 0.0} if place.own is None or any(place.own) else {}
    if place.fills:
        value = _fill(place.pad)
        if value is None:
            return f"what {place.pad.name if place.pad else ''} pads with is computed"
        wanted["pad"] = value
    found = {}
    for key, value in wanted.items():
        raw = (value - shift) / scale
        if np.ptp(raw) > 1e-6 * max(1.0, float(np.abs(raw).max())):
            return f"{place.conv.name} sees {value:g} beyond the border, which is another raw value in each channel"
        found[key] = float(raw[0])
    return found


def _fill(pad: ir.Node | None) -> float | None:
    import onnx_ir as ir

    if pad is None or len(pad.inputs) < 3 or pad.inputs[2] is None:
        return 0.0 if pad is None or "value" not in pad.attributes else pad.attributes.get_float("value", 0.0)
    tensor = ir.convenience.get_const_tensor(pad.inputs[2]) if is_constant(pad.inputs[2]) else None
    return None if tensor is None else float(tensor.numpy().reshape(-1)[0])


def refill(model: ir.Model, place: Padded, edge: dict[str, float]) -> str:
    """Pad with these values, by the node that is there or a new one; what was done, as the end of a sentence."""
    said = ""
    if place.pad is not None and edge.get("pad", 0.0) != (_fill(place.pad) or 0.0):
        _set_fill(model, place.pad, edge["pad"])
        said = f"; {place.pad.name} pads with {edge['pad']:.6g}, which becomes what it was"
    if edge.get("own", 0.0) and place.own is not None:
        _pad_before(model, place.conv, place.own, edge["own"])
        said += f"; a Pad with {edge['own']:.6g} in front of it, which becomes its zeros"
    return said or " (exact: " + ("a zero stays a zero)" if place.pads else "nothing is padded)")


def _set_fill(model: ir.Model, pad: ir.Node, value: float) -> None:
    import numpy as np
    import onnx_ir as ir

    if (model.opset_imports.get("", 11)) < 11:
        pad.attributes["value"] = ir.AttrFloat32("value", value)
        return
    dtype = pad.inputs[0].dtype if pad.inputs[0] is not None else None
    if len(pad.inputs) < 3:
        pad.resize_inputs(3)
    array = np.array(value, dtype.numpy() if dtype is not None else np.float32)
    pad.replace_input_with(2, weight(model, f"{pad.name}.value", array))


def _pad_before(model: ir.Model, conv: ir.Node, own: list[int], value: float) -> None:
    import numpy as np
    import onnx_ir as ir

    source = conv.inputs[0]
    assert source is not None
    assert conv.graph is not None
    half = len(own) // 2
    pads = np.array([0, 0, *own[:half], 0, 0, *own[half:]], np.int64)
    label = free_name(model, f"{conv.name}.Pad")
    if model.opset_imports.get("", 11) < 11:
        pad = ir.node("Pad", [source], {"pads": pads.tolist(), "value": value}, name=label)
    else:
        fill = np.array(value, source.dtype.numpy() if source.dtype is not None else np.float32)
        inputs = [source, weight(model, f"{label}.pads", pads), weight(model, f"{label}.value", fill)]
        pad = ir.node("Pad", inputs, name=label)
    pad.outputs[0].name, pad.outputs[0].type = f"{label}_out", source.type
    conv.graph.insert_before(conv, pad)
    conv.replace_input_with(0, pad.outputs[0])
    conv.attributes.pop("auto_pad", None)
    conv.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(own))
