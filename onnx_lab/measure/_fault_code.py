"""The plain code of looking for a fault: tensors beyond float16, and a part cut out of two files."""

from __future__ import annotations


def overflows_code() -> str:
    """Every tensor of a float32 file that float16 could not hold, in order.

    Examples
    --------
    >>> print(overflows_code().splitlines()[0])
    import numpy as np
    """
    return """import numpy as np
import onnx
import onnxruntime as ort

feeds = {...}  # one batch: arrays by input name

graph = (model := onnx.load("model.onnx")).graph
names = dict.fromkeys(name for node in graph.node for name in node.output if name)
given = {output.name for output in graph.output}
graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
for name, x in zip(names, session.run(list(names), feeds)):
    if x.dtype == np.float32 and np.abs(x).max(initial=0) > 65504:
        print(name, np.abs(x).max())"""


def reduce_code() -> str:
    """One part of two files, between tensors that both have, on what the first file has there.

    Examples
    --------
    >>> print(reduce_code().splitlines()[0])
    import numpy as np
    """
    return """import numpy as np
import onnx
import onnxruntime as ort

feeds = {...}  # one batch: arrays by input name
start, end = ["..."], "..."  # tensors that both files have; try others, nearer, until the two agree


def session(model):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


whole = onnx.load("a.onnx")
whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in start)
given = dict(zip(start, session(whole).run(start, feeds)))
answers = []
for path in ("a.onnx", "b.onnx"):
    part = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(onnx.load(path))).extract_model(start, [end])
    answers.append(session(part).run(None, given)[0])
print(np.linalg.norm(answers[0] - answers[1]) / np.linalg.norm(answers[0]))"""
