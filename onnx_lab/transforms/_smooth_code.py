"""The plain code of smoothing: between the reading of samples and quantize_static, with NumPy and onnxruntime alone."""

from __future__ import annotations

_CODE = """\
import onnxruntime

STRENGTH = {strength}  # SmoothQuant's alpha (https://arxiv.org/abs/2211.10438)
arrays = {{w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}}
readers = {{}}
for node in model.graph.node:
    if node.op_type in {kinds} and node.name not in in_float and arrays.get(node.input[1], np.zeros(1)).ndim == 2:
        readers.setdefault(node.input[0], []).append(node)
tapped = onnx.ModelProto.FromString(model.SerializeToString())
known = {{v.name for v in (*tapped.graph.input, *tapped.graph.output)}}
tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in readers if name not in known)
session = onnxruntime.InferenceSession(tapped.SerializeToString())
largest = {{}}  # of each channel
for feeds in iter(Samples().get_next, None):
    values = {{**feeds, **dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))}}
    for name in readers:
        own = np.abs(values[name]).reshape(-1, values[name].shape[-1]).max(axis=0)
        largest[name] = np.maximum(largest.get(name, own), own)
for name, nodes in readers.items():
    turned = [any(a.name == "transB" and a.i for a in n.attribute) for n in nodes]
    rows = [arrays[n.input[1]].T if t else arrays[n.input[1]] for n, t in zip(nodes, turned)]
    x, w = largest[name], np.max([np.abs(r).max(axis=1) for r in rows], axis=0)
    speaking = (x > 0) & (w > 0)
    x, w = np.where(speaking, x, 1.0), np.where(speaking, w, 1.0)
    factors = x**STRENGTH / w ** (1 - STRENGTH)
    factors = np.clip(factors / np.exp(np.log(factors).mean()), 1e-4, 1e4).astype(np.float32)
    made = [(f"{{name}}.smoothing", 1 / factors)]
    place = next(i for i, n in enumerate(model.graph.node) if n.name == nodes[0].name)
    smooth = onnx.helper.make_node("Mul", [name, made[0][0]], [f"{{name}}.smoothed"], f"{{nodes[0].name}}.smooth")
    for node, r, t in zip(nodes, rows, turned):
        scaled = r * factors[:, None]
        made.append((f"{{node.name}}.smoothed", np.ascontiguousarray(scaled.T if t else scaled)))
        node.input[0], node.input[1] = f"{{name}}.smoothed", f"{{node.name}}.smoothed"
    model.graph.node.insert(place, smooth)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in made)
read = {{name for node in model.graph.node for name in node.input}}
left = [w for w in model.graph.initializer if w.name in read]
del model.graph.initializer[:]
model.graph.initializer.extend(left)\
"""


def smooth_code(smooth: float | str, kinds: list[str]) -> list[str]:
    """Lines for this strength; a remark where it would have to be tried out first.

    Examples
    --------
    >>> smooth_code("off", ["MatMul"])
    []
    """
    if smooth == "off" or not smooth:
        return []
    if smooth == "auto":
        return ["# smooth='auto' tries strengths on a transformer; the code of a finished step has the one it took"]
    acting = [k for k in ("MatMul", "Gemm") if k in kinds]
    return [_CODE.format(strength=float(smooth), kinds=acting)]
