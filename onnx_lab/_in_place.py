"""An ONNX file in two parts: the graph, which is small, and the weights, which stay where they lie on the disk.

``onnx.load`` takes the whole file twice, as bytes and as messages, to tell the name of an input. Here the file's outer
fields are walked over (protobuf's wire format: tag, length, bytes), weights are noted by their place, and only the rest
is parsed. Their arrays are windows onto the file: a page is read when somebody looks at it, and can be dropped again.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

#: Weights of fewer bytes are not worth a window.
WORTH_BYTES = 1 << 16
#: Numbers of the fields that matter: of ModelProto, of GraphProto, and of TensorProto.
GRAPH, INITIALIZER = 7, 5
_DIMS, _TYPE, _NAME, RAW = 1, 2, 8, 9
#: Types whose numbers lie in the file as numpy has them.
_PLAIN = frozenset("FLOAT UINT8 INT8 UINT16 INT16 INT32 INT64 BOOL FLOAT16 DOUBLE UINT32 UINT64 BFLOAT16".split())
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    number: int
    kind: int
    start: int  #: of the tag
    body: int  #: first byte of the value
    end: int


@dataclass(frozen=True)
class Place:
    """Where the bytes of one weight lie in the file."""

    offset: int
    length: int


def skeleton(path: Path) -> tuple[onnx.ModelProto, dict[str, Place]]:
    """The model without its larger weights, and where those lie.

    Raises
    ------
    ValueError
        When the file is no protobuf, or not one that this reader understands: `onnx.load` knows more.
    """
    import onnx
    from google.protobuf.message import DecodeError

    places: dict[str, Place] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        kept = bytearray()
        for f in _fields(data, 0, len(data)):
            if f.number == GRAPH and f.kind == _BYTES:
                graph = _without_weights(data, f, places)
                kept += tag(GRAPH) + varint(len(graph)) + graph
            else:
                kept += data[f.start : f.end]
    try:
        return onnx.ModelProto.FromString(bytes(kept)), places
    except DecodeError as e:
        raise ValueError(str(e)) from None


def open_ir(path: Path) -> ir.Model:
    """The model for editing, its larger weights as windows onto the file (read-only arrays).

    External data is left to ``onnx_ir``, which opens it in the same way.

    Raises
    ------
    ValueError
        As `skeleton`.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny(features=512)
    >>> weights = open_ir(m.path).graph.initializers.values()
    >>> any(v.const_value.numpy().flags.writeable for v in weights if v.const_value.nbytes > WORTH_BYTES)
    False
    """
    import numpy as np
    import onnx_ir as ir

    proto, places = skeleton(path)
    model = ir.serde.deserialize_model(proto)
    ir.external_data.set_base_dir(model.graph, path.parent)
    if not places:
        return model
    with path.open("rb") as file:
        window = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # lives as long as an array that looks through it
    for name, place in places.items():
        value = model.graph.initializers[name]
        tensor = value.const_value
        assert tensor is not None
        count = prod(tensor.shape.numpy())
        array = np.frombuffer(window, tensor.dtype.numpy(), count, place.offset).reshape(tensor.shape.numpy())
        value.const_value = ir.Tensor(array, tensor.dtype, name=name, doc_string=tensor.doc_string)
    return model


def open_graph(path: Path) -> ir.Model:
    """The model for looking at: of its larger weights type and shape are known, their numbers are not there.

    Raises
    ------
    google.protobuf.message.DecodeError
        When the file is no protobuf.
    """
    import onnx
    import onnx_ir as ir

    try:
        proto = skeleton(path)[0]
    except ValueError:
        proto = onnx.load(path, load_external_data=False)
    model = ir.serde.deserialize_model(proto)
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model


def let_go_of_pages(model: ir.Model) -> None:
    """Give back the memory of weights that were looked at through windows; the next look reads them again."""
    import numpy as np

    windows = {}
    for value in model.graph.initializers.values():
        base: object = getattr(value.const_value, "raw", None)
        while isinstance(base, np.ndarray | memoryview):
            base = base.base if isinstance(base, np.ndarray) else base.obj
        if isinstance(base, mmap.mmap):
            windows[id(base)] = base
    for window in windows.values():
        with contextlib.suppress(OSError, AttributeError, ValueError):  # another system, or closed
            window.madvise(mmap.MADV_DONTNEED)


def _without_weights(data: mmap.mmap, graph: _Field, places: dict[str, Place]) -> bytearray:
    kept = bytearray()
    for f in _fields(data, graph.body, graph.end):
        large = f.number == INITIALIZER and f.end - f.body > WORTH_BYTES
        tensor = _without_bytes(data, f, places) if large else None
        kept += data[f.start : f.end] if tensor is None else tag(INITIALIZER) + varint(len(tensor)) + tensor
    return kept


def _without_bytes(data: mmap.mmap, tensor: _Field, places: dict[str, Place]) -> bytearray | None:
    """A tensor's other fields; None where its bytes are not simply an array."""
    kept, dims, kind, name, raw = bytearray(), list[int](), 0, "", None
    for f in _fields(data, tensor.body, tensor.end):
        if f.number == RAW:
            raw = Place(f.body, f.end - f.body)
            continue
        kept += data[f.start : f.end]
        if f.number == _TYPE:
            kind = _number(data, f.body)[0]
        elif f.number == _NAME:
            name = data[f.body : f.end].decode()
        elif f.number == _DIMS:
            dims += [_number(data, f.body)[0]] if f.kind == _VARINT else _packed(data, f)
    if raw is None or not name or raw.length != prod(dims) * _bytes_each(kind):
        return None
    places[name] = raw
    return kept


def _bytes_each(kind: int) -> int:
    """Bytes of one number; 0 for types that are packed or that numpy does not have."""
    import onnx_ir as ir

    known = kind in {t.value for t in ir.DataType} and ir.DataType(kind).name in _PLAIN
    return int(ir.DataType(kind).numpy().itemsize) if known else 0


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[_Field]:
    while at < end:
        start = at
        key, at = _number(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            body, (_, at) = at, _number(data, at)
        elif kind == _BYTES:
            length, body = _number(data, at)
            at = body + length
        elif kind in (_FIXED32, _FIXED64):
            body, at = at, at + (4 if kind == _FIXED32 else 8)
        else:
            raise ValueError(f"wire type {kind} at byte {start}")
        if not number or at > end:
            raise ValueError(f"cut off or no protobuf at byte {start}")
        yield _Field(number, kind, start, body, at)


def _packed(data: mmap.mmap, f: _Field) -> list[int]:
    found, at = [], f.body
    while at < f.end:
        value, at = _number(data, at)
        found.append(value)
    return found


def _number(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def tag(number: int) -> bytes:
    """The key of a field that holds bytes."""
    return varint(number << 3 | _BYTES)


def varint(value: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first.

    Examples
    --------
    >>> varint(300)
    b'\\xac\\x02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
