"""What a job and its child say to each other: frames of a letter, a length and bytes, over a pipe.

    C  the call              B  a large array of the call, as many as the call says
    E  an event, JSON        R  the result, pickled
    X  an error of the lab, JSON      U  the call cannot be read here

Pickles go from memory to memory between two processes of one user, never over a disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

_HEAD = struct.Struct(">cQ")
_PIECE = 1 << 20


def head(kind: bytes, length: int) -> bytes:
    """What comes before the bytes of a frame."""
    return _HEAD.pack(kind, length)


def encode(kind: bytes, payload: bytes) -> bytes:
    """One frame.

    Examples
    --------
    >>> import io
    >>> read(io.BytesIO(encode(b"E", b"{}")).read)
    (b'E', bytearray(b'{}'))
    """
    return head(kind, len(payload)) + payload


def write(fd: int, data: bytes | memoryview) -> None:
    """All of `data`, however often the pipe is full."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view[:_PIECE]) :]


def read(take: Callable[[int], bytes]) -> tuple[bytes, bytearray] | None:
    """The next frame, from a function that reads up to n bytes; None at the end or when it was cut off."""
    first = _exactly(take, _HEAD.size)
    if first is None:
        return None
    kind, length = _HEAD.unpack(first)
    payload = _exactly(take, length)
    return None if payload is None else (kind, payload)


def _exactly(take: Callable[[int], bytes], n: int) -> bytearray | None:
    data, at = bytearray(n), 0
    while at < n:
        part = take(min(n - at, _PIECE))
        if not part:
            return None
        data[at : at + len(part)] = part
        at += len(part)
    return data
