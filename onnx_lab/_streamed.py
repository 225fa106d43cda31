"""Write a graph to an ONNX file weight by weight: what is in memory once stays there once.

``onnx_ir.save`` copies all weights into messages and those into one string before the first byte is written. The file
is the same: protobuf's wire format needs only the lengths beforehand, and those of weights are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab._in_place import GRAPH, INITIALIZER, RAW, WORTH_BYTES, tag, varint

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


def write_streamed(model: ir.Model, path: Path) -> None:
    """Write `model` to `path`, all weights inside the file; less than 2 GiB together, protobuf's limit.

    Raises
    ------
    OSError
        When the disk is full.

    Examples
    --------
    >>> import onnx, tempfile
    >>> import onnx_lab as lab
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_streamed(lab.samples.tiny(features=512).to_ir(), Path(folder) / "m.onnx")
    ...     onnx.checker.check_model(onnx.load(Path(folder) / "m.onnx"))
    """
    import onnx_ir as ir

    large = {name: v.const_value for name, v in model.graph.initializers.items() if _is_large(v.const_value)}
    with _set_aside(model, large):
        ir.external_data.load_to_model(model)  # the small ones, and those of subgraphs
        proto = ir.serde.serialize_model(model)
    weights = [(t, large.get(t.name)) for t in proto.graph.initializer]
    heads = [_head(t, tensor) for t, tensor in weights]
    del proto.graph.initializer[:]
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    bodies = [_whole(head, tensor) for head, (_, tensor) in zip(heads, weights, strict=True)]
    length = len(graph) + sum(len(tag(INITIALIZER) + varint(n)) + n for n in bodies)
    with path.open("wb") as file:
        file.write(proto.SerializeToString() + tag(GRAPH) + varint(length) + graph)
        for n, head, (_, tensor) in zip(bodies, heads, weights, strict=True):
            file.write(tag(INITIALIZER) + varint(n) + head)
            if tensor is not None:
                file.write(tag(RAW) + varint(tensor.nbytes))
                file.write(_bytes(tensor))


def _is_large(tensor: Any) -> bool:
    """Whether a weight is written by itself; what has more than a name, a type and numbers is left to ``onnx_ir``."""
    import onnx_ir as ir

    if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.nbytes < WORTH_BYTES:
        return False
    return not (tensor.doc_string or tensor.metadata_props)


@contextmanager
def _set_aside(model: ir.Model, large: dict[str, Any]) -> Iterator[None]:
    import numpy as np
    import onnx_ir as ir

    try:
        for name in large:
            model.graph.initializers[name].const_value = ir.Tensor(np.zeros(0, np.uint8), name=name)
        yield
    finally:
        for name, tensor in large.items():
            model.graph.initializers[name].const_value = tensor


def _head(proto: onnx.TensorProto, tensor: Any) -> bytes:
    """A weight's message, without its bytes where those are written by themselves."""
    import onnx

    if tensor is None:
        return bytes(proto.SerializeToString())
    head = onnx.TensorProto(name=proto.name, data_type=tensor.dtype.value, dims=tensor.shape.numpy())
    return bytes(head.SerializeToString())


def _whole(head: bytes, tensor: Any) -> int:
    return len(head) if tensor is None else len(head) + len(tag(RAW) + varint(tensor.nbytes)) + int(tensor.nbytes)


def _bytes(tensor: Any) -> Any:
    """A weight's bytes without a copy where it is an array in this machine's order."""
    import sys

    import numpy as np

    if tensor.dtype.bitwidth < 8 or sys.byteorder == "big":
        found = tensor.tobytes()
    else:
        found = np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data
    assert len(found) == tensor.nbytes, f"{tensor.name}: {len(found)} bytes where {tensor.nbytes} were said"
    return found
