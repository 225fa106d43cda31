"""Frames between the lab and its worker: a JSON header line, then the raw bytes of arrays. No pickle for arrays.

    {"op": "run", "arrays": [{"name": "x", "dtype": "float32", "shape": [2, 8], "bytes": 64}]}\\n<64 bytes>

String arrays travel inside the header, as JSON. Both ends use this module and nothing else of the lab's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

#: A header longer than this is not ours: someone else wrote to the pipe.
MAX_HEADER_BYTES = 64 << 20


class Source(Protocol):
    """Where frames are read from."""

    def readline(self, limit: int = ..., /) -> bytes: ...
    def read(self, n: int = ..., /) -> bytes | bytearray: ...


def encode(header: Mapping[str, Any], arrays: Mapping[str, Array] | None = None) -> list[bytes | memoryview]:
    """The pieces of one frame, in order; array memory is not copied when it is contiguous."""
    specs: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for name, value in (arrays or {}).items():
        array = np.asarray(value)
        spec: dict[str, Any] = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
        if array.dtype.kind in "OUS":
            spec |= {"dtype": "object", "values": [_text(v) for v in array.ravel().tolist()]}
        else:
            blob = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            spec["bytes"] = blob.nbytes
            blobs.append(blob)
        specs.append(spec)
    return [json.dumps({**header, "arrays": specs}).encode() + b"\n", *blobs]


def decode(source: Source) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read one frame.

    Raises
    ------
    EOFError
        When the other end closed the pipe.
    ValueError
        When what came is not a frame.
    """
    line = source.readline(MAX_HEADER_BYTES)
    if not line:
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    return header, {spec["name"]: _array(spec, source) for spec in header.pop("arrays", ())}


def blob(source: Source, size: int) -> bytes:
    """Exactly `size` bytes that follow a frame."""
    return bytes(_exactly(source, size))


def _array(spec: Mapping[str, Any], source: Source) -> Array:
    shape: Sequence[int] = spec["shape"]
    if spec["dtype"] == "object":
        return np.array(spec["values"], dtype=object).reshape(shape)
    # a bytearray, so that the array over it can be written to
    return np.frombuffer(_exactly(source, spec["bytes"]), np.dtype(spec["dtype"])).reshape(shape)


def _exactly(source: Source, size: int) -> bytearray:
    data = source.read(size)
    if len(data) != size:
        raise EOFError
    return data if isinstance(data, bytearray) else bytearray(data)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
